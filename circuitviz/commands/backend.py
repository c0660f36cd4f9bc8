"""What the commands need of the rest of the package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.errors import ConfigError
from circuitviz.models.source import ModelCard, embedded_models, find_model
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.units import Circuit

if TYPE_CHECKING:
    from circuitviz.models.ablation import AblationName
    from circuitviz.runs.knock_out import KnockOutExport
    from circuitviz.runs.progress import OnStage
    from circuitviz.runs.store import Run
    from circuitviz.runs.tuning_store import Tuning


class Backend:
    """What the commands need of the rest of the package.

    torch and pandas are imported on first use: the help of a command is there at once.
    """

    def models(self) -> list[ModelCard]:
        """The embedded models."""
        return embedded_models()

    def behaviour(self, config: DiscoveryConfig) -> Behaviour:
        """The behaviour a discovery looks for."""
        from circuitviz.runs.resolve import behaviour_of

        return behaviour_of(config)

    def discover(self, config: DiscoveryConfig, on_progress: OnStage) -> Run:
        """Find a circuit; nothing is saved."""
        quiet_libraries()
        from circuitviz.runs.discover import run_discovery

        return run_discovery(config, on_progress=on_progress)

    def require_tuned_folder(self, folder: Path, run: Run) -> None:
        """Refuse a folder that a tuned model cannot be copied to, before the work is done."""
        quiet_libraries()
        from circuitviz.tuning.export import require_export_folder

        if folder.resolve() == find_model(run.config.model).resolve():
            raise ConfigError(f"{folder} is the model itself; name another folder as --out")
        require_export_folder(folder)

    def tune(self, config: TuningConfig, run: Run, on_progress: OnStage, kept: Path) -> Tuning:
        """Tune the circuit of a run; nothing is saved but finished epochs, in `kept`."""
        quiet_libraries()
        from circuitviz.runs.tune import run_tuning

        return run_tuning(config, run=run, on_progress=on_progress, kept=kept)

    def answers(
        self, config: DiscoveryConfig, prompt: str, circuits: Sequence[Circuit | None]
    ) -> list[str]:
        """The model's greedy answer with each circuit knocked out (None: intact)."""
        quiet_libraries()
        from circuitviz.models.ablation import measure_ablation
        from circuitviz.runs.preparation import model_of

        model = model_of(config)
        neutral = self.behaviour(config).neutral_messages
        ablation = measure_ablation(model, config.ablation, neutral, seed=config.seed)
        return [model.generate([prompt], circuit, ablation=ablation)[0] for circuit in circuits]

    def knock_out(
        self, run: Run, folder: Path, size: int | None, ablation: AblationName | None
    ) -> KnockOutExport:
        """Write the run's model with its circuit knocked out for good."""
        quiet_libraries()
        from circuitviz.runs.knock_out import export_knock_out

        return export_knock_out(run, folder, size=size, ablation=ablation)

    def exec_process(self, program: str, arguments: Sequence[str]) -> None:
        """Turn this process into another program."""
        os.execv(program, [program, *arguments])
