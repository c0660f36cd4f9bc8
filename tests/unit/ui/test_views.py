from dataclasses import replace

import pandas as pd
import pytest

from circuitviz.jobs.job import Job
from circuitviz.narrative.controls import Verdict, verdicts
from circuitviz.plots.catalogue import judges_note, run_note
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.tables import frame
from circuitviz.ui import jobs
from circuitviz.ui.elements.components import Card, card_html, table_html
from circuitviz.ui.view_state import ViewState
from circuitviz.ui.views import (
    circuit_view,
    compare_view,
    generations_view,
    open_view,
    tradeoff_view,
)
from circuitviz.ui.views.answer_table import filter_answers, table_rows, verdict_counts
from circuitviz.ui.views.compare_view import replace_method
from circuitviz.ui.views.evidence_view import verdict_html
from circuitviz.units import Circuit, Unit, UnitSpace
from tests.support.synthetic import backdoor_run, failing_run, refusal_run, with_results
from tests.support.synthetic_open import open_backdoor_run, open_refusal_run


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


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (backdoor_run(), "4 units are enough; 3 leave attack success at 2.0 %"),
        (
            backdoor_run(target_reached=False),
            "No size that keeps utility reaches 0.4 % attack success; the lowest is 10.9 % with 3 "
            "units",
        ),
        (
            with_results(refusal_run(), target={"asr": 0.999}),
            "64 units bring attack success to 99.2 %, close to the target of 99.9 %",
        ),
        (
            open_refusal_run(missed=("utility", "perplexity")),
            "64 units bring attack success to 99.2 %, as asked, but MISS the target for utility "
            "and perplexity",
        ),
    ],
    ids=["one size less", "missed", "nearly reached", "costs too much"],
)
def test_the_tradeoff_answer_is_honest(told, answer):
    assert plain(tradeoff_view.tradeoff_answer(told, frame.tradeoff_frame(told))) == answer


def test_the_circuit_answer_names_kinds_and_layers(run):
    assert (
        circuit_view.circuit_answer(run.circuit())
        == "2 attention heads and 2 neurons, in layers 1\u20133"
    )
    assert circuit_view.circuit_answer(run.circuit(1)) == "1 attention head, in layer 1"
    assert circuit_view.circuit_answer(run.circuit(0)) == "Nothing is knocked out"


def test_layers_are_counted_where_their_numbers_would_be_a_long_list():
    space = UnitSpace(n_layers=30, n_heads=9, d_mlp=1536)
    odd = Circuit.of(space, [f"L{layer}H0" for layer in range(1, 30, 2)])
    assert circuit_view.circuit_answer(odd) == "15 attention heads, in 15 of 30 layers"
    some = Circuit.of(space, ["L0H1", "L3N7", "L4N7", "L5N7", "L9N0"])
    assert circuit_view.where(some) == "layers 0, 3\u20135 and 9"


def test_a_set_of_nearly_the_whole_model_is_listed_in_part(run):
    everything = run.circuit().complement
    unit = Unit.parse("L1N40")
    listed = circuit_view.listed(run, everything, unit)
    assert len(listed) == frame.UNIT_ROWS
    assert unit in listed
    assert circuit_view.listed(run, run.circuit(), unit) == run.circuit()


def test_the_panel_starts_with_the_best_unit(run):
    assert str(circuit_view.selected_unit(run, ViewState())) == "L1H3"
    assert str(circuit_view.selected_unit(run, ViewState(unit="L0N9"))) == "L0N9"


def test_hand_made_changes_mark_each_map_with_its_own_kind(run):
    choice = ViewState(added=frozenset({"L0H1", "L2N7"}), removed=frozenset({"L1H3"}))
    heads, neurons = (
        circuit_view.marks(run, choice, Unit("head", 1, 3), kind) for kind in ("head", "neuron")
    )
    assert (heads.added, heads.removed, heads.selected) == ([(0, 1)], [(1, 3)], (1, 3))
    assert (neurons.added, neurons.removed, neurons.selected) == ([(2, 7)], [], None)
    assert heads.score_range == neurons.score_range


