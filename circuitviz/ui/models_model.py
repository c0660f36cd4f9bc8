"""Which model: chosen, and looked at before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from zlib import crc32

import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.plots.memory_bars import MEMORY_PARTS, memory_bars, memory_size
from circuitviz.plots.text import count
from circuitviz.runs.config import DataType
from circuitviz.ui import services
from circuitviz.ui.components import chart, split
from circuitviz.ui.literal import literal
from circuitviz.ui.models_choice import choose_own, chosen_own, kept
from circuitviz.ui.table import table

if TYPE_CHECKING:
    from circuitviz.models.preflight import Preflight

__all__ = ["ChosenModel", "fitting", "model_form"]

SOURCES = {
    "folder": "A local folder",
    "hub": "Hugging Face",
    "embedded": "An embedded model",
}
# What a step of mask learning takes at once, and what is tried where that does not fit.
WHOLE_BATCH = 48
TRIED = ((False, 48), (True, 48), (True, 24), (True, 12), (True, 6), (True, 1))
USUAL_LENGTH = 64
# What a device is told for all GPUs together.
BALANCED = "balanced"
DEVICES = {"cpu": "the CPU", "cuda": "the GPU", BALANCED: "all GPUs"}
COMMAND = re.compile(r"`(circuitviz [^`]+)`")
# What a shell needs and a form does not.
IN_WORDS = re.compile(r"--dtype |--(?=checkpointing|micro-batch)|--device (?=balanced)")

Check = Callable[..., "Preflight"]


@dataclass(frozen=True)
class ChosenModel:
    """A model as a discovery takes it.

    Attributes:
        name: Name, path or id; "" where none is chosen yet.
        title: Name for people.
        adapter: Folder of a LoRA adapter, or None.
        found: What was found out about it; None where it cannot even be looked at.
        refusals: Why it cannot be used; empty if it can.
        running: Fields of a `DiscoveryConfig` that say how it is run.
    """

    name: str
    title: str = ""
    adapter: str | None = None
    found: Preflight | None = None
    refusals: tuple[str, ...] = ()
    running: dict[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether a discovery could start with it."""
        return self.found is not None and not self.refusals


def model_form() -> ChosenModel:
    """The choice of a model, and under it what is known of it."""
    name, adapter = _model_choice()
    if not name:
        return ChosenModel("")
    title = services.model_title(name)
    try:
        # The first look of a server's life imports what knows architectures.
        with st.spinner("Looking at the model"):
            usual = fitting(lambda **how: _preflight(name, adapter, **how))
    except CircuitvizError as error:
        return _refused(ChosenModel(name, title, adapter, refusals=(str(error),)))
    if not usual.supported:
        return _refused(ChosenModel(name, title, adapter, usual, usual.refusals))
    _verdict(title, usual)
    running = _facts(name, adapter, usual)
    return ChosenModel(name, title, adapter, usual, running=running)


def fitting(check: Check) -> Preflight:
    """The model looked at with the first settings whose memory is there.

    Layers are computed again before fewer prompts are taken at once, and weights are halved last:
    only that changes numbers.  Where nothing fits, the least there is.

    Args:
        check: Looks at the model with `rows`, `checkpointing` and `dtype`.

    Raises:
        CircuitvizError: It cannot be looked at.
    """
    found = None
    for dtype in get_args(DataType):
        for checkpointing, rows in TRIED:
            found = check(rows=rows, checkpointing=checkpointing, dtype=dtype)
            if not found.supported or found.memory.total <= found.memory_available:
                return found
    assert found is not None
    return found


def _preflight(name: str, adapter: str | None, **how: Any) -> Preflight:
    # Late: what it imports to know architectures imports torch.
    from circuitviz.models.preflight import preflight

    return preflight(name, adapter=adapter, **{"length": USUAL_LENGTH, **how})


def _model_choice() -> tuple[str, str | None]:
    cards = {card.name: card.title for card in services.model_cards()}
    source = st.pills(
        "Where it is",
        list(SOURCES),
        required=True,
        format_func=SOURCES.__getitem__,
        key=kept("source", "folder", SOURCES),
        on_change=_suggest_data,
    )
    if source == "embedded":
        if not cards:
            st.warning("No embedded model is installed.", icon=":material/info:")
            return "", None
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
    return name, _in_full(adapter) or None


def _suggest_data() -> None:
    """An embedded model comes with data; as long as there is none of one's own, that is meant."""
    if chosen_own("source") == "embedded" and not chosen_own("table"):
        choose_own("behaviour", "beside")


