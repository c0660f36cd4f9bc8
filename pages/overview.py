"""What was found, and should anyone believe it?"""

import streamlit as st

from circuitviz.plots import frame, story
from circuitviz.plots.before_after import before_after
from circuitviz.plots.head_heatmap import head_heatmap
from circuitviz.plots.readings import READINGS
from circuitviz.plots.text import count, sparsity
from circuitviz.report.verdict_line import headline, lead
from circuitviz.ui import overview_view as view
from circuitviz.ui import services, shell
from circuitviz.ui.components import (
    chart,
    checks,
    page_header,
    run_note,
    score_note,
    split,
)
from circuitviz.ui.evidence_view import evidence
from circuitviz.ui.verdict_view import verdict_panel

QUESTION = "Which part of the model causes this behaviour, and what happens without it?"
SMALL_ROW = 34

run, choice = shell.current_run(QUESTION)
base = choice.base_circuit(run)

shown = view.at_choice(run, choice)

page_header(QUESTION, headline(shown, run), lead(shown, run))
st.caption(
    f"Model: {services.model_title(run.config.model)} · behaviour: {run.metrics['behaviour']} · "
    f"found in {run.metrics['seconds']:.0f} s"
)
if base != run.circuit():
    st.info(view.size_note(run, shown, base), icon=":material/tune:")

view.headline_cards(run, choice)
view.ways_on()

st.header("Should I believe it?", anchor=False)
if shown is not run:
    st.caption(f"The controls tried the circuit of {count(run.size, 'unit')} that this run found.")
verdict_panel(run)

claim, belief = split("claim", (3, 2))
with claim:
    st.header("Before and after", anchor=False)
    conditions = frame.condition_frame(shown)
    chart(
        before_after(conditions),
        key="before_after",
        reading=READINGS["before_after"],
        caption=f"{run_note(shown)}, test split. {story.random_note(shown)}",
        alt="Attack success and utility of the intact model, with the circuit off, with a random "
        "circuit of the same size off, and with only the circuit on.",
        twin=conditions,
    )
with belief:
    st.header("Other checks", anchor=False)
    checks(story.doubts(shown))

st.header("The evidence in full", anchor=False)
evidence(run)
st.page_link(
    "pages/compare.py", label="Do other seeds and methods agree?", icon=":material/compare:"
)

st.header("Where it is, and what it changes", anchor=False)
where, sample = split("where", (2, 3))
with where:
    heads, _ = run.space.split(run.scores)
    chart(
        head_heatmap(heads, frame.units_of(base, "head"), row_pixels=SMALL_ROW),
        key="head_map",
        reading=READINGS["head_map"],
        caption=f"Framed: {count(len(base.heads), 'head')} of the circuit; "
        f"{count(len(base.neurons), 'neuron')} ({sparsity(base.sparsity_neurons)}) more. "
        f"{score_note(run)}",
        alt="Layer by head heatmap of scores, heads of the circuit framed.",
        twin=frame.unit_frame(run, base, "head"),
    )
    st.page_link("pages/circuit.py", label="Look inside the circuit", icon=":material/grid_on:")
with sample:
    view.sample(run)
    st.page_link("pages/generations.py", label="Read more answers", icon=":material/forum:")
