"""What does the model say before and after?"""

import streamlit as st

from circuitviz.ui import generations_view as view
from circuitviz.ui import shell
from circuitviz.ui.answer_table import answer_table
from circuitviz.ui.components import page_header
from circuitviz.ui.cover import uncover_toggle

QUESTION = "What does the model say before and after?"

run, choice = shell.current_run(QUESTION)
header = st.container()
found = view.shown_answers(run, choice)
with header:
    page_header(QUESTION, view.answer(run, found.answers))
shown = uncover_toggle(run)

saved, free = st.tabs(["Test prompts", "Your own prompt"], key="generation_tabs", on_change="rerun")
with saved:
    if saved.open:
        view.saved_comparison(run, choice, found, shown=shown)
with free:
    if free.open:
        view.free_comparison(run, choice)

st.header("All test prompts", anchor=False)
answer_table(run, found.answers, shown=shown)
