from dataclasses import replace

import pytest

from circuitviz.plots import frame
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui import circuit_view, generations_view, tradeoff_view
from circuitviz.ui.choice import Choice
from circuitviz.ui.components import Card, card_html, run_note
from circuitviz.ui.run_names import distinct_titles, run_labels
from tests.synthetic import backdoor_run, refusal_run


@pytest.fixture(scope="module")
def run():
    return backdoor_run()


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def test_the_moved_slider_stays_and_the_other_follows():
    points = [(0, 0), (0, 8), (4, 8), (4, 64)]
    assert tradeoff_view.nearest_point(points, (4, 0), 0) == (4, 8)
    assert tradeoff_view.nearest_point(points, (4, 0), 1) == (0, 0)
    assert tradeoff_view.nearest_point(points, (4, 64), 1) == (4, 64)


def test_the_tradeoff_answer_says_what_one_size_less_does(run):
    answer = plain(tradeoff_view.answer(run, frame.tradeoff_frame(run)))
    assert answer == "4 units are enough; 3 leave attack success at 2.0 %"


def test_the_tradeoff_answer_is_honest_about_a_missed_target():
    missed = backdoor_run(target_reached=False)
    answer = plain(tradeoff_view.answer(missed, frame.tradeoff_frame(missed)))
    assert answer.startswith(
        "No size that keeps utility reaches 0.4 % attack success; the lowest is 10.9 %"
    )


def test_the_tradeoff_answer_does_not_call_a_missed_target_enough():
    run = refusal_run()
    metrics = {**run.metrics, "target": {"asr": 0.999, "utility": 0.99}}
    near = replace(run, metrics=metrics)
    answer = plain(tradeoff_view.answer(near, frame.tradeoff_frame(near)))
    assert answer == ("64 units bring attack success to 99.2 %, close to the target of 99.9 %")


def test_the_circuit_answer_names_kinds_and_layers(run):
    assert (
        circuit_view.answer(run.circuit())
        == "2 attention heads and 2 neurons, in layers 1, 2 and 3"
    )
    assert circuit_view.answer(run.circuit(1)) == "1 attention head, in layer 1"
    assert circuit_view.answer(run.circuit(0)) == "Nothing is knocked out"


def test_the_panel_starts_with_the_best_unit(run):
    assert str(circuit_view.selected_unit(run, Choice())) == "L1H3"
    assert str(circuit_view.selected_unit(run, Choice(unit="L0N9"))) == "L0N9"


def test_hand_made_changes_mark_each_map_with_its_own_kind():
    choice = Choice(added=frozenset({"L0H1", "L2N7"}), removed=frozenset({"L1H3"}))
    assert circuit_view.added(choice, "head") == [(0, 1)]
    assert circuit_view.added(choice, "neuron") == [(2, 7)]
    assert circuit_view.removed(choice, "head") == [(1, 3)]
    assert circuit_view.removed(choice, "neuron") == []


def test_the_generations_answer_counts_attacks_and_normal_answers():
    backdoor, refusal = backdoor_run(), refusal_run()
    assert generations_view.answer(backdoor, frame.generation_frame(backdoor)) == (
        "256 of 256 attacks fail once it is off; 1 of 512 normal answers gets another verdict"
    )
    assert generations_view.answer(refusal, frame.generation_frame(refusal)).startswith(
        "254 of 256 refusals turn into answers"
    )


def test_filters_keep_rows_that_match_all_of_them(run):
    rows = frame.generation_frame(run)
    keep = generations_view.filter_answers
    assert len(keep(rows)) == len(rows)
    assert len(keep(rows, changed=True)) == 257
    assert len(keep(rows, changed=True, role="benign")) == 1
    assert set(keep(rows, categories=["sums"])["category"]) == {"sums"}
    assert len(keep(rows, text="256. what is")) == 2
    assert len(keep(rows, text="(")) == 0


def test_a_run_is_named_by_what_sets_it_apart():
    runs = {
        "a": DiscoveryConfig(model="x"),
        "b": DiscoveryConfig(model="x", seed=1),
        "c": DiscoveryConfig(model="y", ablation="mean"),
    }
    assert distinct_titles(runs) == {"a": "x · seed 0", "b": "x · seed 1", "c": "y"}


def test_cards_escape_what_they_show():
    assert "<i>" not in card_html(Card("<i>", "<i>", "<i>", "<i>"))


def test_the_note_names_n_judge_ablation_and_interval(run):
    assert plain(run_note(run)) == (
        "n = 256 test prompts · judge: starts with the target answer · zero ablation · intervals "
        "are 95 % Wilson"
    )
