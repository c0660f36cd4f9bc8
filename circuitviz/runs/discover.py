"""One discovery from beginning to end: learn, choose the size, test, compare with controls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from circuitviz import __version__
from circuitviz.behaviours.behaviour import Behaviour, load_behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep
from circuitviz.discovery.nested import NestedLearner
from circuitviz.evaluation.answers import answer_test_prompts
from circuitviz.evaluation.effect import Condition, Effect, Probe
from circuitviz.evaluation.frontier import frontier_sizes, grid_sizes, random_matched
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.selection import Selection, Target, select_size
from circuitviz.models.ablation import Ablation, measure_ablation
from circuitviz.models.catalog import find_model
from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.progress import Progress, Report, Stage, ignore
from circuitviz.runs.store import FRONTIER_COLUMNS, GENERATION_COLUMNS, Run
from circuitviz.units import Circuit, Unit, rank_units

__all__ = ["discover"]

# Test prompts of each role behind each cell of the heads x neurons grid, and behind each
# single-unit effect: fewer than the frontier's, since there are many of them.
GRID_PROMPTS = 48
EFFECT_PROMPTS = 48
RANDOM_DRAWS = 5
GRID_HEADS, GRID_NEURONS = 32, 512
# Units whose own effect is measured at once; any other is measured when somebody asks.
EFFECT_UNITS = 48
TOP_UNITS = 8

# Share of the whole that is done when a stage begins, from measured times.
STAGE_STARTS: dict[Stage, float] = {
    "load": 0.0,
    "learn": 0.08,
    "select": 0.55,
    "test": 0.65,
    "generate": 0.93,
    "save": 0.99,
}


def discover(config: DiscoveryConfig, *, report: Report = ignore) -> Run:
    """Find the circuit a configuration asks for and measure it; nothing is saved.

    Args:
        config: What to do.
        report: Told where the discovery stands; may raise `JobCancelledError` to stop it.

    Raises:
        CircuitvizError: The model or its prompts cannot be used.
    """
    started = time.monotonic()
    report(Progress("load", 0.0))
    folder = find_model(config.model)
    behaviour = load_behaviour(folder, Path(config.prompts) if config.prompts else None)
    model = load_model(config.model)
    messages = [prompt.text for prompt in behaviour.prompts("train", "benign")]
    ablation = measure_ablation(model, config.ablation, messages, seed=config.seed)
    bench = _Bench(config, model, behaviour, ablation, report)
    learned = bench.learn()
    ranked = _Ranked(model, learned.scores)
    selection, circuit = bench.select(ranked)
    frontier, headline = bench.test(ranked, circuit)
    answers = bench.answers(circuit)
    metrics = {
        "run_id": config.run_id(),
        "model": config.model,
        "behaviour": behaviour.title,
        "seconds": round(time.monotonic() - started, 2),
        "n_units": len(model.space),
        "n_heads": model.space.total_heads,
        "n_neurons": model.space.total_neurons,
        "circuit": _circuit_json(circuit),
        **headline,
        "behaviour_kind": behaviour.kind,
        "question": behaviour.question,
        "trigger": behaviour.trigger,
        "target_reached": selection.reached,
        "target": {"asr": bench.target.asr, "utility": bench.target.utility},
        "learning": learned.curve,
        "versions": _versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Run(
        run_id=config.run_id(),
        config=config,
        space=model.space,
        scores=learned.scores,
        frontier=frontier,
        generations=answers,
        metrics=metrics,
    )


@dataclass(frozen=True)
class _Ranked:
    """Circuits cut from one ranking."""

    model: GatedModel
    scores: np.ndarray

    def best(self, size: int) -> Circuit:
        return self._circuit(rank_units(self.scores)[:size])

    def best_of_each(self, heads: int, neurons: int) -> Circuit:
        order = rank_units(self.scores)
        is_head = order < self.model.space.total_heads
        return self._circuit(np.concatenate([order[is_head][:heads], order[~is_head][:neurons]]))

    def _circuit(self, flat: np.ndarray) -> Circuit:
        space = self.model.space
        return Circuit(space, frozenset(space.unit(int(index)) for index in flat))


@dataclass(frozen=True)
class _Bench:
    """The stages of a discovery, on one model and behaviour."""

    config: DiscoveryConfig
    model: GatedModel
    behaviour: Behaviour
    ablation: Ablation
    report: Report

    @property
    def target(self) -> Target:
        asr = self.config.target_asr
        return Target(
            self.behaviour.kind,
            self.behaviour.default_target_asr if asr is None else asr,
            self.config.target_utility,
        )

    def learn(self) -> LearnedScores:
        learner = NestedLearner(steps=self.config.steps, budget=self.config.budget)
        return learner.learn(
            self.model,
            self.behaviour,
            ablation=self.ablation,
            seed=self.config.seed,
            watch=self._watch,
        )

    def select(self, ranked: _Ranked) -> tuple[Selection, Circuit]:
        """The smallest circuit that meets the target on validation prompts."""
        probe = Probe(self.model, self.behaviour, "validation", ablation=self.ablation)

        def measure(sizes: Sequence[int]) -> list[Effect]:
            circuits = [ranked.best(size) for size in sizes]
            return probe.effects(circuits, checkpoint=self._checkpoint("select", 0.0))

        sizes = frontier_sizes(len(self.model.space))
        selection = select_size(measure, sizes, self.target)
        return selection, ranked.best(selection.size)

    def test(self, ranked: _Ranked, circuit: Circuit) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The frontier and the headline numbers, on test prompts only."""
        probe = Probe(self.model, self.behaviour, "test", ablation=self.ablation)
        few = Probe(self.model, self.behaviour, "test", limit=GRID_PROMPTS, ablation=self.ablation)
        sizes = sorted({0, len(circuit), *frontier_sizes(len(self.model.space))})
        joint = self._effects(probe, [ranked.best(size) for size in sizes], 0.0)
        cells = [
            (heads, neurons)
            for heads in grid_sizes(self.model.space.total_heads, GRID_HEADS)
            for neurons in grid_sizes(self.model.space.total_neurons, GRID_NEURONS)
        ]
        grid = self._effects(few, [ranked.best_of_each(*cell) for cell in cells], 0.45)
        alone = probe.effects(
            [circuit], condition="isolated", checkpoint=self._checkpoint("test", 0.8)
        )
        rows = [
            *_rows("knocked_out", "joint", joint),
            *_rows("knocked_out", "separate", grid),
            *_rows("isolated", "joint", [(circuit, alone[0])]),
        ]
        frame = pd.DataFrame(rows, columns=list(FRONTIER_COLUMNS))
        by_size = {len(found): effect for found, effect in joint}
        intact, effect = by_size[0], by_size[len(circuit)]
        headline = {
            "asr": {"intact": intact.asr.to_json(), "knocked_out": effect.asr.to_json()},
            "utility": {
                "intact": intact.utility.to_json(),
                "knocked_out": effect.utility.to_json(),
            },
            "recovery": effect.recovery.to_json(),
            "utility_retention": effect.retention(intact),
            "kl": effect.kl,
            "frontier": [_frontier_json(found, effect) for found, effect in joint],
            "isolated": {
                "asr": alone[0].asr.to_json(),
                "utility": alone[0].utility.to_json(),
            },
            "random": self._random(few, circuit),
            "unit_effects": self._unit_effects(ranked, circuit),
        }
        return frame, headline

    def answers(self, circuit: Circuit) -> pd.DataFrame:
        """Answers of both models to test prompts."""
        self.report(self._progress("generate", 0.0))
        answered = answer_test_prompts(self.model, self.behaviour, circuit, ablation=self.ablation)
        return pd.DataFrame([asdict(row) for row in answered], columns=list(GENERATION_COLUMNS))

    def _effects(
        self, probe: Probe, circuits: list[Circuit], done: float
    ) -> list[tuple[Circuit, Effect]]:
        effects = probe.effects(circuits, checkpoint=self._checkpoint("test", done))
        return list(zip(circuits, effects, strict=True))

    def _random(self, probe: Probe, circuit: Circuit) -> dict[str, Any]:
        """Random circuits with as many units of each kind in each layer."""
        generator = np.random.default_rng(self.config.seed)
        draws = [random_matched(circuit, generator) for _ in range(RANDOM_DRAWS)]
        effects = probe.effects(draws, checkpoint=self._checkpoint("test", 0.9))
        return {
            "asr": _pooled([effect.asr for effect in effects]).to_json(),
            "utility": _pooled([effect.utility for effect in effects]).to_json(),
            "draws": RANDOM_DRAWS,
        }

    def _unit_effects(self, ranked: _Ranked, circuit: Circuit) -> dict[str, Any]:
        """What knocking out a single unit does, for all heads and the best neurons."""
        space = self.model.space
        best = [space.unit(int(index)) for index in rank_units(ranked.scores)[:EFFECT_UNITS]]
        heads = [unit for unit in space if unit.kind == "head"]
        units = sorted({*best, *list(circuit)[:EFFECT_UNITS], *heads[:EFFECT_UNITS]})
        probe = Probe(
            self.model, self.behaviour, "test", limit=EFFECT_PROMPTS, ablation=self.ablation
        )
        return unit_effects(probe, space_circuits(units, circuit))

    def _watch(self, step: LearningStep) -> None:
        best = rank_units(step.scores)[:TOP_UNITS]
        self.report(
            self._progress(
                "learn",
                step.step / self.config.steps,
                step=step.step,
                losses=step.losses,
                top_units=tuple(str(self.model.space.unit(int(index))) for index in best),
                scores=step.scores,
            )
        )

    def _checkpoint(self, stage: Stage, done: float) -> Callable[[], None]:
        return lambda: self.report(self._progress(stage, done))

    def _progress(self, stage: Stage, done: float, **more: Any) -> Progress:
        stages = list(STAGE_STARTS)
        start = STAGE_STARTS[stage]
        end = STAGE_STARTS[stages[stages.index(stage) + 1]]
        return Progress(
            stage, start + (end - start) * done, steps=self.config.steps, **{"step": 0, **more}
        )


