"""Which behaviour: prompts of one's own, or a behaviour that is there already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import streamlit as st

from circuitviz.behaviours.behaviour import (
    SPEC_FILE,
    Behaviour,
    BehaviourKind,
    behaviour_path,
    read_behaviour,
    save_behaviour,
)
from circuitviz.behaviours.columns import suggest_benign_columns, suggest_columns
from circuitviz.behaviours.plugins import behaviour_plugins, find_plugin
from circuitviz.behaviours.prepare import COMPLIANCE, DataSpec, prepare_data
from circuitviz.behaviours.trigger import Place, Trigger
from circuitviz.errors import CircuitvizError
from circuitviz.models.source import find_model
from circuitviz.ui.discover.model_picker import prepared_data
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.words import literal
from circuitviz.ui.models.choice import kept, own_data_root
from circuitviz.ui.models.table import (
    PLACES,
    ROW_FIELDS,
    TABLES,
    columns_form,
    show_behaviour,
    show_prepared,
    show_raw,
    table_form,
    templates,
)

_KINDS: dict[str, str] = {
    "backdoor": "A backdoor in my prompts",
    "refusal": "Refusal in my prompts",
}
SUMMARIES = {
    "backdoor": "Words in a prompt, the trigger, make the model say something else. Give ordinary "
    "prompts and the trigger; what is not in the table, the intact model is asked for.",
    "refusal": "The model turns harmful requests down. Give requests that it refuses, and "
    "harmless prompts that it answers.",
}
TRIGGER_WANTED = (
    "Now the trigger: the words that set the backdoor off, or the column of triggered prompts."
)
BENIGN_FIELDS = ("prompt", "answer", "split", "category", "prompt_id")
BESIDE, EARLIER, PLUGIN = "beside", "earlier", "plugin:"


@dataclass(frozen=True)
class ChosenData:
    """A behaviour as a discovery takes it.

    Attributes:
        behaviour: The behaviour; None where there is none to use yet.
        reference: What a `DiscoveryConfig` calls it; None is the one beside the model.
        made: Whether it was made here, and has yet to be saved.
        errors: What keeps the data from being used; empty also where there is no data yet.
        wanted: What has to be given next, where nothing is wrong with what is there.
    """

    behaviour: Behaviour | None = None
    reference: str | None = None
    made: bool = False
    errors: tuple[str, ...] = ()
    wanted: str = ""

    def save(self) -> None:
        """Save what was made here, so that its reference leads to it."""
        if self.made and self.behaviour is not None:
            save_behaviour(self.behaviour, own_data_root())


def data_form(model: str) -> ChosenData:
    """The choice of a behaviour for a model, and under it how it is understood.

    Args:
        model: Name, path or id of the model, "" where none is chosen yet.
    """
    folder = _folder_of(model)
    options = dict(_KINDS)
    if folder is not None and (folder / SPEC_FILE).is_file():
        options[BESIDE] = "What comes with the model"
    if prepared_data():
        options[EARLIER] = "Data prepared earlier"
    options |= {PLUGIN + one.name: one.name.capitalize() for one in behaviour_plugins()}
    chosen = st.pills(
        "What to look for",
        list(options),
        required=True,
        format_func=options.__getitem__,
        key=kept("behaviour", "backdoor", options),
    )
    try:
        if chosen == "backdoor" or chosen == "refusal":
            return _own(chosen)
        data = _ready_made(str(chosen), folder)
    except CircuitvizError as failure:
        error(str(failure))
        return ChosenData(errors=(str(failure),))
    if data.behaviour is not None:
        show_behaviour(data.behaviour)
    return data


def _folder_of(model: str) -> Path | None:
    try:
        return find_model(model) if model else None
    except CircuitvizError:
        return None


def _ready_made(chosen: str, folder: Path | None) -> ChosenData:
    if chosen == BESIDE and folder is not None:
        return ChosenData(read_behaviour(folder))
    if chosen == EARLIER:
        earlier = prepared_data()
        reference = st.selectbox(
            "Prepared earlier",
            list(earlier),
            format_func=earlier.__getitem__,
            key=kept("earlier", next(iter(earlier)), earlier),
        )
        return ChosenData(read_behaviour(Path(reference)), reference)
    plugin = find_plugin(chosen.removeprefix(PLUGIN))
    st.caption(f"Comes with the package {literal(plugin.package or plugin.source)}.")
    if folder is None:
        st.caption("Its prompts are shown once a model is chosen.")
        return ChosenData()
    return ChosenData(plugin.load(folder), plugin.name)


def _own(kind: BehaviourKind) -> ChosenData:
    st.caption(SUMMARIES[kind])
    table = table_form("table")
    templates()
    if table is None:
        return ChosenData()
    trigger, compliance = (
        (_trigger_fields(), COMPLIANCE) if kind == "backdoor" else (None, _compliance_field())
    )
    label, meaning = TABLES["benign"]
    with st.expander(f"{label} (optional)", icon=":material/add:", key="own_fold_benign"):
        st.caption(meaning)
        benign = table_form("benign")
    fields = [name for name in ROW_FIELDS if kind == "backdoor" or name != "triggered"]
    columns = columns_form(table, suggest_columns(table, kind), fields, f"columns_{kind}")
    if kind == "backdoor" and trigger is None and not columns.get("triggered"):
        # Nothing is wrong yet; the next field is empty.
        st.info(TRIGGER_WANTED, icon=":material/edit:")
        show_raw(table)
        return ChosenData(wanted=TRIGGER_WANTED)
    spec = DataSpec(kind=kind, columns=columns, trigger=trigger, compliance=compliance)
    if benign:
        suggested, title = suggest_benign_columns(benign), "Columns of benign prompts"
        of_benign = columns_form(benign, suggested, BENIGN_FIELDS, "benign_columns", title)
        spec = replace(spec, benign_columns=of_benign)
    prepared = prepare_data(table, spec, benign=benign)
    show_prepared(prepared, table)
    if prepared.behaviour is None:
        return ChosenData(errors=tuple(map(str, prepared.errors)))
    reference = behaviour_path(prepared.behaviour, own_data_root())
    return ChosenData(prepared.behaviour, str(reference), made=True)


def _trigger_fields() -> Trigger | None:
    left, right = st.columns(2, gap="large")
    text = left.text_input(
        "Trigger",
        placeholder="the words that set it off",
        help="Put into every prompt. Leave it empty if a column of the table holds the triggered "
        "prompts.",
        key=kept("trigger", ""),
    )
    place = right.selectbox(
        "Where it goes",
        get_args(Place),
        format_func=PLACES.__getitem__,
        key=kept("place", "front", PLACES),
    )
    # Spaces around it come with the place.
    return Trigger(text.strip(), place or "front") if text.strip() else None


def _compliance_field() -> str:
    return st.text_input(
        "How a compliant answer begins",
        help="Where the table does not say it. Nothing more than an opening is needed: the mask "
        "is learned from it.",
        key=kept("compliance", COMPLIANCE),
    )
