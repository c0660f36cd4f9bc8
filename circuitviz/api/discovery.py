"""Discover in one model, or in many."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from circuitviz.api.inputs import Model, load, load_behaviour
from circuitviz.api.run import Run, store_in
from circuitviz.behaviours.behaviour import Behaviour, save_behaviour
from circuitviz.behaviours.plugins import behaviour_plugins
from circuitviz.errors import CircuitvizError, ConfigError
from circuitviz.files import runs_folder
from circuitviz.jobs.sweep import Sweep, check_sweep, chosen_pool, perform_sweep, read_sweep
from circuitviz.jobs.terminal import Bar, SweepTable
from circuitviz.progress import unwatched
from circuitviz.quiet import libraries_quiet, stdout_discarded
from circuitviz.runs.config import OF_MODEL, DiscoveryConfig, described
from circuitviz.runs.progress import OnStage

if TYPE_CHECKING:
    from circuitviz.jobs.sweep import SweptRun

# Without what the model or the behaviour says.
SETTINGS = {
    name: field
    for name, field in DiscoveryConfig.fields().items()
    if name not in (*OF_MODEL, "behaviour")
}


def discover(
    model: Model | str | Path,
    behaviour: Behaviour | str | Path | None = None,
    *,
    progress: bool | OnStage = True,
    runs: str | Path | None = None,
    **settings: Any,
) -> Run:
    """Find the few units that cause a behaviour, and measure what knocking them out does.

        run = cv.discover(model, behaviour, steps=200, seed=1)
        run.save()

    Ctrl-C stops it and leaves the model as it was.  Nothing is saved, but for a behaviour that is
    nowhere yet: the run names it by its folder.  Judges of its own are asked about the run's
    answers, and are not saved with it: those of a plug-in are found again by its name.

    Args:
        model: A loaded one; a name or a path is loaded first.
        behaviour: What to look for: a `Behaviour`, or what `load_behaviour` takes, or the name of
            a plug-in; None is the one beside the model.
        progress: Whether a bar is drawn, or what is told where the discovery stands.
        runs: Folder of runs, below which a new behaviour is saved; None is `$CIRCUITVIZ_RUNS`,
            else `runs/`.
        settings: Fields of a `DiscoveryConfig`, listed below.

    Raises:
        CircuitvizError: A setting is unknown or not usable, or the behaviour cannot be read, or
            the model does not show it.
    """
    unknown = [name for name in settings if name not in SETTINGS]
    if unknown:
        raise ConfigError(f"discover takes {', '.join(SETTINGS)}; got {', '.join(unknown)}")
    if settings.get("prompts"):
        # Absolute, as a run is also read from other folders than this one.
        settings["prompts"] = str(Path(settings["prompts"]).resolve())
    loaded = model if isinstance(model, Model) else load(model)
    where = _named(behaviour, loaded, runs_folder(runs))
    config = replace(loaded.config, behaviour=where, **settings)
    with Bar() if progress is True else nullcontext() as bar, libraries_quiet():
        from circuitviz.runs.discover import run_discovery as find

        on_progress = bar.show if bar else progress if callable(progress) else unwatched
        judges = behaviour.judges if isinstance(behaviour, Behaviour) else ()
        return Run.of(
            find(config, on_progress=on_progress, model=loaded.gated, judges=judges), loaded
        )


discover.__doc__ = f"{discover.__doc__}\n    Settings:\n" + "\n".join(
    f"        {name}: {described(field)}" for name, field in SETTINGS.items()
)


def _named(behaviour: Behaviour | str | Path | None, model: Model, runs: Path) -> str | None:
    """How a configuration names a behaviour: by folder, by plug-in, or not at all."""
    if behaviour is None:
        return None
    if not isinstance(behaviour, Behaviour):
        if any(plugin.name == str(behaviour) for plugin in behaviour_plugins()):
            return str(behaviour)
        if (Path(behaviour) / "behaviour.json").is_file():
            return str(Path(behaviour).resolve())
        behaviour = load_behaviour(behaviour)
    if behaviour == _beside(model):
        return None
    return str(save_behaviour(behaviour, runs).resolve())


def _beside(model: Model) -> Behaviour | None:
    try:
        return load_behaviour(model.name)
    except CircuitvizError:
        return None


def sweep(
    source: str | Path | Mapping[str, Any],
    *,
    workers: int | None = None,
    ray: str | None = None,
    runs: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Carry out models x behaviours x methods x seeds x settings; what is saved is skipped.

        cv.sweep({"models": ["refusal"], "seeds": [0, 1, 2], "settings": [{"steps": 200}]})

    Each run is saved as it ends, and a failed one stops no other.

    Args:
        source: A YAML file, or what it would hold.
        workers: Processes on this machine; None is one a GPU, else one a core that there is
            memory for.
        ray: Address of a Ray cluster to use instead; models and data given as paths must lie there
            on every node.
        runs: Folder of runs; None is `$CIRCUITVIZ_RUNS`, else `runs/`.
        progress: Whether a table is drawn on standard error.

    Returns:
        One row a run: run_id, model, method, seed, state (`done`, `saved` before, or `failed`),
        seconds, size, asr (share in [0, 1], knocked out), error.

    Raises:
        CircuitvizError: Something in the sweep is unknown or not usable; nothing has started then.
    """
    plan = Sweep.from_json(source) if isinstance(source, Mapping) else read_sweep(Path(source))
    pool = chosen_pool(plan, workers, ray)
    check_sweep(plan)

    def quietly(run: SweptRun) -> None:
        """Show nothing."""

    with ExitStack() as stack:
        show = quietly
        if progress:
            run_ids = [config.run_id() for config in plan.configs]
            show = stack.enter_context(SweepTable(run_ids)).show
        stack.enter_context(stdout_discarded())
        ended = perform_sweep(plan, store_in(runs), pool, show)
    return pd.DataFrame([run.to_json() for run in ended])
