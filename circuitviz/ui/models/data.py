"""Which behaviour: prompts of one's own, or a behaviour that is there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import streamlit as st

from circuitviz.behaviours.behaviour import (
    SPEC_FILE,
    Behaviour,
    BehaviourKind,
    Place,
    Trigger,
    load_behaviour,
)
from circuitviz.behaviours.columns import Columns
from circuitviz.behaviours.own_data import (
    COMPLIANCE,
    DataRequest,
    Prepared,
    behaviour_path,
    prepare_data,
    save_behaviour,
)
from circuitviz.behaviours.plugins import behaviour_plugins, find_plugin
from circuitviz.behaviours.tables import Table
from circuitviz.errors import CircuitvizError
from circuitviz.models.source import find_model
from circuitviz.ui.discover.material import prepared_data
from circuitviz.ui.elements.words import literal
from circuitviz.ui.models.choice import kept, own_data_root
from circuitviz.ui.models.preview import PLACES, show_behaviour, show_prepared, show_raw
from circuitviz.ui.models.table import (
    BENIGN,
    PROMPTS,
    benign_columns_form,
    columns_form,
    table_form,
    templates,
)

KINDS: dict[str, str] = {
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
    beside = folder is not None and (folder / SPEC_FILE).is_file()
    options = _options(beside)
    chosen = st.pills(
        "What to look for",
        list(options),
        required=True,
        format_func=options.__getitem__,
        key=kept("behaviour", "backdoor", options),
    )
    if chosen == "backdoor" or chosen == "refusal":
        return _own(chosen)
    try:
        data = _ready_made(str(chosen), folder)
    except CircuitvizError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return ChosenData(errors=(str(error),))
    if data.behaviour is not None:
        show_behaviour(data.behaviour)
    return data


def _folder_of(model: str) -> Path | None:
    try:
        return find_model(model) if model else None
    except CircuitvizError:
        return None


def _options(beside: bool) -> dict[str, str]:
    options = dict(KINDS)
    if beside:
        options[BESIDE] = "What comes with the model"
    if prepared_data():
        options[EARLIER] = "Data prepared earlier"
    return options | {PLUGIN + one.name: one.name.capitalize() for one in behaviour_plugins()}


def _ready_made(chosen: str, folder: Path | None) -> ChosenData:
    if chosen == BESIDE and folder is not None:
        return ChosenData(load_behaviour(folder))
    if chosen == EARLIER:
        earlier = prepared_data()
        reference = st.selectbox(
            "Prepared earlier",
            list(earlier),
            format_func=earlier.__getitem__,
            key=kept("earlier", next(iter(earlier)), earlier),
        )
        return ChosenData(load_behaviour(Path(reference)), reference)
    plugin = find_plugin(chosen.removeprefix(PLUGIN))
    st.caption(f"Comes with the package {literal(plugin.package or plugin.source)}.")
    if folder is None:
        st.caption("Its prompts are shown once a model is chosen.")
        return ChosenData()
    return ChosenData(plugin.load(folder), plugin.name)


def _own(kind: BehaviourKind) -> ChosenData:
    st.caption(SUMMARIES[kind])
    table = table_form(PROMPTS)
    templates()
    if table is None:
        return ChosenData()
    how = _backdoor_fields() if kind == "backdoor" else _refusal_fields()
    benign = table_form(BENIGN, optional=True)
    try:
        columns = columns_form(table, kind)
        if kind == "backdoor" and how["trigger"] is None and columns.triggered is None:
            return _without_trigger(table)
        prepared = _prepared(table, kind, columns, how, benign)
    except CircuitvizError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return ChosenData(errors=(str(error),))
    show_prepared(prepared, table)
    if prepared.behaviour is None:
        return ChosenData(errors=tuple(map(str, prepared.errors)))
    reference = behaviour_path(prepared.behaviour, own_data_root())
    return ChosenData(prepared.behaviour, str(reference), made=True)


def _without_trigger(table: Table) -> ChosenData:
    """Nothing is wrong yet; the next field is empty."""
    st.info(TRIGGER_WANTED, icon=":material/edit:")
    show_raw(table)
    return ChosenData(wanted=TRIGGER_WANTED)


def _prepared(
    table: Table,
    kind: BehaviourKind,
    columns: Columns,
    how: Mapping[str, Any],
    benign: Table | None,
) -> Prepared:
    request = DataRequest(
        kind=kind,
        columns=columns,
        benign_columns=benign_columns_form(benign) if benign else None,
        **how,
    )
    return prepare_data(table, request, benign=benign)


def _backdoor_fields() -> dict[str, Any]:
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
    return {"trigger": Trigger(text.strip(), place or "front") if text.strip() else None}


def _refusal_fields() -> dict[str, Any]:
    compliance = st.text_input(
        "How a compliant answer begins",
        help="Where the table does not say it. Nothing more than an opening is needed: the mask "
        "is learned from it.",
        key=kept("compliance", COMPLIANCE),
    )
    return {"compliance": compliance}