def _folder() -> str:
    return _in_full(
        st.text_input(
            "Folder of the model",
            placeholder="/path/to/model",
            help="As save_pretrained writes it: config.json, safetensors weights and a tokenizer "
            "with a chat template. Code in the folder is never run.",
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


def _in_full(path: str) -> str:
    """A path for whoever reads it elsewhere; "" stays empty."""
    given = path.strip()
    try:
        return str(Path(given).expanduser().resolve()) if given else ""
    except RuntimeError:
        # It begins with the home folder of somebody unknown.
        return given


def _refused(model: ChosenModel) -> ChosenModel:
    for refusal in model.refusals:
        st.error(literal(refusal.replace("`", "")), icon=":material/block:")
        for command in COMMAND.findall(refusal):
            st.caption("In a shell, with a connection to the internet:")
            st.code(command, language="bash", wrap_lines=True)
    return model


def _verdict(title: str, found: Preflight) -> None:
    heads, neurons = found.n_layers * found.n_heads, found.n_layers * found.d_mlp
    st.success(
        f"**{literal(title)} is supported.** It has {count(found.n_units, 'unit')}: {count(heads, 'head')} "
        f"and {count(neurons, 'neuron')} in {count(found.n_layers, 'layer')}.",
        icon=":material/check_circle:",
    )


def _facts(name: str, adapter: str | None, usual: Preflight) -> dict[str, Any]:
    warnings = st.container()
    left, right = split("model_facts", (2, 3))
    with left:
        table(_fact_frame(usual), key="model_table")
    # Above its settings, drawn from them.
    with right:
        picture = st.container(key="memory")
        running, length = _settings(name, adapter, usual)
    rows = running["micro_batch"] or WHOLE_BATCH
    how = {"checkpointing": running["checkpointing"], "dtype": running["dtype"]}
    found = _preflight(name, adapter, rows=rows, length=length, **how)
    with warnings:
        for warning in found.warnings:
            st.warning(literal(warning), icon=":material/warning:")
    with picture:
        _memory(found, rows, length)
    return {**running, **({"device": BALANCED} if found.device == BALANCED else {})}


def _fact_frame(found: Preflight) -> pd.DataFrame:
    shared = f", {found.n_kv_heads} key-value heads" if found.n_kv_heads != found.n_heads else ""
    facts = {
        "Architecture": found.architecture,
        "Layers": f"{found.n_layers:,}",
        "Heads a layer": f"{found.n_heads:,}{shared}",
        "Neurons a layer": f"{found.d_mlp:,}",
        "Parameters": f"{found.parameters:,}",
        "Stored as": found.stored_dtype,
        "Chat template": "yes" if found.chat_template else "no",
    }
    return pd.DataFrame({"What": facts.keys(), "Found": facts.values()})


def _memory(found: Preflight, rows: int, length: int) -> None:
    parts, needed, there = found.memory.to_json(), found.memory.total, found.memory_available
    fits = needed <= there
    words = "fits into" if fits else "does not fit into"
    batch = f"{count(rows, 'prompt')} of {length:,} tokens at once"
    st.markdown(
        f"**Learning {words} memory**: {memory_size(needed)} of {memory_size(there)} on "
        f"{DEVICES.get(found.device, found.device)}"
    )
    chart(
        memory_bars(parts, there),
        key="memory_bars",
        caption=f"One step of mask learning at its peak, {batch}, estimated from the sizes of the "
        "model. Weights are kept once and have no gradients.",
        alt=f"Memory needed, {memory_size(needed)}, beside memory available, {memory_size(there)}.",
        twin=pd.DataFrame(
            {
                "part": [*MEMORY_PARTS.values(), "Available"],
                "bytes": [*(parts[name] for name in MEMORY_PARTS), there],
            }
        ),
    )
    for advice in found.advice:
        st.markdown(f":material/lightbulb: {literal(IN_WORDS.sub('', advice))}")


def _settings(name: str, adapter: str | None, preset: Preflight) -> tuple[dict[str, Any], int]:
    """What memory depends on, preset so that it fits, and the length it is told for."""
    # Of each model its own: what fits differs.
    which = f"{crc32(repr((name, adapter)).encode()):08x}"
    with st.expander("Batch and precision", icon=":material/tune:", key="memory_settings"):
        st.caption("Preset so that learning fits into memory, where it can.")
        left, right = st.columns(2, gap="large")
        with left:
            rows = st.number_input(
                "Prompts at once",
                1,
                WHOLE_BATCH,
                help=f"A step learns from {WHOLE_BATCH} prompts. Fewer at once take less memory "
                "and more time, for the same result.",
                key=kept(f"rows_{which}", preset.rows),
            )
            length = st.number_input(
                "Tokens of a prompt and its answer",
                8,
                32_768,
                help="For the estimate alone: how long the longest ones are.",
                key=kept("length", USUAL_LENGTH),
            )
        with right:
            dtype = st.selectbox(
                "Numbers",
                get_args(DataType),
                help="Of weights and activations; masks are always learned in float32. bfloat16 "
                "takes half the memory and rounds more.",
                key=kept(f"dtype_{which}", preset.dtype, get_args(DataType)),
            )
            checkpointing = st.toggle(
                "Compute layers again on the way back",
                help="Gradient checkpointing: much less memory, about a third more time, the same "
                "result.",
                key=kept(f"checkpointing_{which}", preset.checkpointing),
            )
    micro_batch = None if rows >= WHOLE_BATCH else int(rows)
    running = {"dtype": dtype, "micro_batch": micro_batch, "checkpointing": checkpointing}
    return running, int(length)
