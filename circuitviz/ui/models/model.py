"""Which model: chosen, and looked at before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from circuitviz.errors import CircuitvizError, ModelNotFetchedError
from circuitviz.files import full_path
from circuitviz.models.fetch import FETCHABLE
from circuitviz.models.memory import MemorySettings
from circuitviz.narrative.numbers import count
from circuitviz.ui import services
from circuitviz.ui.elements.components import split
from circuitviz.ui.elements.fetch_button import fetch_button
from circuitviz.ui.elements.keys import when_changed
from circuitviz.ui.elements.words import literal
from circuitviz.ui.models.choice import choose_own, chosen_own, kept

if TYPE_CHECKING:
    from circuitviz.models.preflight import Preflight


# What a step of mask learning takes at once.
WHOLE_BATCH = 48

Check = Callable[..., "Preflight"]

SOURCES = {
    "folder": "A local folder",
    "hub": "Hugging Face",
    "embedded": "An embedded model",
}
COMMAND = re.compile(r"`(circuitviz [^`]+)`")


def fitting(check: Check) -> Preflight:
    """The model looked at with the first settings whose memory is there.

    Layers are computed again before fewer prompts are taken at once, and weights are halved last:
    only that changes numbers.  Where nothing fits, the least there is.

    Args:
        check: Looks at the model with `rows`, `checkpointing` and `dtype`.

    Raises:
        CircuitvizError: It cannot be looked at.
    """
    usual = MemorySettings(rows=WHOLE_BATCH, length=1)
    checked = _checked(check, usual)
    for less in usual.smaller():
        if not checked.supported or checked.memory.total <= checked.memory_available:
            break
        checked = _checked(check, less)
    return checked


def _checked(check: Check, how: MemorySettings) -> Preflight:
    return check(rows=how.rows, checkpointing=how.checkpointing, dtype=how.dtype)


def look_at(name: str, adapter: str | None, **how: Any) -> Preflight:
    """What is known of a model without reading its weights; `how` as `preflight` takes it.

    Raises:
        CircuitvizError: There is no such model, or a setting is not usable.
    """
    # Late: what knows architectures imports torch.
    from circuitviz.models.preflight import preflight

    return preflight(name, adapter=adapter, **how)


@dataclass(frozen=True)
class ChosenModel:
    """A model as a discovery takes it.

    Attributes:
        name: Name, path or id; "" where none is chosen yet.
        title: Name for people.
        adapter: Folder of a LoRA adapter, or None.
        checked: What was found out about it; None where it cannot even be looked at.
        refusals: Why it cannot be used; empty if it can.
        unfetched: Whether its weights have yet to be fetched, which the page offers.
    """

    name: str
    title: str = ""
    adapter: str | None = None
    checked: Preflight | None = None
    refusals: tuple[str, ...] = ()
    unfetched: bool = False

    @property
    def usable(self) -> bool:
        """Whether a discovery could start with it."""
        return self.checked is not None and not self.refusals


def model_form() -> ChosenModel:
    """The choice of a model, and under it whether it can be used."""
    name, adapter = _model_choice()
    if not name:
        return ChosenModel("")
    title = services.model_title(name)
    try:
        # The first look of a server's life imports what knows architectures.
        with st.spinner("Looking at the model"):
            checked = look_at(name, adapter)
    except ModelNotFetchedError as missing:
        fetch_button(missing.name, "models")
        return ChosenModel(name, title, adapter, refusals=(str(missing),), unfetched=True)
    except CircuitvizError as error:
        return _refused(ChosenModel(name, title, adapter, refusals=(str(error),)))
    if not checked.supported:
        return _refused(ChosenModel(name, title, adapter, checked, checked.refusals))
    _verdict(title, checked)
    return ChosenModel(name, title, adapter, checked)


def _model_choice() -> tuple[str, str | None]:
    cards = {card.name: card.title for card in services.model_cards()}
    cards |= {name: f"{packaged.title}, as it is" for name, packaged in FETCHABLE.items()}
    key = kept("source", "folder", SOURCES)
    source = st.pills(
        "Where it is",
        list(SOURCES),
        required=True,
        format_func=SOURCES.__getitem__,
        key=key,
        on_change=when_changed(key, _suggest_data),
    )
    if source == "embedded":
        chosen = st.selectbox(
            "Model",
            list(cards),
            format_func=cards.__getitem__,
            key=kept("embedded", next(iter(cards)), cards),
        )
        return str(chosen), None
    left, right = split("model", (3, 2))
    with left:
        name = _folder() if source == "folder" else _hub_id()
    with right:
        adapter = st.text_input(
            "LoRA adapter on top (optional)",
            placeholder="/path/to/adapter",
            help="A folder with adapter_config.json and adapter_model.safetensors. It is merged "
            "into the model's weights in memory; nothing on disk changes.",
            key=kept("adapter", ""),
        )
    return name, full_path(adapter) or None


def _suggest_data(source: str) -> None:
    """An embedded model comes with data; as long as there is none of one's own, that is meant."""
    if source == "embedded" and not chosen_own("table"):
        choose_own("behaviour", "beside")


def _folder() -> str:
    return full_path(
        st.text_input(
            "Folder of the model",
            placeholder="/path/to/model or /path/to/model.gguf",
            help="As save_pretrained writes it: config.json, safetensors weights and a tokenizer "
            "with a chat template; or a GGUF file, which is converted once. Code in the folder is "
            "never run.",
            key=kept("folder", ""),
        )
    )


def _hub_id() -> str:
    return st.text_input(
        "Hugging Face id",
        placeholder="org/name",
        help="Taken from the local cache. Nothing is fetched from here: if it is not in the cache, "
        "the command that fetches it is shown.",
        key=kept("hub", ""),
    ).strip()


def _refused(model: ChosenModel) -> ChosenModel:
    for refusal in model.refusals:
        st.error(literal(refusal.replace("`", "")), icon=":material/block:")
        for command in COMMAND.findall(refusal):
            st.caption("In a shell, with a connection to the internet:")
            st.code(command, language="bash", wrap_lines=True)
    return model


def _verdict(title: str, checked: Preflight) -> None:
    heads, neurons = checked.n_layers * checked.n_heads, checked.n_layers * checked.d_mlp
    made_of = f"{count(heads, 'head')} and {count(neurons, 'neuron')}"
    st.success(
        f"**{literal(title)} is supported.** It has {count(checked.n_units, 'unit')}: {made_of} in "
        f"{count(checked.n_layers, 'layer')}.",
        icon=":material/check_circle:",
    )
