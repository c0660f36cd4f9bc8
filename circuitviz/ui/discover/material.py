"""Which model to search and for what, on the page Discover."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import streamlit as st

from circuitviz.behaviours.behaviour import SPEC_FILE
from circuitviz.behaviours.plugins import behaviour_plugins
from circuitviz.errors import CircuitvizError
from circuitviz.models.catalog import ModelCard, find_model, usual_dtype
from circuitviz.models.source import unfetched_model
from circuitviz.ui.discover.own_material import OwnModel, own_models, prepared_data
from circuitviz.ui.elements.fetch_button import fetch_button
from circuitviz.ui.elements.full_path import full_path
from circuitviz.ui.elements.listing import listing_key

__all__ = ["material"]

OWN_FOLDER, BESIDE = "__own__", ""
PILLS = "model_pills"
# Fields of a discovery that belong to its model.
OF_MODEL = ("model", "adapter", "dtype", "device", "micro_batch", "checkpointing")


def material(models: list[ModelCard]) -> dict[str, Any]:
    """The fields of a `DiscoveryConfig` that say which model and which behaviour.

    Empty where no model is chosen.
    """
    own = own_models()
    chosen = _pills(models, own)
    st.page_link(
        "pages/models.py", label="Use a model or data of your own", icon=":material/upload_file:"
    )
    if chosen == OWN_FOLDER:
        fields: dict[str, Any] = {"model": _folder()}
    elif chosen in own:
        fields = {name: getattr(own[chosen].config, name) for name in OF_MODEL}
    else:
        fields = {"model": chosen, "dtype": usual_dtype(chosen)}
        st.caption(next((card.summary for card in models if card.name == chosen), ""))
    if not fields["model"] or _lacks_weights(fields["model"], fields.get("adapter")):
        return {}
    last = own[chosen].config.behaviour if chosen in own else None
    return {**fields, "behaviour": _behaviour(chosen, fields["model"], last)}


def _lacks_weights(model: str, adapter: str | None) -> bool:
    """Whether weights have to be fetched first; shows what fetches them."""
    # A GGUF file is converted when it is looked at first.
    with st.spinner("Looking at the model"):
        missing = unfetched_model(model, adapter)
    if missing is None:
        return False
    fetch_button(missing, "discover")
    return True


def _pills(models: list[ModelCard], own: dict[str, OwnModel]) -> str:
    titles = {card.name: card.title for card in models}
    titles |= {name: model.title for name, model in own.items()}
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
    titles = {BESIDE: "What comes with the model"} if _lies_beside(model) else {}
    titles |= prepared_data()
    titles |= {one.name: one.name.capitalize() for one in behaviour_plugins()}
    if len(titles) < 2:
        return next(iter(titles), BESIDE) or None
    options = list(titles)
    found = st.selectbox(
        "What to look for",
        options,
        index=options.index(last) if last in options else 0,
        format_func=titles.__getitem__,
        # Of each model its own.
        key=listing_key(f"behaviour_{crc32(chosen.encode()):08x}", titles.values()),
        persist_state="session",
    )
    return found or None


def _lies_beside(model: str) -> bool:
    try:
        return (Path(find_model(model)) / SPEC_FILE).is_file()
    except CircuitvizError:
        return False