def space_circuits(units: Sequence[Unit], circuit: Circuit) -> list[tuple[Unit, Circuit]]:
    """Each unit with the circuit of it alone."""
    return [(unit, Circuit(circuit.space, frozenset({unit}))) for unit in units]


def unit_effects(probe: Probe, singles: list[tuple[Unit, Circuit]]) -> dict[str, Any]:
    """ASR, and the change of the target's log-probability, with one unit knocked out."""
    nothing = Circuit(probe.model.space, frozenset())
    scores = probe.target_scores([nothing, *(circuit for _, circuit in singles)])
    intact = scores[0][1]
    return {
        str(unit): {"asr": asr.to_json(), "target_logprob_change": log_prob - intact}
        for (unit, _), (asr, log_prob) in zip(singles, scores[1:], strict=True)
    }


def _rows(
    condition: Condition, budget: str, effects: list[tuple[Circuit, Effect]]
) -> list[dict[str, Any]]:
    return [
        {
            "split": "test",
            "condition": condition,
            "budget": budget,
            "size": len(circuit),
            "heads": len(circuit.heads),
            "neurons": len(circuit.neurons),
            "sparsity": circuit.sparsity,
            "asr_k": effect.asr.k,
            "asr_n": effect.asr.n,
            "utility_k": effect.utility.k,
            "utility_n": effect.utility.n,
            "recovery_k": effect.recovery.k,
            "recovery_n": effect.recovery.n,
            "kl": effect.kl,
        }
        for circuit, effect in effects
    ]


def _circuit_json(circuit: Circuit) -> dict[str, Any]:
    return {
        "size": len(circuit),
        "heads": len(circuit.heads),
        "neurons": len(circuit.neurons),
        "sparsity": circuit.sparsity,
        "sparsity_heads": circuit.sparsity_heads,
        "sparsity_neurons": circuit.sparsity_neurons,
        "units": [str(unit) for unit in circuit],
    }


def _frontier_json(circuit: Circuit, effect: Effect) -> dict[str, Any]:
    return {
        "size": len(circuit),
        "heads": len(circuit.heads),
        "neurons": len(circuit.neurons),
        "sparsity": circuit.sparsity,
        "asr": effect.asr.to_json(),
        "utility": effect.utility.to_json(),
        "recovery": effect.recovery.to_json(),
        "kl": effect.kl,
    }


def _pooled(rates: list[Rate]) -> Rate:
    return Rate(rates[0].judge, sum(rate.k for rate in rates), sum(rate.n for rate in rates))


def _versions() -> dict[str, str]:
    names = {
        "torch": "torch",
        "transformers": "transformers",
        "transformer_lens": "transformer-lens",
    }
    return {"circuitviz": __version__, **{key: version(name) for key, name in names.items()}}
