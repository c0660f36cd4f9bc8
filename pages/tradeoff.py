"""How small can the circuit get before the attack success rate moves?"""

import streamlit as st

from circuitviz.plots import frame, story
from circuitviz.plots.budget_grid import budget_grid
from circuitviz.plots.head_heatmap import head_heatmap
from circuitviz.plots.neuron_heatmap import neuron_heatmap
from circuitviz.plots.readings import READINGS
from circuitviz.plots.text import count
from circuitviz.plots.tradeoff_curve import tradeoff_curve
from circuitviz.ui import overlay_view, shell
from circuitviz.ui import tradeoff_view as view
from circuitviz.ui.components import (
    cards,
    chart,
    page_header,
    rate_card,
    run_note,
    score_note,
    size_card,
    split,
    warn,
)

QUESTION = "How small can the circuit get before the behaviour comes back?"
MAP_ROW, MAP_BINS = 34, 64

run, choice = shell.current_run(QUESTION)
curve = frame.tradeoff_frame(run)
page_header(QUESTION, view.answer(run, curve))

rates = frame.rates_at(run, size=choice.size, heads=choice.heads, neurons=choice.neurons)
base = choice.base_circuit(run)
view.controls(run, choice)
cards(
    [
        rate_card(story.asr_label(run), rates["asr"], before=run.rate("asr", "intact")),
        rate_card("Utility", rates["utility"], before=run.rate("utility", "intact")),
        *([rate_card(story.recovery_label(run), rates["recovery"])] if "recovery" in rates else []),
        size_card(len(base.heads), len(base.neurons), run, "Chosen circuit"),
    ]
)
st.caption(f"For the found size of {run.size:,}. {story.control_line(run)}")

plot, maps = split("curve", (3, 2))
with plot:
    if choice.separate:
        st.header("Heads and neurons apart", anchor=False)
        grid = frame.grid_frame(run)
        chart(
            budget_grid(grid, chosen=(choice.heads or 0, choice.neurons or 0)),
            key="grid",
            reading=READINGS["grid"],
            caption=f"Attack success with the best heads and the best neurons off. "
            f"{run_note(run, view.grid_n(grid))}, test split. Click a cell to choose it.",
            alt="Attack success for each number of heads and of neurons knocked out.",
            twin=grid,
            on_point=view.choose_point,
        )
    else:
        st.header("Effect of each size", anchor=False)
        chart(
            tradeoff_curve(
                curve,
                n_units=len(run.space),
                chosen=len(base),
                target_asr=(run.metrics.get("target") or {}).get("asr"),
                control=frame.random_control(run),
            ),
            key="curve",
            reading=READINGS["tradeoff"],
            caption=f"The best units off, from one run that ranks them all. {run_note(run)}, test "
            f"split. {story.random_note(run)} Click a point to choose its "
            "size on every page. The found size was chosen on validation prompts with a margin, so "
            "a smaller one may do on these test prompts too.",
            alt="Attack success, utility and recovery against circuit size on a log axis.",
            twin=curve,
            on_point=view.choose_size,
        )
with maps:
    st.header("Units of this size", anchor=False)
    heads, neurons = run.space.split(run.scores)
    best, best_neuron = frame.bin_neurons(neurons, MAP_BINS)
    chart(
        head_heatmap(heads, frame.units_of(base, "head"), row_pixels=MAP_ROW),
        key="heads",
        reading=READINGS["head_map"],
        twin=frame.unit_frame(run, base, "head"),
        caption=f"{count(len(base.heads), 'head')} framed. {score_note(run)}",
        alt="Layer by head heatmap of scores, heads of the chosen circuit framed.",
    )
    chart(
        neuron_heatmap(
            best,
            best_neuron,
            run.space.d_mlp,
            frame.units_of(base, "neuron"),
            row_pixels=MAP_ROW,
        ),
        key="neurons",
        reading=READINGS["neuron_map"],
        caption=f"{count(len(base.neurons), 'neuron')}; a diamond marks each bin that holds one.",
        alt="Layer by neuron bin heatmap of scores, bins with neurons of the circuit marked.",
        twin=frame.unit_frame(run, base),
    )

st.header("Other methods and seeds on the same axes", anchor=False)
overlay_view.comparison_picker(run, choice, "Compare with")
runs, problems = overlay_view.compared_runs(run, choice)
warn(problems)
if len(runs) > 1:
    overlay_view.overlay(runs)
    st.page_link("pages/compare.py", label="Compare their circuits", icon=":material/compare:")
overlay_view.method_form(run)
