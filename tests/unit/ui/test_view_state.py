"""What is looked at, as a value and as a link."""

from __future__ import annotations

import pytest

from circuitviz.errors import ConfigError
from circuitviz.ui.view_state import ViewState, read_units, written_units
from circuitviz.units import Unit
from tests.support.synthetic import backdoor_run


@pytest.fixture(scope="module")
def run():
    return backdoor_run()


@pytest.mark.parametrize(
    "choice",
    [
        ViewState(),
        ViewState(run="a", size=0),
        ViewState(run="a", heads=2, neurons=0),
        ViewState(
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
    assert ViewState.from_query(choice.to_query()) == choice


def test_edits_are_written_with_their_sign():
    choice = ViewState(added=frozenset({"L2N7"}), removed=frozenset({"L3H5"}))
    assert choice.to_query() == {"edit": "-L3H5,+L2N7"}


def test_a_plus_that_arrived_as_a_space_still_adds():
    assert ViewState.from_query({"edit": "-L3H5, L2N7"}).added == {"L2N7"}


@pytest.mark.parametrize(
    "query",
    [{"size": "many"}, {"heads": "2"}, {"edit": "+L2X7"}, {"unit": "<b>"}, {"size": "-3"}],
)
def test_what_is_malformed_is_left_out_and_named(query):
    choice = ViewState.from_query(query)
    assert choice == ViewState()
    assert len(choice.problems) == 1


def test_heads_and_neurons_win_over_size():
    choice = ViewState.from_query({"size": "4", "heads": "2", "neurons": "8"})
    assert (choice.size, choice.heads, choice.neurons) == (None, 2, 8)


def test_without_a_size_the_reported_circuit_is_knocked_out(run):
    assert ViewState().circuit(run) == run.circuit()


def test_edits_change_the_chosen_circuit(run):
    choice = ViewState(size=2, added=frozenset({"L0H0"}), removed=frozenset({"L1H3"}))
    assert {str(unit) for unit in choice.circuit(run)} == {"L2H5", "L0H0"}


def test_toggling_twice_is_no_edit(run):
    for unit in (Unit("head", 1, 3), Unit("head", 0, 0)):
        once = ViewState().toggled(run, unit)
        assert once.edited
        assert once.toggled(run, unit) == ViewState()


def test_toggling_flips_membership(run):
    inside, outside = Unit("head", 1, 3), Unit("neuron", 0, 9)
    assert inside not in ViewState().toggled(run, inside).circuit(run)
    assert outside in ViewState().toggled(run, outside).circuit(run)


def test_a_size_that_was_not_evaluated_becomes_the_nearest_one(run):
    fitted = ViewState(size=7).fitted(run)
    assert fitted.size in (6, 8)
    assert "7" in fitted.problems[0]


def test_budgets_that_were_not_evaluated_fall_back_to_the_reported_circuit(run):
    fitted = ViewState(heads=3, neurons=3).fitted(run)
    assert not fitted.separate
    assert fitted.problems


def test_units_of_another_model_are_dropped(run):
    fitted = ViewState(added=frozenset({"L9H9", "L0H1"}), unit="L0N5000").fitted(run)
    assert (fitted.added, fitted.unit) == (frozenset({"L0H1"}), None)
    assert len(fitted.problems) == 2


def test_what_fits_stays(run):
    choice = ViewState(run="a", size=8, unit="L1H3")
    assert choice.fitted(run) == choice
    assert choice.fitted(run).problems == ()


def test_compared_runs_are_listed_once_and_without_the_chosen_one():
    choice = ViewState.from_query({"run": "a", "compare": "b, c,a,,b"})
    assert choice.compare == ("b", "c")
    assert choice.to_query() == {"run": "a", "compare": "b,c"}
    assert ViewState.from_query(choice.to_query()) == choice


def test_more_runs_than_can_be_told_apart_are_cut_and_named():
    choice = ViewState.from_query({"compare": "b,c,d,e,f"})
    assert choice.compare == ("b", "c", "d", "e")
    assert len(choice.problems) == 1


def test_a_link_names_the_tuning():
    choice = ViewState.from_query({"run": "a", "tuning": "a-repair-s0-12345678"})
    assert choice.tuning == "a-repair-s0-12345678"
    assert choice.to_query() == {"run": "a", "tuning": "a-repair-s0-12345678"}


@pytest.mark.parametrize(
    "choice",
    [
        ViewState(run="a", listed=frozenset(), ablation="mean"),
        ViewState(run="a", listed=frozenset({"L1H3", "L2N40"}), saved="my set", inverted=True),
        ViewState(run="a", size=8, inverted=True, random=7, ablation="resample"),
    ],
)
def test_a_link_gives_back_what_the_tray_holds(choice):
    assert ViewState.from_query(choice.to_query()) == choice


def test_a_list_wins_over_a_size():
    choice = ViewState.from_query({"set": "L1H3", "size": "4", "random": "2"})
    assert (choice.listed, choice.size, choice.random) == ({"L1H3"}, None, 2)


@pytest.mark.parametrize("query", [{"set": "L1X3"}, {"ablation": "noise"}, {"random": "-1"}])
def test_what_is_malformed_in_the_tray_is_left_out_and_named(query):
    choice = ViewState.from_query(query)
    assert choice == ViewState()
    assert len(choice.problems) == 1


def test_a_list_too_long_for_a_link_is_left_to_its_name():
    long = ViewState(listed=frozenset(f"L0N{2 * index}" for index in range(600)), saved="big")
    assert not long.linkable
    assert long.to_query() == {"saved": "big"}


def test_inverting_twice_is_no_change_and_edits_keep_their_sense(run):
    choice = ViewState(size=2, added=frozenset({"L0H0"}), removed=frozenset({"L1H3"}))
    inverse = choice.inverse(run)
    assert inverse.circuit(run) == choice.circuit(run).complement
    assert inverse.inverse(run) == choice
    assert inverse.added == {"L1H3"}


def test_a_unit_is_toggled_in_an_inverted_set(run):
    inverse = ViewState(size=2).inverse(run)
    inside = Unit("head", 0, 0)
    once = inverse.toggled(run, inside)
    assert inside not in once.circuit(run)
    assert len(once.circuit(run)) == len(run.space) - 3
    assert once.toggled(run, inside) == inverse


def test_nothing_and_the_found_circuit_are_one_step_away(run):
    choice = ViewState(size=8, added=frozenset({"L0H0"}), ablation="mean", unit="L1H3")
    assert len(choice.cleared().circuit(run)) == 0
    assert choice.cleared().ablation == "mean"
    assert choice.reset_set() == ViewState(unit="L1H3")


def counts(circuit):
    placed = {}
    for unit in circuit:
        placed[unit.kind, unit.layer] = placed.get((unit.kind, unit.layer), 0) + 1
    return placed


def test_a_random_control_has_as_many_of_each_kind_in_each_layer(run):
    own = ViewState(size=32)
    drawn = [own.with_random_control(run, seed).circuit(run) for seed in (0, 0, 1)]
    assert counts(drawn[0]) == counts(own.circuit(run))
    assert drawn[0] == drawn[1] != drawn[2]
    assert not drawn[0].units & own.circuit(run).units


def test_a_random_control_stands_in_for_the_edited_set(run):
    edited = ViewState(size=2, added=frozenset({"L0N5"}))
    control = edited.with_random_control(run, 3)
    assert control.own_circuit(run) == edited.circuit(run)
    assert counts(control.circuit(run)) == counts(edited.circuit(run))
    assert not control.added
    again = control.with_random_control(run, 4)
    assert again.own_circuit(run) == edited.circuit(run)


def test_an_edit_of_a_random_control_keeps_its_units(run):
    control = ViewState(size=4).with_random_control(run, 3)
    unit = next(iter(control.circuit(run)))
    edited = control.toggled(run, unit)
    assert edited.random is None
    assert edited.circuit(run).units == control.circuit(run).units - {unit}
    assert control.inverse(run).circuit(run) == control.circuit(run).complement


def test_units_of_another_model_are_dropped_from_a_list(run):
    fitted = ViewState(listed=frozenset({"L1H3", "L9H9"}), ablation="zero").fitted(run)
    assert fitted.listed == {"L1H3"}
    assert fitted.ablation is None
    assert len(fitted.problems) == 1


def test_edits_too_long_for_a_link_become_a_list(run):
    choice = ViewState()
    for index in range(400):
        choice = choice.toggled(run, Unit("neuron", 0, index))
    assert choice.linkable
    assert len(choice.circuit(run).units - run.circuit().units) in (399, 400)
    query = choice.to_query()
    assert sum(map(len, query.values())) < 1500
    assert ViewState.from_query(query).circuit(run) == choice.circuit(run)


def test_edits_that_no_link_holds_are_left_out_and_said_to_be():
    scattered = frozenset(f"L0N{2 * index}" for index in range(250))
    choice = ViewState(size=8, added=scattered)
    assert not choice.linkable
    assert not choice.linked
    assert choice.to_query() == {"size": "8"}


def test_a_list_and_its_edits_share_the_room_of_a_link():
    listed = frozenset(f"L0N{2 * index}" for index in range(200))
    edits = frozenset(f"L1N{2 * index}" for index in range(110))
    assert ViewState(listed=listed).linkable
    assert ViewState(added=edits).linkable
    assert not ViewState(listed=listed, added=edits).linkable
    assert not ViewState(listed=listed, saved="x", added=edits | listed).linked


def test_a_saved_name_links_a_list_of_any_length():
    long = frozenset(f"L0N{2 * index}" for index in range(600))
    assert ViewState(listed=long, saved="big", added=frozenset({"L1H3"})).linked
    assert not ViewState(listed=long).linked


@pytest.mark.parametrize("start", [ViewState(), ViewState(listed=frozenset({"L1H3", "L2N40"}))])
def test_a_size_forgets_edits_of_an_inverse_or_of_a_list(run, start):
    edited = start.toggled(run, Unit("head", 0, 0)).toggled(run, Unit("head", 1, 3))
    assert edited.inverse(run).of_ranking().circuit(run) == run.circuit()


def test_a_size_keeps_edits_of_another_size(run):
    edited = ViewState(size=8, added=frozenset({"L0H0"}))
    assert edited.of_ranking() == edited


def test_a_saved_name_is_believed_only_of_the_units_saved_under_it():
    named = ViewState(listed=frozenset({"L1H3"}), saved="mine")
    assert named.without_wrong_name(frozenset({"L1H3"})) == named
    assert named.without_wrong_name(frozenset({"L2H5"})).saved is None
    assert named.without_wrong_name(None).saved is None


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "none"),
        (["L1H3"], "L1H3"),
        (["L1H7", "L1H3"], "L1H3.7"),
        (["L2N119", "L2N40", "L2N118", "L2N117", "L1H3"], "L1H3_L2N40.117-119"),
        (["L0H1", "L0N1", "L1H1"], "L0H1_L1H1_L0N1"),
        (["L10H2", "L2H2"], "L2H2_L10H2"),
    ],
)
def test_a_set_is_written_short_and_read_back(names, text):
    assert written_units(names) == text
    assert read_units(text) == set(names)


@pytest.mark.parametrize(
    "text", ["", "L1H", "L1X3", "L1H3,L2N4", "L1H3-", "L1H7-3", "L1N0-999999", "<b>", "L1H3__L2H1"]
)
def test_what_is_no_set_is_named(text):
    with pytest.raises(ConfigError):
        read_units(text)
