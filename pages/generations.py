"""What does the model say before and after?"""

import streamlit as st

from circuitviz.runs.store import Run
from circuitviz.ui import shell, state
from circuitviz.ui.elements.components import page_header
from circuitviz.ui.elements.redaction import uncover_toggle
from circuitviz.ui.views import generations_view as view
from circuitviz.ui.views.answer_table import answer_table

QUESTION = "What does the model say before and after?"


@st.fragment
def comparisons(run: Run, source: view.Shown, *, shown: bool) -> None:
    """One prompt's answers: another prompt draws nothing else again."""
    choice = state.fitted(run)
    saved, free = st.tabs(
        ["Test prompts", "Your own prompt"], key="generation_tabs", on_change="rerun"
    )
    with saved:
        if saved.open:
            view.saved_comparison(run, choice, source, shown=shown)
    with free:
        if free.open:
            view.free_comparison(run, choice)


run, choice = shell.current_run(QUESTION)
header = st.container()
source = view.shown_answers(run, choice)
with header:
    page_header(QUESTION, view.generations_answer(run, source.answers))
shown = uncover_toggle(run)

comparisons(run, source, shown=shown)
st.header("All test prompts", anchor=False)
answer_table(run, source.answers, shown=shown)
