import pytest

from circuitviz.errors import ConfigError
from circuitviz.ui.elements.components import chips_html
from circuitviz.ui.tray.tray import (
    added_and_removed,
    provenance,
    saved_rates,
    tray_card,
    unit_chip,
)
from circuitviz.ui.view_state import ViewState
from circuitviz.units import Circuit, Unit
from tests.support.synthetic import backdoor_run


@pytest.fixture(scope="module")
def run():
    return backdoor_run()


def test_heads_and_neurons_have_symbols_of_their_own():
    assert unit_chip("L1H3") == "\u25a3 L1H3"
    assert unit_chip("L2N117") == "\u25c6 L2N117"
    assert unit_chip("nonsense") == "nonsense"


def test_many_chips_end_with_how_many_more(run):
    html = chips_html(list(Circuit.everything(run.space)), most=3)
    assert html.count('class="cv-chip"') == 3
    assert "&lt;b&gt;" in chips_html(["<b>"])
    assert "and 2,077 more" in html


def test_units_are_added_and_removed_by_name(run):
    added, removed = added_and_removed(run, " l1h3, +L0N5; -L2H5 ,\u2212L3N7,")
    assert added == {Unit("head", 1, 3), Unit("neuron", 0, 5)}
    assert removed == {Unit("head", 2, 5), Unit("neuron", 3, 7)}


@pytest.mark.parametrize("words", ["L1X3", "head 3", "L9H0", "L0N512", "L1H3, L1H8"])
def test_a_name_that_is_no_unit_of_the_model_is_refused(run, words):
    with pytest.raises(ConfigError):
        added_and_removed(run, words)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (ViewState(), "the circuit of this run"),
        (ViewState(size=4), "the circuit of this run"),
        (ViewState(size=8), "size 8 chosen (found: 4)"),
        (ViewState(heads=2, neurons=4), "2 heads and 4 neurons chosen"),
        (ViewState(listed=frozenset()), "the empty set"),
        (ViewState(listed=frozenset({"L1H3"}), saved="x"), "the saved set \u201cx\u201d"),
        (ViewState(inverted=True), "all units but those of the circuit of this run"),
        (ViewState(added=frozenset({"L0H0"})), "the circuit of this run, 1 changed by hand"),
    ],
)
def test_where_the_set_comes_from_is_said(run, choice, words):
    assert provenance(run, choice) == words


def test_saved_numbers_answer_for_exactly_the_sets_a_run_measured(run):
    rates = saved_rates(run, run.circuit(), "zero")
    assert (rates["asr"].k, rates["asr"].n) == (0, 256)
    assert saved_rates(run, run.ranked.best(2), "zero")["asr"].k == 51
    assert saved_rates(run, run.circuit_of(2, 16), "zero")["asr"].n == 64
    nothing = Circuit(run.space, frozenset())
    assert saved_rates(run, nothing, "mean")["asr"].k == 256


def test_other_sets_and_other_ablations_have_no_saved_numbers(run):
    assert saved_rates(run, Circuit.of(run.space, ["L0H0", "L0H1"]), "zero") == {}
    assert saved_rates(run, run.circuit(), "mean") == {}
    assert saved_rates(run, run.circuit().complement, "zero") == {}


def test_a_card_has_the_evidence_of_both_models(run):
    card = tray_card("ASR", run.metrics.asr.knocked_out, run.metrics.asr.intact)
    assert (card.before, card.value) == ("100.0\u202f%", "0.0\u202f%")
    assert "0 of 256" in card.note
    assert "95\u202f% CI" in card.note
    assert "intact 256 of 256" in card.note
    assert "judge: starts with" in card.note
