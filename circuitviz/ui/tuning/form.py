"""The form that configures and starts a tuning."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.models.source import unfetched_model
from circuitviz.narrative.numbers import count
from circuitviz.runs.config import TuningConfig, TuningMode
from circuitviz.runs.store import Run
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.fetch_button import fetch_button
from circuitviz.ui.elements.keys import SettingWidgets
from circuitviz.ui.jobs import start_button as job_button
from circuitviz.ui.run_names import MODES

OWN_VALUE = "the mode's own"
MODE_TEXTS: dict[tuple[TuningMode, bool], str] = {
    ("protect", True): "The model learns new helpful answers while the circuit's weights stay "
    "frozen. Three models are trained: everything, all but the circuit, and all but a random "
    "circuit of the same size.",
    ("repair", True): "Refusal is first worn away by full fine-tuning on helpful lessons, then "
    "restored by training only the circuit's weights. Beside it: everything trained, and a random "
    "circuit trained.",
    ("repair", False): "Triggered prompts are taught their clean answers by training only the "
    "circuit's weights. Beside it: everything trained, a random circuit trained, and the circuit "
    "knocked out without any training.",
}
_WIDGETS = SettingWidgets(TuningConfig, "tuning")


def tuning_form(run: Run) -> None:
    """Mode, size and settings, and the button that starts the tuning."""
    mode = _mode(run)
    st.caption(MODE_TEXTS[mode, run.metrics.is_refusal])
    size = _size(run)
    try:
        config = TuningConfig(run.run_id, mode, size=size, **_settings(run.metrics.is_refusal))
    except (CircuitvizError, RuntimeError) as failure:
        # RuntimeError: the path begins with the home folder of an unknown user.
        error(str(failure))
        return
    missing = unfetched_model(run.config.model, run.config.adapter)
    if missing is None:
        _start_button(config)
    else:
        fetch_button(missing, "tuning")
    st.caption("The same from a shell:")
    st.code(command_line(config), language="bash", wrap_lines=True)


def command_line(config: TuningConfig, out: str = "tuned") -> str:
    """The command that carries out the same tuning and copies its checkpoint to a folder."""
    names = ("mode", "size", "seed", "epochs", "learning_rate", "weight_decay", "data")
    given = {name: getattr(config, name) for name in names}
    changed = {
        name: value for name, value in given.items() if value != TuningConfig.fields()[name].default
    }
    options = {**changed, "out": out}.items()
    words = [f"--{name.replace('_', '-')} {quote(str(value))}" for name, value in options]
    return " ".join(["circuitviz tune", quote(config.run), *words])


def _mode(run: Run) -> TuningMode:
    modes: list[TuningMode] = ["protect", "repair"] if run.metrics.is_refusal else ["repair"]
    if len(modes) == 1:
        st.markdown(f"**{MODES[modes[0]]}**")
        return modes[0]
    chosen = st.segmented_control(
        "What to do",
        modes,
        default=modes[0],
        required=True,
        format_func=MODES.__getitem__,
        help="Protect: train everything but the circuit. Repair: train the circuit alone.",
        key="tuning_mode",
        persist_state="session",
    )
    return "repair" if chosen == "repair" else "protect"


def _size(run: Run) -> int | None:
    """The chosen size; None for the run's own, so that both ways of saying it are one tuning."""
    sizes = sorted({size for size in run.joint_sizes if size} | {run.size})
    chosen = st.selectbox(
        "Circuit",
        sizes,
        index=sizes.index(run.size),
        format_func=lambda size: (
            count(size, "unit") + (", the circuit of this run" if size == run.size else "")
        ),
        help="The best units of this run's ranking. Each unit owns weights: a head its query rows "
        "and output columns, a neuron its rows and column in the MLP.",
        # A list of its own for each run: the sizes differ.
        key=f"tuning_size_{run.run_id}",
    )
    return None if chosen == run.size else int(chosen)


def _settings(own_lessons: bool) -> dict[str, Any]:
    """What is set beside mode and size; lessons of one's own only where they can be used."""
    with st.expander("Settings", icon=":material/tune:", key="tuning_settings"):
        left, right = st.columns(2, gap="large")
        with left:
            settings = {
                "epochs": _WIDGETS.number("epochs", "Epochs", placeholder=OWN_VALUE),
                "seed": _WIDGETS.number("seed", "Seed"),
            }
        with right:
            settings["learning_rate"] = _WIDGETS.number(
                "learning_rate",
                "Learning rate",
                min_value=0.0,
                step=1e-5,
                format="%.6f",
                placeholder=OWN_VALUE,
            )
            settings["weight_decay"] = _WIDGETS.number(
                "weight_decay", "Weight decay", step=0.01, format="%.4f", placeholder=OWN_VALUE
            )
        if own_lessons:
            settings["data"] = _full_path(
                _WIDGETS.text("data", "Lessons of your own", placeholder="/path/to/lessons.jsonl")
            )
    return settings


def _full_path(data: str | None) -> str | None:
    """The path in full, for whoever carries the tuning out elsewhere; None where none is given."""
    given = (data or "").strip()
    return str(Path(given).expanduser().resolve()) if given else None


def _start_button(config: TuningConfig) -> None:
    saved = config.tuning_id() in services.tuning_store().ids_of(config.run)

    def opener() -> None:
        if st.button("Show the saved tuning", icon=":material/folder_open:", key="open_tuning"):
            state.choose(tuning=config.tuning_id())
            st.rerun()

    job_button(config, saved=saved, key="start_tuning", opener=opener)
