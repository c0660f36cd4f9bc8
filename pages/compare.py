"""Do runs, seeds and methods agree on the circuit?"""

import streamlit as st

from circuitviz.ui import shell
from circuitviz.ui.elements.components import page_header, split, warn
from circuitviz.ui.views import compare_view as view

QUESTION = "Do runs, seeds and methods agree?"

run, choice = shell.current_run(QUESTION)
choice = view.with_defaults(run, choice)
runs, problems = view.compared_runs(run, choice)
compared = view.comparison(runs)
page_header(QUESTION, *view.compare_answer(runs, compared))
warn(problems)
view.comparison_picker(run, choice, "Runs to compare with the one chosen at the left")
if compared is None:
    view.next_step(run)
else:
    labels, letters = view.labels_of(runs), view.letters_of(runs)

    st.header("Numbers", anchor=False)
    view.number_table(compared, labels, runs)
    view.setting_table(compared, labels)

    heads, neurons = split("maps", (1, 1))
    with heads:
        view.head_map(compared, runs)
    with neurons:
        view.neuron_bars(compared, labels, run)

    overlap, pairs = split("overlap", (2, 3))
    with overlap:
        view.overlap_map(compared, letters)
    with pairs:
        view.pair_table(compared, letters)

    st.header("Every unit of any circuit", anchor=False)
    view.shared_unit_table(compared, letters)
