"""Pieces of the report page: what goes in, what it looks like, the buttons that make it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st

from circuitviz.narrative.numbers import count
from circuitviz.narrative.opening import sentence
from circuitviz.report.browser import NO_BROWSER, find_browser
from circuitviz.report.make import ReportKind, report_bytes
from circuitviz.report.options import ALWAYS, SECTIONS, ReportOptions
from circuitviz.report.page import first_screen
from circuitviz.runs.store import Run
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import download
from circuitviz.ui.elements.keys import listing_key, picker
from circuitviz.ui.view_state import ViewState

PREVIEW_PIXELS = 560
SIZE, PARTS, COVER = "report_size", "report_sections", "report_cover"


@dataclass(frozen=True)
class Form:
    """One form a report can be downloaded in.

    Attributes:
        kind: Which.
        label: On its button.
        icon: Beside the label.
        file: What its file is called after the run.
        mime: Its media type.
        note: What it is good for.
        draws: Whether a browser has to draw it.
    """

    kind: ReportKind
    label: str
    icon: str
    file: str
    mime: str
    note: str
    draws: bool = False


FORMS = (
    Form(
        "html",
        "HTML page",
        "article",
        "report.html",
        "text/html",
        "One file with live charts, tables and data inside; opens without a network.",
    ),
    Form(
        "pdf",
        "PDF",
        "picture_as_pdf",
        "report.pdf",
        "application/pdf",
        "The same on A4 paper; the first page is the whole story.",
        draws=True,
    ),
    Form(
        "ipynb",
        "Notebook",
        "terminal",
        "report.ipynb",
        "application/x-ipynb+json",
        "Runs the discovery again in Python and compares the numbers.",
    ),
    Form(
        "tables",
        "Tables",
        "table",
        "tables.zip",
        "application/zip",
        "Every table as CSV, answers in plain words among them.",
    ),
    Form(
        "figures",
        "Figures",
        "image",
        "figures.zip",
        "application/zip",
        "Every figure as SVG and PNG, for slides.",
        draws=True,
    ),
    Form(
        "json",
        "Circuit as JSON",
        "data_object",
        "circuit.json",
        "application/json",
        "Units and scores in CircuitKIT's format.",
    ),
)


def report_lead(run: Run) -> str:
    """What a report of this run says whatever is chosen."""
    return (
        f"Every report of {services.model_title(run.config.model)} opens with the verdict, the "
        "headline numbers and whether target and controls hold, and says what would make it wrong."
    )


def hand_note(run: Run, choice: ViewState) -> None:
    """Say what of the choice a report does not follow, where there is something."""
    ignored = []
    if choice.edited or choice.separate:
        ignored.append(
            "Units chosen by hand, or heads and neurons apart, are not in a report: they have no "
            "test numbers of their own."
        )
    if choice.ablation_of(run) != run.config.ablation:
        ignored.append(
            f"Its numbers are of {run.config.ablation} ablation, with which the run was measured, "
            f"and not of {choice.ablation} ablation, which the tray now has."
        )
    if choice.size == 0:
        ignored.append("With 0 units off there is nothing to report.")
    if ignored:
        about = _size_text(run, _reported(run, choice))
        st.info(f"{' '.join(ignored)} It is about {about}.", icon=":material/info:")


def options(run: Run, choice: ViewState) -> ReportOptions:
    """What the report is about and what it holds, as chosen here."""
    offered, chosen = _offered(run), _reported(run, choice)
    free = {name: title for name, title in SECTIONS.items() if name not in ALWAYS}
    with st.container(key="report_options"):
        picker(
            "About",
            {size: _size_text(run, size) for size in offered},
            chosen,
            lambda size: _choose(run, size),
            key=listing_key(SIZE, [run.run_id, *map(str, offered)]),
        )
        parts = st.pills(
            "Sections",
            list(free),
            default=list(free),
            selection_mode="multi",
            format_func=free.__getitem__,
            key=PARTS,
            persist_state="session",
            help="Controls and limits are in every report.",
        )
        cover = st.toggle(
            "Cover harmful requests and answers to them until asked for",
            True,
            key=COVER,
            persist_state="session",
        )
    return ReportOptions(chosen, (*ALWAYS, *parts), cover)


def _offered(run: Run) -> list[int]:
    """Sizes a report can be about, the run's own first."""
    sizes = [size for size in run.joint_sizes if size > 0]
    return list(dict.fromkeys((run.size, *sizes)))


def _reported(run: Run, choice: ViewState) -> int:
    return choice.size if choice.size in _offered(run) else run.size


def _choose(run: Run, size: int) -> None:
    state.choose(size=None if size == run.size else size, heads=None, neurons=None)


def _size_text(run: Run, size: int) -> str:
    if size == run.size:
        return f"the circuit this run found: {count(run.size, 'unit')}"
    return f"the best {count(size, 'unit')}"


def downloads(run: Run, wanted: ReportOptions) -> None:
    """A button for each form, made when it is pressed."""
    browser = find_browser() is not None
    with st.container(key="report_downloads"):
        for row in (FORMS[:3], FORMS[3:]):
            for column, form in zip(st.columns(3), row, strict=True):
                with column:
                    possible = browser or not form.draws
                    download(
                        form.label,
                        partial(report_bytes, run, form.kind, wanted),
                        f"{run.run_id}-{form.file}",
                        form.mime,
                        key=f"report_{form.kind}",
                        icon=form.icon,
                        type="primary" if form.kind == "html" else "secondary",
                        disabled=not possible,
                        width="stretch",
                    )
                    st.caption(form.note if possible else sentence(NO_BROWSER))


def preview(run: Run, wanted: ReportOptions) -> None:
    """The first screen of the report, as it will look; it fades out where the report goes on."""
    with st.container(border=True, key="report_preview"):
        st.iframe(
            first_screen(run, wanted),
            height=PREVIEW_PIXELS,
            alt="The first screen of the report: verdict, target and controls, headline numbers",
        )
