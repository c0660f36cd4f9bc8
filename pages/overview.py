"""What was found, and should anyone believe it?"""

import streamlit as st

from circuitviz.plots import frame, story
from circuitviz.plots.before_after import before_after
from circuitviz.plots.head_heatmap import head_heatmap
from circuitviz.plots.text import count, percent, sparsity
from circuitviz.ui import services, shell
from circuitviz.ui.components import (
    Answer,
    Card,
    answer_cells,
    cards,
    chart,
    checks,
    page_header,
    rate_card,
    run_note,
    score_note,
    size_card,
    split,
)

QUESTION = "Which part of the model causes this behaviour, and what happens without it?"
SMALL_ROW = 34

run, choice = shell.current_run(QUESTION)
intact_asr, intact_utility = run.rate("asr", "intact"), run.rate("utility", "intact")
rates = frame.rates_at(run, size=choice.size, heads=choice.heads, neurons=choice.neurons)
base = choice.base_circuit(run)

page_header(QUESTION, story.headline(run), story.lead(run))
st.caption(
    f"Model: {services.model_title(run.config.model)} · behaviour: {run.metrics['behaviour']} · "
    f"found in {run.metrics['seconds']:.0f} s"
)
if base != run.circuit():
    st.info(
        f"The numbers and the map below are for the size you chose: {len(base):,} units. "
        f"The circuit this run found has {run.size:,}.",
        icon=":material/tune:",
    )

kept = rates["utility"].rate / intact_utility.rate if intact_utility.k else 0.0
cards(
    [
        rate_card(story.asr_label(run), rates["asr"], before=intact_asr),
        Card(
            "Normal accuracy kept",
            percent(kept),
            f"{rates['utility'].k:,} of {rates['utility'].n:,} benign prompts right, intact "
            f"{intact_utility.k:,} of {intact_utility.n:,} · judge: {rates['utility'].judge}",
        ),
        *(
            [rate_card(story.recovery_label(run), rates["recovery"])]
            if "recovery" in rates and not story.is_refusal(run)
            else []
        ),
        size_card(len(base.heads), len(base.neurons), run, "Circuit, share of the model"),
    ]
)

claim, belief = split("claim", (3, 2))
with claim:
    st.subheader("Before, after, and the controls", anchor=False)
    conditions = frame.condition_frame(run)
    chart(
        before_after(conditions),
        key="before_after",
        caption=f"{run_note(run)}, test split. {story.random_note(run)}",
        alt="Attack success and utility of the intact model, with the circuit off, with a random "
        "circuit of the same size off, and with only the circuit on.",
        twin=conditions,
    )
with belief:
    st.subheader("Should I believe it?", anchor=False)
    checks(story.doubts(run))

st.subheader("Where it is, and what it changes", anchor=False)
where, sample = split("where", (2, 3))
with where:
    heads, _ = run.space.split(run.scores)
    chart(
        head_heatmap(heads, frame.units_of(base, "head"), row_pixels=SMALL_ROW),
        key="head_map",
        caption=f"The {count(len(base.heads), 'head')} of the circuit are framed; "
        f"{count(len(base.neurons), 'neuron')} ({sparsity(base.sparsity_neurons)}) belong to it "
        f"too. {score_note(run)}",
        alt="Layer by head heatmap of scores, heads of the circuit framed.",
        twin=frame.unit_frame(run, base, "head"),
    )
    st.page_link("pages/circuit.py", label="Look inside the circuit", icon=":material/grid_on:")
with sample:
    answers = frame.generation_frame(run)
    row = answers.iloc[0] if len(answers) else None
    if row is None:
        st.caption("This run saved no answers.")
    else:
        answer_cells(
            [
                Answer(
                    "Intact model",
                    row["prompt"],
                    row["intact"],
                    row["knocked_out"],
                    row["verdict_intact"],
                ),
                Answer(
                    "Circuit knocked out",
                    row["prompt"],
                    row["knocked_out"],
                    row["intact"],
                    row["verdict_knocked_out"],
                ),
            ],
            columns=1,
        )
        st.caption("A test prompt, greedy answers; the words that differ are marked.")
    st.page_link("pages/generations.py", label="Read more answers", icon=":material/forum:")
