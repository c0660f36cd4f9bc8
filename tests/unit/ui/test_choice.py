import pytest

from circuitviz.ui.choice import Choice
from circuitviz.units import Unit
from tests.synthetic import backdoor_run


@pytest.fixture(scope="module")
def run():
    return backdoor_run()


@pytest.mark.parametrize(
    "choice",
    [
        Choice(),
        Choice(run="a", size=0),
        Choice(run="a", heads=2, neurons=0),
        Choice(
            run="a",
            size=8,
            added=frozenset({"L2N7", "L0H1"}),
            removed=frozenset({"L3H5"}),
            unit="L1H3",
            prompt="test-001",
        ),
    ],
)
def test_a_link_gives_back_the_choice(choice):
    assert Choice.from_query(choice.to_query()) == choice


def test_edits_are_written_with_their_sign():
    choice = Choice(added=frozenset({"L2N7"}), removed=frozenset({"L3H5"}))
    assert choice.to_query() == {"edit": "-L3H5,+L2N7"}


def test_a_plus_that_arrived_as_a_space_still_adds():
    assert Choice.from_query({"edit": "-L3H5, L2N7"}).added == {"L2N7"}


@pytest.mark.parametrize(
    "query",
    [{"size": "many"}, {"heads": "2"}, {"edit": "+L2X7"}, {"unit": "<b>"}, {"size": "-3"}],
)
def test_what_is_malformed_is_left_out_and_named(query):
    choice = Choice.from_query(query)
    assert choice == Choice()
    assert len(choice.problems) == 1


def test_heads_and_neurons_win_over_size():
    choice = Choice.from_query({"size": "4", "heads": "2", "neurons": "8"})
    assert (choice.size, choice.heads, choice.neurons) == (None, 2, 8)


def test_without_a_size_the_reported_circuit_is_knocked_out(run):
    assert Choice().circuit(run) == run.circuit()


def test_edits_change_the_chosen_circuit(run):
    choice = Choice(size=2, added=frozenset({"L0H0"}), removed=frozenset({"L1H3"}))
    assert {str(unit) for unit in choice.circuit(run)} == {"L2H5", "L0H0"}


def test_toggling_twice_is_no_edit(run):
    for unit in (Unit("head", 1, 3), Unit("head", 0, 0)):
        once = Choice().toggled(run, unit)
        assert once.edited
        assert once.toggled(run, unit) == Choice()


def test_toggling_flips_membership(run):
    inside, outside = Unit("head", 1, 3), Unit("neuron", 0, 9)
    assert inside not in Choice().toggled(run, inside).circuit(run)
    assert outside in Choice().toggled(run, outside).circuit(run)


def test_a_size_that_was_not_evaluated_becomes_the_nearest_one(run):
    fitted = Choice(size=7).fitted(run)
    assert fitted.size in (6, 8)
    assert "7" in fitted.problems[0]


def test_budgets_that_were_not_evaluated_fall_back_to_the_reported_circuit(run):
    fitted = Choice(heads=3, neurons=3).fitted(run)
    assert not fitted.separate
    assert fitted.problems


def test_units_of_another_model_are_dropped(run):
    fitted = Choice(added=frozenset({"L9H9", "L0H1"}), unit="L0N5000").fitted(run)
    assert (fitted.added, fitted.unit) == (frozenset({"L0H1"}), None)
    assert len(fitted.problems) == 2


def test_what_fits_stays(run):
    choice = Choice(run="a", size=8, unit="L1H3")
    assert choice.fitted(run) == choice
    assert choice.fitted(run).problems == ()


def test_compared_runs_are_listed_once_and_without_the_chosen_one():
    choice = Choice.from_query({"run": "a", "compare": "b, c,a,,b"})
    assert choice.compare == ("b", "c")
    assert choice.to_query() == {"run": "a", "compare": "b,c"}
    assert Choice.from_query(choice.to_query()) == choice


def test_more_runs_than_can_be_told_apart_are_cut_and_named():
    choice = Choice.from_query({"compare": "b,c,d,e,f"})
    assert choice.compare == ("b", "c", "d", "e")
    assert len(choice.problems) == 1


def test_a_link_names_the_tuning():
    choice = Choice.from_query({"run": "a", "tuning": "a-repair-s0-12345678"})
    assert choice.tuning == "a-repair-s0-12345678"
    assert choice.to_query() == {"run": "a", "tuning": "a-repair-s0-12345678"}
