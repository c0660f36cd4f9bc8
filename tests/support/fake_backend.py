"""What commands need, answered at once, for tests of what they take and print."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.trigger import Trigger
from circuitviz.commands.backend import Backend
from circuitviz.evaluation.rate import Rate
from circuitviz.models.ablation import AblationName
from circuitviz.models.source import ModelCard
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.runs.knock_out import KnockOutExport
from circuitviz.runs.progress import OnStage, Progress
from circuitviz.runs.store import Run
from circuitviz.runs.tuning_store import Tuning
from circuitviz.units import Circuit
from tests.support.synthetic import backdoor_run
from tests.support.synthetic_tuning import repair_tuning

__all__ = ["ONE_LINE", "FakeBackend"]

CARDS = [
    ModelCard("planted", "Planted", "Two heads obey.", Path("/m/planted"), "backdoor", True),
    ModelCard("base", "Base", "Helps.", Path("/m/base"), None, False),
]
# What a refusal looks like on standard error.
ONE_LINE = re.compile(r"circuitviz: [^\n]+\n")


class FakeBackend(Backend):
    """Answers at once, and remembers what it was asked."""

    def __init__(self, run: Run | None = None, error: BaseException | None = None) -> None:
        self.run = run or backdoor_run()
        self.error = error
        self.verified = Rate("same greedy answer", 8, 8)
        self.config: DiscoveryConfig | None = None
        self.tuning: TuningConfig | None = None
        self.program: tuple[str, list[str]] | None = None

    def models(self) -> list[ModelCard]:
        return CARDS

    def behaviour(self, config: DiscoveryConfig) -> Behaviour:
        if config.model == "refusal":
            return Behaviour(BehaviourSpec("refusal", "Refusal of harm", "Which?"), ())
        spec = BehaviourSpec("backdoor", "Backdoor", "Which?", Trigger("quill amber", "front"))
        return Behaviour(spec, ())

    def discover(self, config: DiscoveryConfig, on_progress: OnStage) -> Run:
        self.config = config
        sys.stdout.write("a library talks\n")
        on_progress(Progress("load", 0.0))
        if self.error is not None:
            raise self.error
        on_progress(Progress("learn", 0.5, step=1, steps=2, losses={"removal": 0.25}))
        metrics = self.run.metrics.changed(run_id=config.run_id(), frontier=[])
        return replace(self.run, config=config, run_id=config.run_id(), metrics=metrics)

    def tune(self, config: TuningConfig, run: Run, on_progress: OnStage, kept: Path) -> Tuning:
        self.tuning = config
        sys.stdout.write("a library talks\n")
        on_progress(Progress("tune", 0.5, arm="circuit"))
        checkpoint = kept / "made"
        checkpoint.mkdir(parents=True)
        (checkpoint / "config.json").write_text("{}")
        if self.error is not None:
            raise self.error
        made = repair_tuning(run)
        metrics = made.metrics.changed(tuning_id=config.tuning_id())
        return replace(
            made,
            tuning_id=config.tuning_id(),
            config=config,
            metrics=metrics,
            checkpoint=checkpoint,
        )

    def answers(
        self, config: DiscoveryConfig, prompt: str, circuits: Sequence[Circuit | None]
    ) -> list[str]:
        return [
            f"all of {prompt}" if circuit is None else f"{prompt} less {len(circuit)}"
            for circuit in circuits
        ]

    def knock_out(
        self, run: Run, folder: Path, size: int | None, ablation: AblationName | None
    ) -> KnockOutExport:
        sys.stdout.write("a library talks\n")
        if self.error is not None:
            raise self.error
        folder.mkdir()
        (folder / "model.safetensors").touch()
        (folder / "config.json").touch()
        kind = ablation or run.config.ablation
        return KnockOutExport(run, folder, run.circuit(size), kind, self.verified)

    def exec_process(self, program: str, arguments: Sequence[str]) -> None:
        self.program = (program, list(arguments))
