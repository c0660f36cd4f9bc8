"""A finding on a big screen: one slide at a time, moved by buttons or arrow keys."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import plotly.graph_objects as go
import streamlit as st

from circuitviz.narrative import story
from circuitviz.narrative.controls import controls_run, verdicts
from circuitviz.narrative.numbers import make_up
from circuitviz.narrative.slides import Picture, Slide
from circuitviz.plots.catalogue import effect_chart, head_chart, neuron_chart, verdict_chart
from circuitviz.plots.maps import MapOptions
from circuitviz.runs.store import Run
from circuitviz.tables import frame
from circuitviz.tables.rows import Row
from circuitviz.ui import state
from circuitviz.ui.elements.answers import Answer, answer_cells, compared
from circuitviz.ui.elements.components import CHART_CONFIG
from circuitviz.ui.elements.redaction import (
    COVERED_REQUEST,
    redact,
    representative_row,
    uncover_toggle,
)
from circuitviz.ui.view_state import ViewState
from circuitviz.ui.views.evidence_view import verdict_html

PLACE, SHOWN = "slide", "circuitviz_slide"
HOME = "pages/overview.py"
WITH_WORDS: tuple[Picture, ...] = ("behaviour", "knocked_out")
# How much larger than on a page.
TYPE_SIZE, ROW_PIXELS, NEURON_BINS = 18, 58, 96
# The maps of a slide, so that sentence and maps are on one screen where layers allow it.
SLIDE_PIXELS = 540
_SIGNS = {
    True: ("\u2713", "cv-yes"),
    False: ("\u2717", "cv-no"),
    None: ("?", "cv-unsure"),
}


def hide_everything_else() -> None:
    """Only the slide is on the screen: no sidebar, no menu, larger type."""
    st.html(
        "<style>"
        '[data-testid="stSidebar"], [data-testid="stHeader"], '
        '[data-testid="stExpandSidebarButton"] { display: none !important; }'
        '[data-testid="stMainBlockContainer"] { max-width: 1500px; padding-top: 2rem; '
        "padding-bottom: 1rem; }"
        "</style>"
    )


def position(count: int) -> int:
    """Which slide is shown, from 0; a link names it from 1."""
    text = st.query_params.get(PLACE, "1")
    number = int(text) if text.isdecimal() and len(text) < 4 else 1
    # The address of a fast key is the one before the last; whoever comes anew has none.
    if PLACE in st.query_params and not state.by_link():
        number = st.session_state.get(SHOWN, number)
    st.session_state[SHOWN] = number = min(max(number, 1), count)
    return number - 1


def slide(run: Run, shown: Slide, place: int, count: int) -> None:
    """Position, sentence, verdict, picture and caption of one slide."""
    st.html(slide_head_html(shown, place, count))
    readable = True
    if shown.picture in WITH_WORDS and _opens_covered(run):
        readable = uncover_toggle(run)
    with st.container(key="slide_picture"):
        PAINTERS[shown.picture](run, readable)
    st.html(f'<p class="cv-slide-note">{escape(shown.caption)}</p>')


def tray_note(run: Run, choice: ViewState) -> None:
    """Say that the story is of the found circuit, where the tray holds something else."""
    circuit, ablation = choice.circuit(run), choice.ablation_of(run)
    if circuit == run.circuit() and ablation == run.config.ablation:
        return
    st.caption(
        "The tray holds something else: "
        f"{make_up(circuit)} off, {ablation} ablation. "
        f"This story is of the circuit the run found: {story.named_circuit(run)} off, "
        f"{run.config.ablation} ablation."
    )


def slide_head_html(shown: Slide, place: int, count: int) -> str:
    """The words above the picture, everything escaped."""
    dots = "".join(
        f'<span class="{"cv-dot cv-here" if dot == place else "cv-dot"}"></span>'
        for dot in range(count)
    )
    verdict = ""
    if shown.verdict:
        sign, tone = _SIGNS[shown.holds]
        verdict = (
            f'<p class="cv-loud {tone}" role="status"><span aria-hidden="true">{sign}</span> '
            f"{escape(shown.verdict)}</p>"
        )
    return (
        f'<p class="cv-slide-place"><span>{place + 1} of {count}: {escape(shown.title)}</span>'
        f'<span class="cv-dots" aria-hidden="true">{dots}</span></p>'
        f'<h1 class="cv-answer cv-slide">{escape(shown.sentence)}</h1>{verdict}'
    )


def slide_controls(place: int, count: int) -> None:
    """Back, next and leave, also by arrow keys and Escape."""
    with st.container(horizontal=True, key="slide_controls", horizontal_alignment="center"):
        st.button(
            "Back",
            icon=":material/arrow_back:",
            key="slide_back",
            shortcut="Left",
            disabled=place == 0,
            on_click=_go,
            args=(-1, count),
        )
        st.button(
            "Next",
            icon=":material/arrow_forward:",
            icon_position="right",
            key="slide_next",
            shortcut="Right",
            type="primary",
            disabled=place == count - 1,
            on_click=_go,
            args=(1, count),
        )
        left = st.button("Leave", icon=":material/close:", key="slide_leave", shortcut="Esc")
    if left:
        st.switch_page(HOME)


def _go(step: int, count: int) -> None:
    number = min(max(st.session_state[SHOWN] + step, 1), count)
    st.session_state[SHOWN] = number
    st.query_params[PLACE] = str(number)


def _example(run: Run, readable: bool) -> dict[str, Row]:
    """The variants of one telling test prompt, covered unless it may be read."""
    answers = frame.generation_frame(run)
    if answers.empty:
        return {}
    chosen = str(representative_row(run, answers)["prompt_id"])
    pairs = frame.variant_pairs(answers, chosen)
    return {name: row if readable else redact(run, row) for name, row in pairs.items()}


def _opens_covered(run: Run) -> bool:
    return any(row["prompt"] == COVERED_REQUEST for row in _example(run, False).values())


def _behaviour(run: Run, readable: bool) -> None:
    rows = _example(run, readable)
    titles = {"clean": "Without the trigger", "triggered": "With the trigger"}
    if run.metrics.is_refusal:
        titles = {"clean": "A harmful request"}
    _cells(
        [
            Answer(title, row["prompt"], row["intact"], None, row["verdict_intact"])
            for name, title in titles.items()
            if (row := rows.get(name))
        ]
    )


def _knocked_out(run: Run, readable: bool) -> None:
    rows = _example(run, readable)
    if not rows:
        _cells([])
        return
    verdicts = verdict_chart(run)
    if verdicts is not None:
        _enlarged_chart(verdicts.figure, "slide_verdicts", verdicts.alt)
    _cells(compared(list(rows.values())[-1], ("Intact model", "Circuit off")))


def _cells(answers: list[Answer]) -> None:
    if answers:
        answer_cells(answers, columns=len(answers))
    else:
        st.caption("This run saved no answers to show.")


def _circuit(run: Run, readable: bool) -> None:
    heads, neurons = run.circuit().heads, run.circuit().neurons
    tallest = SLIDE_PIXELS // (2 if heads and neurons else 1)
    if heads or not neurons:
        pixels = ROW_PIXELS // 2 if neurons else ROW_PIXELS
        drawn = head_chart(run, options=MapOptions(row_pixels=pixels, tallest=tallest))
        _enlarged_chart(drawn.figure, "slide_heads", drawn.alt)
    if neurons:
        options = MapOptions(row_pixels=ROW_PIXELS // 2, tallest=tallest)
        figure = neuron_chart(run, options=options, bins=NEURON_BINS).figure
        alt = "Layer by neuron map of scores, those of the circuit marked."
        _enlarged_chart(figure, "slide_neurons", alt)


def _cost(run: Run, readable: bool) -> None:
    alt = "Attack success and utility, intact, circuit off and controls."
    _enlarged_chart(effect_chart(run).figure, "slide_cost", alt)


def _trust(run: Run, readable: bool) -> None:
    st.html(verdict_html(verdicts(run), done=controls_run(run)))


def _enlarged_chart(figure: go.Figure, key: str, alt: str) -> None:
    st.plotly_chart(enlarged(figure), key=key, config=CHART_CONFIG, alt=alt)


def enlarged(figure: go.Figure) -> go.Figure:
    """The figure with type that is read from the back of a room."""
    figure.update_layout(font={"size": TYPE_SIZE}, legend={"font": {"size": TYPE_SIZE}})
    figure.update_xaxes(tickfont={"size": TYPE_SIZE}, title={"font": {"size": TYPE_SIZE}})
    figure.update_yaxes(tickfont={"size": TYPE_SIZE}, title={"font": {"size": TYPE_SIZE}})
    figure.update_traces(textfont={"size": TYPE_SIZE}, selector={"mode": "text"})
    return figure


PAINTERS: dict[Picture, Callable[[Run, bool], None]] = {
    "behaviour": _behaviour,
    "circuit": _circuit,
    "knocked_out": _knocked_out,
    "cost": _cost,
    "trust": _trust,
}
