"""What does the model say before and after?"""

import streamlit as st

from circuitviz.plots import frame
from circuitviz.ui import generations_view as view
from circuitviz.ui import shell
from circuitviz.ui.components import page_header

QUESTION = "What does the model say before and after?"

run, choice = shell.current_run(QUESTION)
answers = frame.generation_frame(run)
page_header(QUESTION, view.answer(run, answers))

saved, free = st.tabs(["Test prompts", "Your own prompt"], key="generation_tabs", on_change="rerun")
with saved:
    if saved.open:
        view.saved_comparison(run, choice, answers)
with free:
    if free.open:
        view.free_comparison(run, choice)

st.subheader("All test prompts", anchor=False)
view.answer_table(run, answers)
