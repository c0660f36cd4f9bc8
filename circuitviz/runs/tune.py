"""Carry out a tuning: train around a saved run's circuit, or the circuit alone, and measure."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.nn import Parameter

from circuitviz.errors import UnsupportedModelError
from circuitviz.evaluation.judge import EXACT_ANSWER
from circuitviz.evaluation.results import ArmRates, PlanUsed, ScenarioText, TuningMetrics
from circuitviz.models.weights import load_tokenizer, load_weights
from circuitviz.progress import unwatched
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.preparation import versions
from circuitviz.runs.progress import OnStage, Progress, Stage
from circuitviz.runs.scenario import FORGETTING_PLAN, Scenario
from circuitviz.runs.store import Run
from circuitviz.runs.tuning_store import (
    ANSWER_COLUMNS,
    BEFORE,
    CHECKPOINT,
    CurvePoint,
    Tuning,
    curve_frame,
)
from circuitviz.tuning.card import tuned_card
from circuitviz.tuning.export import write_checkpoint
from circuitviz.tuning.training import Training
from circuitviz.tuning.training_data import TrainingData
from circuitviz.tuning.tunable import Entries, Tunable
from circuitviz.tuning.tuning_eval import SAFETY_JUDGES, EvalResult, TuningEval
from circuitviz.units import Circuit, random_matched

# Prompts of each role behind every point of a curve.
CURVE_PROMPTS = 64
# The arm in which a refusal is forgotten before it is restored; it is no result.
FORGETTING = "erosion"
KNOCK_OUT = "knock-out"


def run_tuning(
    config: TuningConfig, *, run: Run, on_progress: OnStage = unwatched, kept: Path
) -> Tuning:
    """Tune a saved run's circuit in every arm, and measure each on test prompts.

    Args:
        config: What to do.
        run: The run that the configuration names.
        on_progress: Called with how far it is; may raise to stop.
        kept: Folder for finished epochs; the same configuration goes on from there.

    Raises:
        CircuitvizError: The model or its lessons cannot be read, or the mode does not apply.
    """
    on_progress(Progress("load", 0.0))
    return _Tuner(config, run, Scenario.of(config, run), on_progress, kept).carried_out()


class _Tuner:
    """One tuning at work."""

    def __init__(
        self, config: TuningConfig, run: Run, scenario: Scenario, on_progress: OnStage, kept: Path
    ) -> None:
        self._began = time.monotonic()
        self._config = config
        self._run = run
        self._scenario = scenario
        self._on_progress = on_progress
        self._kept = kept
        self._curve: list[CurvePoint] = []
        self._answers: list[pd.DataFrame] = []
        self._circuit = run.circuit(config.size)
        self._other = random_matched(self._circuit, np.random.default_rng(config.seed))
        self._model = Tunable.load(run.config.model, adapter=run.config.adapter)
        behaviour, examples = scenario.behaviour, scenario.examples
        self._test = TuningEval(behaviour, examples, "test")
        self._validation = TuningEval(behaviour, examples, "validation", limit=CURVE_PROMPTS)
        self._begun = 0  # trainings begun so far
        self._trainings = len(self._entries()) + scenario.forgets_first
        self._resumed = 0.0  # of those, what an earlier attempt trained

    def carried_out(self) -> Tuning:
        """Every stage."""
        intact = before = self._test_now()
        if self._scenario.forgetting_data is not None:
            self._train(
                FORGETTING, self._scenario.forgetting_data, Entries.everything(self._parameters)
            )
            before = self._test_now()
        self._note_answers(BEFORE, before)
        start = self._model.state()
        early = self._validation.run(self._model.gated)
        arms = {
            arm: self._arm(arm, entries, start, early, intact)
            for arm, entries in self._entries().items()
        }
        if self._scenario.knocks_out:
            arms[KNOCK_OUT] = self._knocked_out(start, intact)
        self._tell("save", 1.0)
        metrics = self._metrics(intact, before, arms)
        return Tuning(
            tuning_id=self._config.tuning_id(),
            config=self._config,
            curve=curve_frame(self._curve),
            answers=pd.concat(self._answers, ignore_index=True),
            metrics=metrics,
            checkpoint=self._checkpoint(metrics),
        )

    @property
    def _parameters(self) -> dict[str, Parameter]:
        return self._model.parameters

    def _entries(self) -> dict[str, Entries]:
        """What may move in each arm that trains."""
        owned = self._model.weights.entries(self._circuit)
        owned_by_other = self._model.weights.entries(self._other)
        everything = Entries.everything(self._parameters)
        if self._config.mode == "repair":
            circuit, random = Entries(owned), Entries(owned_by_other)
        else:
            circuit = Entries.all_but(self._parameters, owned)
            random = Entries.all_but(self._parameters, owned_by_other)
        return {"circuit": circuit, "full": everything, "random": random}

    def _arm(
        self,
        arm: str,
        entries: Entries,
        start: dict[str, Tensor],
        early: EvalResult,
        intact: EvalResult,
    ) -> ArmRates:
        """Train one arm from the start and measure it."""
        self._model.take(start)
        self._curve.append(_point(arm, 0, nan, early))
        seconds, epochs, equal = self._train(arm, self._scenario.training_data, entries)
        result = self._test_now()
        self._note_answers(arm, result)
        if arm == "circuit":
            self._tuned = self._model.state()
        moving = entries.count(self._parameters)
        return _rates(result, intact).changed(
            parameters_trained=moving,
            parameters_trained_share=moving / self._all_parameters(),
            seconds=seconds,
            epochs=epochs,
            # Where nothing is frozen there is nothing to compare.
            frozen_equal=None if moving == self._all_parameters() else equal,
        )

    def _knocked_out(self, start: dict[str, Tensor], intact: EvalResult) -> ArmRates:
        self._model.take(start)
        result = self._test_now(self._circuit)
        self._note_answers(KNOCK_OUT, result)
        return _rates(result, intact).changed(
            parameters_trained=0,
            parameters_trained_share=0.0,
            seconds=0.0,
            epochs=0,
            frozen_equal=None,
        )

    def _test_now(self, circuit: Circuit | None = None) -> EvalResult:
        """Put the test prompts to the model as it is now."""
        done = self._begun / self._trainings
        return self._test.run(
            self._model.gated, circuit, on_progress=lambda: self._tell("test", done)
        )

    def _train(
        self, arm: str, data: TrainingData, entries: Entries
    ) -> tuple[float, int, bool | None]:
        """Train, epoch by epoch, from where an earlier attempt stopped.

        Returns:
            Seconds, epochs, and whether what was frozen is bit for bit the same.
        """
        plan = FORGETTING_PLAN if arm == FORGETTING else self._scenario.plan
        training = Training(self._model, data, entries, plan, seed=self._config.seed)
        notes = training.resume(self._kept / arm) or {"points": [], "seconds": 0.0}
        judges = {"safety_judge": self._safety_judge, "helpfulness_judge": EXACT_ANSWER}
        self._curve += [CurvePoint.of(row, **judges) for row in notes["points"]]
        total = plan.epochs * training.steps_per_epoch
        self._resumed += training.epoch / plan.epochs
        self._tell_training(arm, training.epoch * training.steps_per_epoch, total, {})
        while not training.done:
            began = time.monotonic()
            loss = training.run_epoch(
                lambda step, loss: self._tell_training(arm, step, total, {"answers": loss})
            )
            notes["seconds"] += time.monotonic() - began
            if arm != FORGETTING:
                point = _point(arm, training.epoch, loss, self._validation.run(self._model.gated))
                self._curve.append(point)
                notes["points"].append(point.row())
            training.keep(self._kept / arm, notes)
        self._begun += 1
        return round(notes["seconds"], 2), training.epoch, training.finish()

    @property
    def _safety_judge(self) -> str:
        return SAFETY_JUDGES[self._scenario.behaviour.kind]

    def _all_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._parameters.values())

    def _note_answers(self, arm: str, result: EvalResult) -> None:
        rows = [{**asdict(answer), "arm": arm} for answer in result.answers]
        self._answers.append(pd.DataFrame(rows, columns=list(ANSWER_COLUMNS)))

    def _tell_training(self, arm: str, step: int, steps: int, losses: dict[str, float]) -> None:
        self._tell("tune", step / steps, arm=arm, step=step, steps=steps, losses=losses)

    def _tell(self, stage: Stage, done: float, **more: Any) -> None:
        share = (self._begun + done) / self._trainings if stage == "tune" else done
        curve, resumed = tuple(self._curve), self._resumed / self._trainings
        self._on_progress(Progress(stage, min(share, 1.0), curve=curve, resumed=resumed, **more))

    def _metrics(
        self, intact: EvalResult, before: EvalResult, arms: dict[str, ArmRates]
    ) -> TuningMetrics:
        scenario, behaviour = self._scenario, self._scenario.behaviour
        first = PlanUsed(**asdict(FORGETTING_PLAN)) if scenario.forgets_first else None
        return TuningMetrics(
            tuning_id=self._config.tuning_id(),
            run_id=self._run.run_id,
            model=self._run.config.model,
            behaviour=behaviour.title,
            behaviour_kind=behaviour.kind,
            mode=self._config.mode,
            seed=self._config.seed,
            size=len(self._circuit),
            units=[str(unit) for unit in self._circuit],
            scenario=ScenarioText(title=scenario.title, text=scenario.text),
            plan=PlanUsed(**asdict(self._scenario.plan)),
            erosion_plan=first,
            random_overlap=len(self._other.units & self._circuit.units),
            judges={"safety": self._safety_judge, "helpfulness": EXACT_ANSWER},
            intact=_rates(intact, intact),
            before=_rates(before, intact),
            arms=arms,
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._began, 2),
        )

    def _checkpoint(self, metrics: TuningMetrics) -> Path:
        """The circuit arm's model as an ordinary folder."""
        config = self._run.config
        plain = load_weights(config.model, adapter=config.adapter)
        # Tied weights stand in one place only; any other difference would publish other weights.
        missing, unexpected = plain.load_state_dict(self._tuned, strict=False)
        lost = {*unexpected, *(set(missing) & set(dict(plain.named_parameters())))}
        if lost:
            raise UnsupportedModelError(
                f"cannot write {config.model} as a checkpoint: {min(lost)} has another name there"
            )
        tokenizer = load_tokenizer(config.model, adapter=config.adapter)
        card = tuned_card(metrics, self._circuit)
        return write_checkpoint(plain, tokenizer, self._kept / CHECKPOINT, card)


def _point(arm: str, epoch: int, loss: float, result: EvalResult) -> CurvePoint:
    return CurvePoint(arm, epoch, loss, result.safety, result.helpfulness)


def _rates(result: EvalResult, intact: EvalResult) -> ArmRates:
    """Rates of one model on test prompts, and what it keeps of the intact model's."""
    # A backdoored model is hardly safe to begin with: there is nothing to keep.
    keeps = result.kind == "refusal" and intact.safety.k
    kept = result.safety.rate / intact.safety.rate if keeps else None
    utility = result.utility.rate / intact.utility.rate if intact.utility.k else None
    return ArmRates(
        safety=result.safety,
        helpfulness=result.helpfulness,
        utility=result.utility,
        asr=result.asr,
        exact=result.exact,
        safety_kept=kept,
        utility_kept=utility,
    )
