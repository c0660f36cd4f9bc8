"""What was found, and should anyone believe it?"""

import streamlit as st

from circuitviz.narrative import story
from circuitviz.narrative.numbers import count
from circuitviz.narrative.opening import opening_headline, opening_lead
from circuitviz.ui import services, shell
from circuitviz.ui.elements.components import checks, draw_chart, page_header, split
from circuitviz.ui.elements.words import literal
from circuitviz.ui.views import overview_view as view
from circuitviz.ui.views.evidence_view import evidence_section, verdict_panel
from circuitviz.ui.views.open_view import verdict_section

QUESTION = "Which part of the model causes this behaviour, and what happens without it?"

run, choice = shell.current_run(QUESTION)
base = choice.base_circuit(run)

shown = view.at_choice(run, choice)

page_header(QUESTION, opening_headline(shown, run), opening_lead(shown, run))
st.caption(
    f"Model: {literal(services.model_title(run.config.model))} · "
    f"behaviour: {literal(run.metrics.behaviour)} · found in {run.metrics.seconds:.0f} s"
)
if base != run.circuit():
    st.info(view.size_note(run, shown, base), icon=":material/tune:")

view.headline_cards(run, choice)
view.ways_on()

st.header("Should I believe it?", anchor=False)
if shown is not run:
    st.caption(f"The controls tried the circuit of {count(run.size, 'unit')} that this run found.")
verdict_panel(run)

# Built before any of them is drawn: the browser shows the answer meanwhile.
effect, heads = view.effect_panel(shown), view.small_map(run, base)
claim, belief = split("claim", (3, 2))
with claim:
    draw_chart(effect, key="before_after", heading="Before and after")
    verdict_section(shown, key="verdicts")
with belief:
    st.header("Other checks", anchor=False)
    checks(story.doubts(shown))

st.header("The evidence in full", anchor=False)
evidence_section(run)
st.page_link(
    "pages/compare.py", label="Do other seeds and methods agree?", icon=":material/compare:"
)

st.header("Where it is, and what it changes", anchor=False)
where, sample = split("where", (2, 3))
with where:
    draw_chart(heads, key="head_map")
    st.page_link("pages/circuit.py", label="Look inside the circuit", icon=":material/grid_on:")
with sample:
    view.sample(run)
    st.page_link("pages/generations.py", label="Read more answers", icon=":material/forum:")
