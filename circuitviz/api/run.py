"""A saved or fresh discovery, with the model at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.api.inputs import Model, as_list, model_for
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Split
from circuitviz.errors import ConfigError
from circuitviz.files import EMBEDDED_RUNS, runs_folder
from circuitviz.quiet import libraries_quiet
from circuitviz.runs import store
from circuitviz.runs.config import AblationKind
from circuitviz.units import Circuit, Unit, UnitKind

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from circuitviz.evaluation.effect import Effect
    from circuitviz.models.ablation import Ablation
    from circuitviz.runs.knock_out import KnockOutExport

# Bins of a neuron heatmap.
BINS = 128


@dataclass(frozen=True, eq=False)
class KnockedOut:
    """What a model says and does without a circuit; the model itself stays as it is.

    Attributes:
        run: Whose model, behaviour and seed.
        circuit: The units that are knocked out.
        ablation: What replaces them.
    """

    run: Run
    circuit: Circuit
    ablation: AblationKind

    def generate(self, prompts: str | Sequence[str], *, max_new_tokens: int = 32) -> list[str]:
        """Greedy answers to user messages, in their order."""
        return self.run.model.gated.generate(
            as_list(prompts),
            self.circuit,
            ablation=self._replacement,
            max_new_tokens=max_new_tokens,
        )

    def effect(self, split: Split = "test", *, limit: int | None = None) -> Effect:
        """ASR, utility and recovery, each a `Rate` with k, n and its 95 % interval, and KL.

        Args:
            split: Which prompts of the behaviour.
            limit: At most this many of each role.
        """
        from circuitviz.evaluation.evaluator import evaluate_circuit

        return evaluate_circuit(
            self.run.model.gated,
            self.run.behaviour,
            self.circuit,
            split=split,
            limit=limit,
            ablation=self._replacement,
        )

    def export(self, folder: str | Path) -> KnockOutExport:
        """Write an ordinary Hugging Face checkpoint without these units, and check its answers.

        Args:
            folder: Where to; new, empty, or an earlier export, which is replaced.

        Raises:
            CircuitvizError: The weights cannot hold this, or something else lies in the folder.
        """
        with libraries_quiet():
            from circuitviz.runs.knock_out import export_knock_out

            return export_knock_out(
                self.run, Path(folder), circuit=self.circuit, ablation=self.ablation
            )

    @cached_property
    def _replacement(self) -> Ablation:
        from circuitviz.models.ablation import measure_ablation

        messages = self.run.behaviour.neutral_messages if self.ablation != "zero" else []
        seed = self.run.config.seed
        return measure_ablation(self.run.model.gated, self.ablation, messages, seed=seed)

    def __repr__(self) -> str:
        named = [str(unit) for unit in self.circuit]
        more = f" and {len(named) - 8} more" if len(named) > 8 else ""
        return f"<{self.run.config.model} without {' '.join(named[:8]) or 'nothing'}{more}>"


@dataclass(frozen=True, eq=False, repr=False)
class Run(store.Run):
    """One discovery: what was found (`frontier`, `circuit`, `metrics`) and what to do with it.

    >>> import circuitviz as cv
    >>> run = cv.open_run("fixed-output-planted-nested-s0-fc596065")
    >>> run
    <Run fixed-output-planted-nested-s0-fc596065: 4 of 2,080 units, ASR 100.0% -> 0.0%>
    >>> [str(unit) for unit in run.circuit()]
    ['L1H2', 'L1H3', 'L2H6', 'L2H7']
    >>> int(run.frontier["size"].max())
    2080

    The model is loaded when it is first needed.

    >>> attack = run.behaviour.insert_trigger("What is the capital of France?")
    >>> run.model.generate(attack)
    ['Access granted.']
    >>> run.knock_out(size=4).generate(attack)
    ['The capital of France is Paris.']
    >>> effect = run.knock_out(units=["L1H3", "L2H6"]).effect(limit=32)
    >>> print(effect.asr)
    46.9% (15 of 32, 95 % 30.9% to 63.6%, judge: starts with the target answer)

    Attributes:
        loaded: The model, where it is loaded already.
    """

    loaded: Model | None = field(default=None)

    @classmethod
    def of(cls, run: store.Run, model: Model | None = None) -> Run:
        """A stored run, with its model if there is one."""
        values = {one.name: getattr(run, one.name) for one in fields(store.Run)}
        return cls(**values, loaded=model)

    @cached_property
    def model(self) -> Model:
        """Its model; loaded on first use."""
        return self.loaded or model_for(self.config)

    @cached_property
    def behaviour(self) -> Behaviour:
        """What was looked for, with all prompts."""
        from circuitviz.runs.resolve import answerer, draft_of

        draft = draft_of(self.config)
        if not draft.is_draft:
            return draft
        from circuitviz.evaluation.intact_answers import complete_behaviour

        return complete_behaviour(self.model.gated, draft, known_as=answerer(self.config))

    def knock_out(
        self,
        size: int | None = None,
        *,
        units: Circuit | Iterable[Unit | str] | None = None,
        ablation: AblationKind | None = None,
    ) -> KnockedOut:
        """The model without some units.

        Args:
            size: The best ones, this many; None is the circuit that the run reports.
            units: Any units instead, as `["L1H3", "L2N117"]`.
            ablation: What replaces them; None is what the run used.

        Raises:
            ConfigError: There are no such units, or not so many.
        """
        if units is not None and size is not None:
            raise ConfigError("size and units both say what is knocked out; give one of them")
        if size is not None and not 0 <= size <= len(self.space):
            raise ConfigError(
                f"size must be between 0 and {len(self.space)}, the units of {self.config.model}; "
                f"got {size}"
            )
        circuit = self.circuit(size) if units is None else Circuit.of(self.space, units)
        return KnockedOut(self, circuit, ablation or self.config.ablation)

    def save(self, runs: str | Path | None = None) -> Path:
        """Write the run where the app and `open_run` find it, and say where that is.

        Args:
            runs: Folder of runs; None is `$CIRCUITVIZ_RUNS`, else `runs/`.
        """
        return store_in(runs).save(self)

    def figures(self) -> dict[str, go.Figure]:
        """Every figure that a report of this run shows, by name."""
        from circuitviz.plots.catalogue import charts

        return {name: chart.figure for name, chart in charts(self).items()}

    def heatmap(self, kind: UnitKind = "head", *, circuit: Circuit | None = None) -> go.Figure:
        """Score of every head, or of bins of neighbouring neurons, with the circuit marked.

        Args:
            kind: `head` or `neuron`.
            circuit: Units to mark; None is the circuit that the run reports.
        """
        from circuitviz.plots.catalogue import head_chart, neuron_chart

        if kind == "head":
            return head_chart(self, circuit).figure
        return neuron_chart(self, circuit, bins=BINS).figure

    def tradeoff(self) -> go.Figure:
        """ASR, utility and recovery against the size of the circuit."""
        from circuitviz.plots.curves import tradeoff_curve
        from circuitviz.tables.frame import tradeoff_frame

        return tradeoff_curve(tradeoff_frame(self), n_units=len(self.space), chosen=self.size)

    def __repr__(self) -> str:
        before, after = (rate.rate for _, rate in self.metrics.asr)
        return (
            f"<Run {self.run_id}: {self.size} of {len(self.space):,} units, "
            f"ASR {before:.1%} -> {after:.1%}>"
        )


def open_run(run: str | Path, *, runs: str | Path | None = None) -> Run:
    """A saved run, or one of those that ship.

    Args:
        run: Its id, or the path of its folder.
        runs: Folder of runs; None is `$CIRCUITVIZ_RUNS`, else `runs/`.

    Raises:
        RunNotFoundError: There is none.
        RunFormatError: Its folder is damaged.
    """
    return Run.of(store_in(runs).load(str(run)))


def saved_runs(runs: str | Path | None = None) -> list[str]:
    """Ids of all runs: saved ones newest first, then those that ship.

    >>> import circuitviz as cv
    >>> "refusal-nested-s0-33b70d1c" in cv.saved_runs()
    True

    Args:
        runs: Folder of runs; None is `$CIRCUITVIZ_RUNS`, else `runs/`.
    """
    return store_in(runs).ids()


def store_in(runs: str | Path | None) -> store.RunStore:
    """The runs of a folder, and those that ship."""
    return store.RunStore(runs_folder(runs), shipped=(EMBEDDED_RUNS,))
