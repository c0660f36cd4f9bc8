"""Which model to search and for what, on the page Discover."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast
from zlib import crc32

import streamlit as st

from circuitviz.behaviours.behaviour import DATA_FOLDER, SPEC_FILE, BehaviourSpec
from circuitviz.behaviours.plugins import behaviour_plugins
from circuitviz.errors import CircuitvizError
from circuitviz.files import full_path, runs_folder
from circuitviz.models.source import ModelCard, find_model, unfetched_model, usual_dtype
from circuitviz.runs.config import OF_MODEL, DataType, DiscoveryConfig
from circuitviz.runs.store import newest_first
from circuitviz.ui import services
from circuitviz.ui.elements.fetch_button import fetch_button
from circuitviz.ui.elements.keys import listing_key

MAX_MODELS = 6

OWN_FOLDER, BESIDE = "__own__", ""
PILLS = "model_pills"


@dataclass(frozen=True)
class RecentModel:
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


def recent_models() -> dict[str, RecentModel]:
    """The user's own models of past discoveries, latest first, by what tells them apart."""
    embedded = {card.name for card in services.model_cards()}
    models: dict[str, RecentModel] = {}
    jobs = [job.discovery for job in services.jobs("discovery")]
    for config in (*jobs, *services.run_configs().values()):
        if config.model not in embedded:
            parts = [services.model_title(part) for part in (config.model, config.adapter) if part]
            model = RecentModel(config, " + ".join(parts))
            models.setdefault(model.name, model)
    latest = dict(list(models.items())[:MAX_MODELS])
    titles = [model.title for model in latest.values()]
    return {
        name: model if titles.count(model.title) == 1 else replace(model, title=name)
        for name, model in latest.items()
    }


def prepared_data() -> dict[str, str]:
    """Titles of the behaviours made of the user's own data, latest first, by folder."""
    folders = [path.parent for path in (runs_folder() / DATA_FOLDER).glob(f"[!.]*/{SPEC_FILE}")]
    prepared: dict[str, str] = {}
    for folder in newest_first(folders):
        try:
            spec = BehaviourSpec.read(folder / SPEC_FILE)
        except CircuitvizError:
            continue
        title = spec.title + (f" \u00b7 {spec.trigger.text}" if spec.trigger else "")
        if title in prepared.values():
            title += f" ({folder.name.rsplit('-', 1)[-1][:6]})"
        prepared[str(folder.resolve())] = title
    return prepared


def model_picker(models: list[ModelCard]) -> DiscoveryConfig | None:
    """A discovery in the chosen model, of the chosen behaviour; None where no model is chosen."""
    recent = recent_models()
    chosen = _pills(models, recent)
    st.page_link(
        "pages/models.py", label="Use a model or data of your own", icon=":material/upload_file:"
    )
    if chosen == OWN_FOLDER:
        config = DiscoveryConfig(_folder())
    elif chosen in recent:
        last = recent[chosen].config
        config = DiscoveryConfig(**{name: getattr(last, name) for name in OF_MODEL})
    else:
        config = DiscoveryConfig(chosen, dtype=cast("DataType", usual_dtype(chosen)))
        st.caption(next((card.summary for card in models if card.name == chosen), ""))
    if not config.model:
        return None
    # A GGUF file is converted when it is looked at first.
    with st.spinner("Looking at the model"):
        missing = unfetched_model(config.model, config.adapter)
    if missing is not None:
        fetch_button(missing, "discover")
        return None
    before = recent[chosen].config.behaviour if chosen in recent else None
    return replace(config, behaviour=_behaviour(chosen, config.model, before))


def _pills(models: list[ModelCard], recent: dict[str, RecentModel]) -> str:
    titles = {card.name: card.title for card in models}
    titles |= {name: model.title for name, model in recent.items()}
    titles[OWN_FOLDER] = "A local folder"
    # A model that is gone can be chosen no more.
    if st.session_state.get(PILLS, OWN_FOLDER) not in titles:
        del st.session_state[PILLS]
    return str(
        st.pills(
            "Model",
            list(titles),
            default=next(iter(titles)),
            required=True,
            format_func=titles.__getitem__,
            key=PILLS,
            persist_state="session",
        )
    )


def _folder() -> str:
    return full_path(
        st.text_input(
            "Folder of a Hugging Face model",
            placeholder="/path/to/model or /path/to/model.gguf",
            help="With config.json, safetensors weights and a tokenizer with a chat template; or a "
            "GGUF file, which is converted once. Nothing is downloaded.",
        )
    )


def _behaviour(chosen: str, model: str, last: str | None) -> str | None:
    """What to look for: what lies beside the model, data prepared earlier, or a plug-in."""
    titles = {BESIDE: "What comes with the model"} if lies_beside(model) else {}
    titles |= prepared_data()
    titles |= {one.name: one.name.capitalize() for one in behaviour_plugins()}
    if len(titles) < 2:
        return next(iter(titles), BESIDE) or None
    options = list(titles)
    behaviour = st.selectbox(
        "What to look for",
        options,
        index=options.index(last) if last in options else 0,
        format_func=titles.__getitem__,
        # Of each model its own.
        key=listing_key(f"behaviour_{crc32(chosen.encode()):08x}", titles.values()),
        persist_state="session",
    )
    return behaviour or None


def lies_beside(model: str) -> bool:
    """Whether a behaviour comes with a model."""
    try:
        return (find_model(model) / SPEC_FILE).is_file()
    except CircuitvizError:
        return False
