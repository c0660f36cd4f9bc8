"""Models and data of the user's own that were used here before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from circuitviz.behaviours.behaviour import SPEC_FILE, BehaviourSpec
from circuitviz.behaviours.own_folder import DATA_FOLDER
from circuitviz.errors import CircuitvizError
from circuitviz.paths import runs_folder
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui import services

__all__ = ["OwnModel", "own_models", "prepared_data"]

MOST_MODELS = 6


@dataclass(frozen=True)
class OwnModel:
    """A model that does not ship, as a discovery ran it.

    Attributes:
        config: The latest discovery of it.
        title: Name for people.
    """

    config: DiscoveryConfig
    title: str

    @property
    def name(self) -> str:
        """What tells it from others: its name, and the adapter on top of it."""
        return " + ".join(part for part in (self.config.model, self.config.adapter) if part)


def own_models() -> dict[str, OwnModel]:
    """The user's own models of past discoveries, latest first, by what tells them apart."""
    embedded = {card.name for card in services.model_cards()}
    found: dict[str, OwnModel] = {}
    for config in _past():
        if config.model not in embedded:
            parts = [services.model_title(part) for part in (config.model, config.adapter) if part]
            model = OwnModel(config, " + ".join(parts))
            found.setdefault(model.name, model)
    latest = dict(list(found.items())[:MOST_MODELS])
    titles = [model.title for model in latest.values()]
    return {
        name: model if titles.count(model.title) == 1 else replace(model, title=name)
        for name, model in latest.items()
    }


def prepared_data() -> dict[str, str]:
    """Titles of the behaviours made of the user's own data, latest first, by folder."""
    folders = [path.parent for path in (runs_folder() / DATA_FOLDER).glob(f"[!.]*/{SPEC_FILE}")]
    found: dict[str, str] = {}
    for folder in sorted(folders, key=_modified, reverse=True):
        try:
            spec = BehaviourSpec.read(folder / SPEC_FILE)
        except CircuitvizError:
            continue
        title = spec.title + (f" \u00b7 {spec.trigger.text}" if spec.trigger else "")
        if title in found.values():
            title += f" ({folder.name.rsplit('-', 1)[-1][:6]})"
        found[str(folder.resolve())] = title
    return found


def _past() -> list[DiscoveryConfig]:
    """Configurations of jobs, latest first, then those of saved runs."""
    try:
        jobs = services.runner().jobs()
    except CircuitvizError:
        jobs = []
    submitted = [job.discovery for job in jobs if job.kind == "discovery"]
    return submitted + list(services.run_configs().values())


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
