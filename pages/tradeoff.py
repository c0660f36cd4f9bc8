"""How small can the circuit get before the attack success rate moves?"""

import streamlit as st

from circuitviz.narrative import story
from circuitviz.tables import evidence_frame, frame
from circuitviz.ui import shell
from circuitviz.ui.elements.components import (
    cards,
    draw_chart,
    page_header,
    rate_card,
    size_card,
    split,
    warn,
)
from circuitviz.ui.views import compare_view
from circuitviz.ui.views import tradeoff_view as view

QUESTION = "How small can the circuit get before the behaviour comes back?"

run, choice = shell.current_run(QUESTION)
curve = frame.tradeoff_frame(run)
page_header(QUESTION, view.tradeoff_answer(run, curve))

rates = frame.rates_at(run, size=choice.size, heads=choice.heads, neurons=choice.neurons)
base = choice.base_circuit(run)
view.tradeoff_controls(run, choice)
cards(
    [
        rate_card(story.asr_label(run), rates["asr"], before=run.metrics.asr.intact),
        rate_card("Utility", rates["utility"], before=run.metrics.utility.intact),
        *([rate_card(story.recovery_label(run), rates["recovery"])] if "recovery" in rates else []),
        size_card(len(base.heads), len(base.neurons), run, "Chosen circuit"),
    ]
)
st.caption(f"For the found size of {run.size:,}. {story.control_line(run)}")
if next_in_line := evidence_frame.next_sentence(run):
    st.caption(next_in_line)

# Built before any of them is drawn: the browser shows the numbers meanwhile.
effect, (heads, neurons) = view.tradeoff_effect(run, choice), view.tradeoff_maps(run, base)
plot, maps = split("curve", (3, 2))
with plot:
    view.draw_effect(run, choice, effect)
with maps:
    draw_chart(heads, key="heads", heading="Units of this size")
    draw_chart(neurons, key="neurons")

st.header("Other methods and seeds on the same axes", anchor=False)
compare_view.comparison_picker(run, choice, "Compare with")
runs, problems = compare_view.compared_runs(run, choice)
warn(problems)
if len(runs) > 1:
    compare_view.overlay(runs)
    st.page_link("pages/compare.py", label="Compare their circuits", icon=":material/compare:")
compare_view.method_form(run)
