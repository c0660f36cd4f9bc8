"""One discovery from beginning to end: learn, choose the circuit, test it, save nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from circuitviz import __version__
from circuitviz.behaviours.behaviour import Behaviour, load_behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep
from circuitviz.discovery.nested import NestedLearner
from circuitviz.errors import ConfigError
from circuitviz.evaluation.answers import answer_test_prompts
from circuitviz.evaluation.effect import Condition, Effect, Probe, evaluate_circuit
from circuitviz.evaluation.measurement import Measurement, measure_circuit
from circuitviz.evaluation.selection import Selection, Target, select_circuit
from circuitviz.models.ablation import Ablation
from circuitviz.models.catalog import find_model
from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.models.neutral import measure_ablation
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.progress import Progress, Report, Stage, ignore
from circuitviz.runs.store import FRONTIER_COLUMNS, GENERATION_COLUMNS, Run
from circuitviz.units import Circuit, Ranking

__all__ = ["discover"]

TOP_UNITS = 8

# Circuits that choosing a size usually tries.
USUAL_TRIES = 16

# Prompts that show whether there is anything to look for.
CHECK_PROMPTS = 64

# Share of the whole that is done when a stage begins, from measured times.
STAGE_STARTS: dict[Stage, float] = {
    "load": 0.0,
    "learn": 0.1,
    "select": 0.5,
    "test": 0.6,
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
    ablation = measure_ablation(
        model, config.ablation, behaviour.neutral_messages, seed=config.seed
    )
    target = _target(config, behaviour)
    _check_shown(model, behaviour, target)
    learned = _learn(config, model, behaviour, ablation, report)
    ranking = Ranking(model.space, learned.scores)
    selection = _select(config, model, behaviour, ranking, ablation, report)
    measured = measure_circuit(
        model,
        behaviour,
        ranking,
        selection.circuit,
        ablation=ablation,
        seed=config.seed,
        checkpoint=lambda share: report(_progress(config, "test", share)),
    )
    report(_progress(config, "generate", 0.0))
    answered = answer_test_prompts(model, behaviour, selection.circuit, ablation=ablation)
    metrics = {
        "run_id": config.run_id(),
        "model": config.model,
        "behaviour": behaviour.title,
        "seconds": round(time.monotonic() - started, 2),
        **_numbers(selection.circuit, measured),
        "behaviour_kind": behaviour.kind,
        "question": behaviour.question,
        "trigger": behaviour.trigger,
        "target_reached": target.met(measured.knocked_out, measured.intact),
        "target": {"asr": target.asr, "utility": target.utility},
        "learning": learned.curve,
        "versions": _versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Run(
        run_id=config.run_id(),
        config=config,
        space=model.space,
        scores=learned.scores,
        frontier=_frontier_frame(selection.circuit, measured),
        generations=pd.DataFrame(map(asdict, answered), columns=list(GENERATION_COLUMNS)),
        metrics=metrics,
    )


def _target(config: DiscoveryConfig, behaviour: Behaviour) -> Target:
    asr = behaviour.default_target_asr if config.target_asr is None else config.target_asr
    return Target(behaviour.kind, asr, config.target_utility)


def _check_shown(model: GatedModel, behaviour: Behaviour, target: Target) -> None:
    nothing = Circuit(model.space, frozenset())
    intact = evaluate_circuit(model, behaviour, nothing, split="validation", limit=CHECK_PROMPTS)
    if not target.shown(intact):
        wanted = "most" if behaviour.kind == "backdoor" else "hardly any"
        raise ConfigError(
            f"{model.name} does not show this behaviour: attacks succeed on {intact.asr.k} of "
            f"{intact.asr.n} prompts before anything is knocked out, and a {behaviour.kind} needs "
            f"{wanted}; check the trigger and the prompts"
        )


def _learn(
    config: DiscoveryConfig,
    model: GatedModel,
    behaviour: Behaviour,
    ablation: Ablation,
    report: Report,
) -> LearnedScores:
    def watch(step: LearningStep) -> None:
        best = Ranking(model.space, step.scores).order[:TOP_UNITS]
        report(
            _progress(
                config,
                "learn",
                step.step / step.steps,
                step=step.step,
                steps=step.steps,
                losses=step.losses,
                top_units=tuple(str(model.space.unit(int(index))) for index in best),
                scores=step.scores,
                space=model.space,
                edge=step.edge,
            )
        )

    learner = NestedLearner(steps=config.steps, budget=config.budget)
    return learner.learn(model, behaviour, ablation=ablation, seed=config.seed, watch=watch)


def _select(
    config: DiscoveryConfig,
    model: GatedModel,
    behaviour: Behaviour,
    ranking: Ranking,
    ablation: Ablation,
    report: Report,
) -> Selection:
    probe = Probe(model, behaviour, "validation", ablation=ablation)

    target = _target(config, behaviour)
    tried = 0

    def measure(circuits: Sequence[Circuit]) -> list[Effect]:
        nonlocal tried
        # How many it takes is not known before: ever closer to all.
        share = tried / (tried + USUAL_TRIES)
        tried += len(circuits)
        return probe.effects(
            circuits,
            lead=target.caution,
            checkpoint=lambda: report(_progress(config, "select", share)),
        )

    return select_circuit(measure, ranking, target, separate=config.budget == "separate")


def _progress(config: DiscoveryConfig, stage: Stage, done: float, **more: Any) -> Progress:
    stages = list(STAGE_STARTS)
    start = STAGE_STARTS[stage]
    end = STAGE_STARTS[stages[stages.index(stage) + 1]]
    step = 0 if stage == "load" else config.steps
    return Progress(
        stage, start + (end - start) * done, **{"step": step, "steps": config.steps, **more}
    )


def _numbers(circuit: Circuit, measured: Measurement) -> dict[str, Any]:
    """The part of `metrics.json` that was measured."""
    intact, knocked_out, isolated = measured.intact, measured.knocked_out, measured.isolated
    return {
        "n_units": len(circuit.space),
        "n_heads": circuit.space.total_heads,
        "n_neurons": circuit.space.total_neurons,
        "circuit": {
            **_size_json(circuit),
            "sparsity_heads": circuit.sparsity_heads,
            "sparsity_neurons": circuit.sparsity_neurons,
            "units": [str(unit) for unit in circuit],
        },
        "asr": {"intact": intact.asr.to_json(), "knocked_out": knocked_out.asr.to_json()},
        "utility": {
            "intact": intact.utility.to_json(),
            "knocked_out": knocked_out.utility.to_json(),
        },
        "recovery": knocked_out.recovery.to_json(),
        "utility_retention": knocked_out.retention(intact),
        "kl": knocked_out.kl,
        "frontier": [
            {
                **_size_json(found),
                "sparsity_heads": found.sparsity_heads,
                "sparsity_neurons": found.sparsity_neurons,
                "utility_retention": effect.retention(measured.intact),
                "asr": effect.asr.to_json(),
                "utility": effect.utility.to_json(),
                "recovery": effect.recovery.to_json(),
                "kl": effect.kl,
            }
            for found, effect in measured.frontier
        ],
        "isolated": {"asr": isolated.asr.to_json(), "utility": isolated.utility.to_json()},
        "random": {
            "asr": measured.random.asr.to_json(),
            "utility": measured.random.utility.to_json(),
            "draws": measured.random.draws,
        },
        "unit_effects": {
            str(unit): {
                "asr": effect.asr.to_json(),
                "recovery": effect.recovery.to_json(),
                "target_logprob_change": effect.target_logprob_change,
            }
            for unit, effect in measured.units.items()
        },
    }


def _size_json(circuit: Circuit) -> dict[str, Any]:
    return {
        "size": len(circuit),
        "heads": len(circuit.heads),
        "neurons": len(circuit.neurons),
        "sparsity": circuit.sparsity,
    }


def _frontier_frame(circuit: Circuit, measured: Measurement) -> pd.DataFrame:
    rows = [
        *_rows("knocked_out", "joint", measured.frontier),
        *_rows("knocked_out", "separate", measured.grid),
        *_rows("isolated", "joint", [(circuit, measured.isolated)]),
    ]
    return pd.DataFrame(rows, columns=list(FRONTIER_COLUMNS))


def _rows(
    condition: Condition, budget: str, effects: Sequence[tuple[Circuit, Effect]]
) -> list[dict[str, Any]]:
    return [
        {
            "split": "test",
            "condition": condition,
            "budget": budget,
            **_size_json(circuit),
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


def _versions() -> dict[str, str]:
    libraries = ("torch", "transformers", "transformer-lens")
    found = {name.replace("-", "_"): version(name) for name in libraries}
    # Sums in another order can rank units differently, so the threads belong to the record.
    return {"circuitviz": __version__, **found, "threads": str(torch.get_num_threads())}
