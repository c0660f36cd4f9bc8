"""A run's model with some of its units knocked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.api.model import as_list
from circuitviz.behaviours.prompt import Split
from circuitviz.quiet import libraries_quiet
from circuitviz.runs.config import AblationKind
from circuitviz.units import Circuit

if TYPE_CHECKING:
    from circuitviz.api.run import Run
    from circuitviz.evaluation.effect import Effect
    from circuitviz.models.ablation import Ablation
    from circuitviz.runs.knock_out import KnockOutExport


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
        from circuitviz.evaluation.effect import evaluate_circuit

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
        from circuitviz.models.neutral import measure_ablation

        messages = self.run.behaviour.neutral_messages if self.ablation != "zero" else []
        seed = self.run.config.seed
        return measure_ablation(self.run.model.gated, self.ablation, messages, seed=seed)

    def __repr__(self) -> str:
        named = [str(unit) for unit in self.circuit]
        more = f" and {len(named) - 8} more" if len(named) > 8 else ""
        return f"<{self.run.config.model} without {' '.join(named[:8]) or 'nothing'}{more}>"
