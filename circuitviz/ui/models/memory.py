"""What a model is made of, the memory that learning takes, and the settings it hangs on."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args
from zlib import crc32

import pandas as pd
import streamlit as st

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.models.memory import MemorySettings
from circuitviz.narrative.numbers import count
from circuitviz.plots.bars import MEMORY_PARTS, memory_bars, memory_size
from circuitviz.plots.catalogue import Chart
from circuitviz.runs.config import DataType, DiscoveryConfig
from circuitviz.ui.elements.components import draw_chart, split, table
from circuitviz.ui.elements.words import literal
from circuitviz.ui.models.choice import kept
from circuitviz.ui.models.model import WHOLE_BATCH, ChosenModel, fitting, look_at

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from circuitviz.models.preflight import Preflight

TOKENIZER = "tokenizer.json"
# A usual chat template's own tokens.
TEMPLATE = 16
# The longest by characters hold the longest by tokens.
LOOKED_AT = 32

FACTS = "What it is made of, and what learning takes"
USUAL_LENGTH, MAX_LENGTH = 64, 1_000_000
# What a device is told for all GPUs together.
_BALANCED = "balanced"
DEVICES = {"cpu": "the CPU", "cuda": "the GPU", _BALANCED: "all GPUs"}
# What a shell needs and a form does not.
IN_WORDS = re.compile(r"--dtype |--(?=checkpointing|micro-batch)|--device (?=balanced)")


def longest_prompt(behaviour: Behaviour, folder: str) -> int | None:
    """Tokens of the longest prompt with its answer; None without a tokenizer.json that reads.

    Args:
        behaviour: What is asked.
        folder: Of the model.
    """
    # Late: imports torch.
    from circuitviz.models.model import LONGEST_ANSWER

    path = Path(folder) / TOKENIZER
    try:
        tokenizer = _tokenizer(str(path), path.stat().st_mtime_ns)
    # The library raises plain exceptions for whatever it cannot read.
    except Exception:
        return None

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    def total(prompt: Prompt) -> int:
        answers = [text for text in (prompt.answer, prompt.target, prompt.after) if text]
        longest = max(map(tokens, answers), default=LONGEST_ANSWER)
        return tokens(prompt.asked) + min(longest, LONGEST_ANSWER)

    by_characters = sorted(behaviour.all_prompts, key=lambda prompt: -len(prompt.asked))
    return TEMPLATE + max(map(total, by_characters[:LOOKED_AT]), default=0)


@st.cache_resource(max_entries=2, show_spinner=False)
def _tokenizer(path: str, modified: int) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)


def memory_form(model: ChosenModel, length: int | None) -> DiscoveryConfig:
    """What the model is made of, and the memory that learning takes beside what there is.

    Args:
        model: A usable one.
        length: Tokens of the longest prompt and its answer; None where there are no prompts yet.

    Returns:
        A discovery in this model, run as it is set here.
    """
    length = USUAL_LENGTH if length is None else length
    usual = fitting(partial(look_at, model.name, model.adapter, length=length))
    # Above the settings, drawn from them.
    verdict = st.container()
    fits = usual.memory.total <= usual.memory_available
    # Folded where it fits, so that the data are in view next.
    with st.expander(FACTS, icon=":material/memory:", key="model_facts_fold", expanded=not fits):
        left, right = split("model_facts", (2, 3))
        with left:
            table(_fact_frame(usual), key="model_table")
        with right:
            picture = st.container(key="memory")
            how = _settings(usual)
    checked = look_at(model.name, model.adapter, **asdict(how))
    with verdict:
        for warning in checked.warnings:
            st.warning(literal(warning), icon=":material/warning:")
        _memory_line(checked)
    with picture:
        _memory(checked, how.rows, how.length)
    config = DiscoveryConfig(
        model.name,
        adapter=model.adapter,
        dtype=cast("DataType", how.dtype),
        micro_batch=None if how.rows >= WHOLE_BATCH else how.rows,
        checkpointing=how.checkpointing,
    )
    return replace(config, device=_BALANCED) if checked.device == _BALANCED else config


def _fact_frame(checked: Preflight) -> pd.DataFrame:
    shared = (
        f", {checked.n_kv_heads} key-value heads" if checked.n_kv_heads != checked.n_heads else ""
    )
    facts = {
        "Architecture": checked.architecture,
        "Layers": f"{checked.n_layers:,}",
        "Heads a layer": f"{checked.n_heads:,}{shared}",
        "Neurons a layer": f"{checked.d_mlp:,}",
        "Parameters": f"{checked.parameters:,}",
        "Stored as": checked.stored_dtype,
        "Chat template": "yes" if checked.chat_template else "no",
    }
    return pd.DataFrame({"What": facts.keys(), "Found": facts.values()})


def _memory_line(checked: Preflight) -> None:
    needed, there = checked.memory.total, checked.memory_available
    words = "fits into" if needed <= there else "does not fit into"
    st.markdown(
        f"**Learning {words} memory**: {memory_size(needed)} of {memory_size(there)} on "
        f"{DEVICES.get(checked.device, checked.device)}"
    )
    for advice in checked.advice:
        words = IN_WORDS.sub("", advice)
        st.markdown(f":material/lightbulb: {literal(words[:1].upper() + words[1:])}")


def _memory(checked: Preflight, rows: int, length: int) -> None:
    parts, needed, there = checked.memory.to_json(), checked.memory.total, checked.memory_available
    batch = f"{count(rows, 'prompt')} of {length:,} tokens at once"
    bars = Chart(
        memory_bars(parts, there),
        caption=f"One step of mask learning at its peak, {batch}, estimated from the sizes of the "
        "model. Weights are kept once and have no gradients.",
        alt=f"Memory needed, {memory_size(needed)}, beside memory available, {memory_size(there)}.",
        twin=pd.DataFrame(
            {
                "part": [*MEMORY_PARTS.values(), "Available"],
                "bytes": [*(parts[name] for name in MEMORY_PARTS), there],
            }
        ),
        reading="The bar is the memory that learning takes, in its parts; the line is the memory "
        "that is free. It fits where the bar ends left of the line, with room to spare. It is an "
        "estimate: other programs take memory as well, and free memory changes.",
    )
    draw_chart(bars, key="memory_bars")


def _settings(preset: Preflight) -> MemorySettings:
    """What memory depends on, preset so that it fits."""
    # Of each model and length their own: what fits differs.
    which = f"{crc32(repr((preset.model, preset.adapter, preset.length)).encode()):08x}"
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
                1,
                MAX_LENGTH,
                help="For the estimate alone: that of the longest ones, read off from the data "
                "once there is some.",
                key=kept(f"length_{which}", min(preset.length, MAX_LENGTH)),
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
                "Recompute layers",
                help="On the way back, instead of keeping them (gradient checkpointing): much "
                "less memory, about a third more time, the same result.",
                key=kept(f"checkpointing_{which}", preset.checkpointing),
            )
    return MemorySettings(
        rows=int(rows),
        length=int(length),
        dtype=dtype or preset.dtype,
        checkpointing=checkpointing,
    )