def test_the_generations_answer_counts_attacks_and_normal_answers():
    backdoor, refusal = backdoor_run(), refusal_run()
    assert generations_view.generations_answer(backdoor, frame.generation_frame(backdoor)) == (
        "256 of 256 attacks fail once it is off; 1 of 512 normal answers gets another verdict"
    )
    assert generations_view.generations_answer(refusal, frame.generation_frame(refusal)).startswith(
        "254 of 256 refusals turn into answers"
    )


def test_filters_keep_rows_that_match_all_of_them(run):
    rows = frame.generation_frame(run)
    keep = filter_answers
    assert len(keep(rows)) == len(rows)
    assert len(keep(rows, changed=True)) == 257
    assert len(keep(rows, changed=True, role="benign")) == 1
    assert set(keep(rows, categories=["sums"])["category"]) == {"sums"}
    assert len(keep(rows, text="256. what is")) == 2
    assert len(keep(rows, text="(")) == 0


def test_verdicts_are_counted_changes_first_and_filtered(run):
    rows = frame.generation_frame(run)
    counts = verdict_counts(rows)
    assert counts == {"success \u2192 safe": 256, "correct \u2192 wrong": 1, "correct": 511}
    assert list(counts)[-1] == "correct"
    assert len(filter_answers(rows, verdicts=["correct \u2192 wrong"])) == 1
    assert len(filter_answers(rows, verdicts=["correct", "correct \u2192 wrong"])) == 512


def test_cards_escape_what_they_show():
    assert "<i>" not in card_html(Card("<i>", "<i>", "<i>", "<i>"))


def test_the_note_names_n_judge_ablation_and_interval(run):
    assert plain(run_note(run)) == (
        "n = 256 test prompts · judge: starts with the target answer · zero ablation · intervals "
        "are 95 % Wilson"
    )


def test_a_verdict_is_told_by_sign_word_and_number():
    html = verdict_html(verdicts(failing_run()), done=True)
    assert html.count('class="cv-control cv-no"') == 2
    assert html.count("FAILS") == 2
    assert html.count("passes") == 2
    assert html.count('aria-hidden="true">\u2717<') == 2
    assert "91 of 100" in html
    assert "judge: exact match" in html


def test_a_verdict_that_does_not_apply_is_neither_good_nor_bad():
    html = verdict_html(
        [Verdict(name="x", passed=None, number="", title="X", sentence="No trigger.")], done=True
    )
    assert "does not apply" in html
    assert "cv-yes" not in html
    assert "cv-no" not in html


def test_verdicts_escape_what_they_show():
    html = verdict_html(
        [Verdict(name="x", passed=True, number="<i>", title="<i>", sentence="<i>", evidence="<i>")],
        done=True,
    )
    assert "<i>" not in html


def test_controls_that_were_not_run_are_not_called_passed():
    html = verdict_html(verdicts(backdoor_run()), done=False)
    assert html.count("not run yet") == 4
    assert "passes" not in html


def test_a_table_has_headers_for_rows_and_columns_and_escapes():
    frame = pd.DataFrame({"run": ["<a>"], "k": [1234], "share": [0.25], "none": [None]})
    html = table_html(frame)
    assert '<th scope="col">run</th>' in html
    assert '<th scope="row">&lt;a&gt;</th>' in html
    assert "<td>1,234</td><td>0.250</td><td>\u2013</td>" in html


def test_a_job_says_what_it_did_when_and_why_it_failed():
    config = DiscoveryConfig(model="x", controls=True)
    job = Job("j", config, "failed", submitted=100.0, started=101.0, finished=125.0, error="<no>")
    html = jobs.job_html(job, "The model", now=100.0 + 7200)
    assert "<b>The model</b> failed, 2 h ago" in html
    assert "took 24 s" in html
    assert "Nested masks, heads and neurons" in html
    assert "joint budget" in html
    assert "with controls" in html
    assert "&lt;no&gt;" in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (259200, "3 days ago"),
    ],
)
def test_times_are_told_in_the_largest_unit_that_fits(seconds, text):
    assert jobs.since(seconds) == text


