"""How do I show this to others?"""

import streamlit as st

from circuitviz.ui import shell
from circuitviz.ui.elements.components import page_header
from circuitviz.ui.views import report_view as view

QUESTION = "How do I show this to others?"

run, choice = shell.current_run(QUESTION)
page_header(
    QUESTION, "One page to send, a PDF for the board, a notebook to check it", view.report_lead(run)
)
view.hand_note(run, choice)
taken = st.container()
st.header("What goes in", anchor=False)
wanted = view.options(run, choice)
# Above what is chosen below: most people take the report as it is.
with taken:
    st.header("Take it away", anchor=False)
    view.downloads(run, wanted)
st.header("How it opens", anchor=False)
view.preview(run, wanted)
st.caption(
    "From a shell: "
    f"`circuitviz report {run.run_id} --out report.html`; a name without an ending gets a folder "
    "with everything."
)
