"""Export a run's model with the circuit knocked out in its weights."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.ablation import ZERO, Ablation, AblationName, measure_ablation
from circuitviz.models.answer import greedy_answers
from circuitviz.models.loading import data_type
from circuitviz.models.model import GatedModel
from circuitviz.models.source import find_model
from circuitviz.models.weights import load_tokenizer, load_weights
from circuitviz.runs.preparation import model_of
from circuitviz.runs.resolve import behaviour_of
from circuitviz.runs.store import Run
from circuitviz.tuning.card import KnockOutEffect, knock_out_card
from circuitviz.tuning.export import (
    fold_knock_out,
    require_export_folder,
    same_answers,
    write_checkpoint,
)
from circuitviz.units import Circuit

# Prompts whose answers are compared first, and for how long more are: seconds.
FIRST_PROMPTS, CHECK_SECONDS = 8, 5.0
# What the answer to a test prompt probably is.
GUESSES = ("knocked_out", "expected", "intact")


@dataclass(frozen=True)
class KnockOutExport:
    """What was written, and whether it answers as the hooked model does.

    Attributes:
        run: Whose circuit it is.
        folder: Where the checkpoint lies.
        circuit: What is knocked out.
        ablation: What replaces it.
        verified: Test prompts that the written checkpoint, loaded by plain transformers, gives
            the same greedy answer to as the model with the circuit ablated by hooks.
    """

    run: Run
    folder: Path
    circuit: Circuit
    ablation: AblationName
    verified: Rate

    @property
    def files(self) -> list[str]:
        """Names of the files written, in order."""
        return sorted(path.name for path in self.folder.iterdir())

    def to_json(self) -> dict[str, Any]:
        """`{run_id, model, out, size, units, ablation, files, verified: {k, n}}`."""
        return {
            "run_id": self.run.run_id,
            "model": self.run.config.model,
            "out": str(self.folder),
            "size": len(self.circuit),
            "units": [str(unit) for unit in self.circuit],
            "ablation": self.ablation,
            "files": self.files,
            "verified": {"k": self.verified.k, "n": self.verified.n},
        }


def export_knock_out(
    run: Run,
    folder: Path,
    *,
    size: int | None = None,
    circuit: Circuit | None = None,
    ablation: AblationName | None = None,
) -> KnockOutExport:
    """Write the run's model with its circuit knocked out for good, and check what was written.

    Args:
        run: Whose circuit and model.
        folder: Where to; new, empty, or an earlier export, which is replaced.
        size: How many of the best units; None is the reported circuit.
        circuit: Any units instead; None goes by the size.
        ablation: `zero` or `mean`; None is the run's own.

    Raises:
        CircuitvizError: The model cannot be used or cannot hold the ablation, there is no circuit
            of that size, or something else lies in the folder.
    """
    kind = ablation or run.config.ablation
    source = find_model(run.config.model)
    circuit = _circuit(run, size) if circuit is None else circuit
    if folder.resolve() == source.resolve():
        raise ConfigError(f"{folder} is the model itself; export to another folder")
    require_export_folder(folder)
    gated = model_of(run.config)
    replacement = _ablation(run, gated, kind)
    # As it was run: an adapter is merged in the dtype of the weights.
    dtype = data_type(run.config.dtype)
    model = load_weights(run.config.model, adapter=run.config.adapter, dtype=dtype)
    tokenizer = load_tokenizer(run.config.model, adapter=run.config.adapter)
    fold_knock_out(model, circuit, replacement)
    card = knock_out_card(
        run_id=run.run_id,
        model=source.name,
        behaviour=run.metrics.behaviour,
        kind=run.metrics.behaviour_kind,
        circuit=circuit,
        ablation=kind,
        effect=_measured(run, circuit, kind),
    )
    write_checkpoint(model, tokenizer, folder, card)
    verified = _verified(run, gated, circuit, replacement, folder)
    return KnockOutExport(run, folder, circuit, kind, verified)


def measured_effect(run: Run, size: int, ablation: AblationName) -> KnockOutEffect | None:
    """What the run measured of exactly this on all its test prompts, or None.

    The reported circuit has numbers under the run's own ablation, and under others where further
    evidence was gathered.  Other sizes have them where the frontier has that size.
    """
    if size == run.size:
        if ablation == run.config.ablation:
            asr, utility = run.metrics.asr.knocked_out, run.metrics.utility.knocked_out
        elif ablation in (run.metrics.ablations):
            asr = run.metrics.ablations[ablation].asr
            utility = run.metrics.ablations[ablation].utility
        else:
            return None
    else:
        rows = run.frontier.query(
            "split == 'test' and condition == 'knocked_out' and budget == 'joint' and size == @size"
        )
        if ablation != run.config.ablation or rows.empty:
            return None
        row = rows.iloc[0]
        asr = Rate(run.metrics.asr.intact.judge, int(row["asr_k"]), int(row["asr_n"]))
        judge = run.metrics.utility.intact.judge
        utility = Rate(judge, int(row["utility_k"]), int(row["utility_n"]))
    return KnockOutEffect(run.metrics.asr.intact, asr, run.metrics.utility.intact, utility)


def _measured(run: Run, circuit: Circuit, kind: AblationName) -> KnockOutEffect | None:
    """What the run measured of these very units, or None."""
    same = circuit == run.circuit(len(circuit))
    return measured_effect(run, len(circuit), kind) if same else None


def _circuit(run: Run, size: int | None) -> Circuit:
    circuit_size = run.size if size is None else size
    if not 1 <= circuit_size <= len(run.space):
        raise ConfigError(
            f"a circuit to knock out has between 1 and {len(run.space)} units of "
            f"{run.config.model}; got {circuit_size}"
        )
    return run.circuit(size)


def _ablation(run: Run, model: GatedModel, kind: AblationName) -> Ablation:
    if kind == "resample":
        raise ConfigError(
            "resample draws other values for each prompt, which no weights can hold; choose the "
            "ablation zero or mean"
        )
    if kind == "zero":
        return ZERO
    neutral = behaviour_of(run.config).neutral_messages
    return measure_ablation(model, kind, neutral, seed=run.config.seed)


def _verified(
    run: Run, gated: GatedModel, circuit: Circuit, ablation: Ablation, folder: Path
) -> Rate:
    """Compare greedy answers to test prompts of all kinds, to all of them if that is quick."""
    guesses = {
        str(row["prompt"]): [str(row[name]) for name in GUESSES if row[name]]
        for row in run.generations.to_dict("records")
    }
    prompts = list(guesses)
    random.Random(0).shuffle(prompts)
    dtype = data_type(run.config.dtype)
    written, tokenizer = load_weights(str(folder), dtype=dtype), load_tokenizer(str(folder))
    same: list[bool] = []
    started = time.monotonic()
    while len(same) < len(prompts) and (not same or time.monotonic() - started < CHECK_SECONDS):
        chunk = prompts[len(same) : max(FIRST_PROMPTS, 2 * len(same))]
        tries = [guesses[prompt] for prompt in chunk]
        hooked = greedy_answers(gated, chunk, tries, circuit, ablation=ablation)
        same += same_answers(written, tokenizer, gated, chunk, hooked)
    return Rate.of(same, judge="same greedy answer")