def test_answers_show_both_verdicts_in_one_column(run):
    rows = table_rows(frame.generation_frame(run))
    assert list(rows.columns) == ["kind", "verdicts", "prompt", "intact", "knocked_out"]
    assert (rows["kind"].iloc[0], rows["verdicts"].iloc[0]) == ("triggered", "success \u2192 safe")
    assert set(rows["kind"]) == {"triggered", "clean", "benign"}
    refusal = table_rows(frame.generation_frame(refusal_run()))
    assert set(refusal["kind"]) == {"attack", "benign"}


def test_another_method_leaves_out_what_only_this_one_has():
    config = DiscoveryConfig(model="x", method="l1", l1_weight=0.1, seed=3, controls=True)
    other = replace_method(config, "attribution")
    assert (other.method, other.l1_weight, other.seed, other.controls) == (
        "attribution",
        None,
        3,
        False,
    )
    assert replace_method(config, "l1") == config


def test_other_seeds_are_compared_first_then_methods(monkeypatch):
    run = backdoor_run()
    configs = {
        "ablation": replace(run.config, ablation="mean"),
        "method": replace(run.config, method="random"),
        "seed": replace(run.config, seed=2),
        "same settings": run.config,
        "model": replace(run.config, model="refusal", seed=3),
        run.run_id: run.config,
    }
    monkeypatch.setattr(compare_view.services, "run_configs", lambda: configs)
    assert compare_view.default_comparison(run) == ("seed", "method")


def test_judges_are_named_for_each_rate_and_a_difference_is_said(run):
    assert judges_note(run) == (
        "Judges: attack success: starts with the target answer; utility: exact match; recovery: "
        "exact match."
    )
    named = {"judge": "other"}
    odd = with_results(run, asr={"intact": named, "knocked_out": named})
    assert "starts with the target answer, other;" in judges_note(run, odd)
    assert judges_note(run, odd).endswith("Rates of different judges are not comparable.")


def test_gibberish_is_counted_apart_from_answers():
    run = open_refusal_run()
    answer = generations_view.generations_answer(run, frame.generation_frame(run))
    assert answer.startswith("249 of 256 refusals turn into answers, 5 into gibberish; ")
    rows = table_rows(frame.generation_frame(run))
    assert "safe \u2192 gibberish" in set(rows["verdicts"])


def test_cells_of_the_table_are_cut_and_so_are_labels_which_then_have_their_ids():
    run = open_refusal_run()
    rows = table_rows(frame.generation_frame(run))
    assert rows["knocked_out"].str.len().max() <= 161
    row = {"prompt": "word " * 60, "role": "benign", "prompt_id": "p-7"}
    assert generations_view._label(row).endswith("\u2026  (benign, p-7)")
    assert generations_view._label({**row, "prompt": "short"}) == "short  (benign)"


def test_sizes_are_told_as_heads_and_neurons(run):
    kinds = tradeoff_view._kinds_by_size(run)
    assert (kinds[0], kinds[4], kinds[8]) == (" = 0 + 0", " = 2 + 2", " = 2 + 6")
    assert plain(tradeoff_view._size_text(run, 4, kinds[4])) == "4 = 2 + 2 (0.19 %)"


def test_cards_of_open_answers_carry_what_they_rest_on(run):
    opened = open_backdoor_run()
    (card,) = open_view.perplexity_cards(opened)
    assert plain(card.value) == "+2.6 %"
    assert "1.90 \u2192 1.95" in card.note
    recovery = open_view.recovery_card(opened, opened.metrics.recovery)
    assert "95.8 % of what the intact model reaches without the trigger" in plain(recovery.note)
    assert open_view.perplexity_cards(run) == []
    circuit = open_view.circuit_card(run, run.circuit())
    assert circuit.value == "4 units"
    assert "2 heads of 32 (6.2 %) and 2 neurons of 2,048 (0.10 %)" in plain(circuit.note)


def test_the_best_part_of_a_circuit_is_what_ranks_highest(run):
    assert frame.best_part(run, run.circuit(64), 24) == run.circuit(24)
    assert frame.best_part(run, run.circuit(), 24) == run.circuit()
