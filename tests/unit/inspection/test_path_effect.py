import numpy as np
import pytest
import torch

from circuitviz.errors import ConfigError
from circuitviz.inspection.path_effect import MOST_UNITS, path_effects
from circuitviz.inspection.prompt_pair import pair_of
from circuitviz.models.gates import Gates
from circuitviz.units import Circuit
from tests.unit.inspection.conftest import READER, WRITER


def log_odds(model, behaviour, circuit=None):
    """Mean of log p(king) - log p(dog) after "the", over the triggered test prompts."""
    found = []
    for prompt in behaviour.prompts("test", "attack"):
        pair = pair_of(model, behaviour, prompt)
        gates = None if circuit is None else Gates.knock_out([circuit])
        with torch.no_grad():
            logits = model.logits(torch.tensor([pair.triggered.tokens]), gates)[0, -1]
        found.append(float(logits[pair.target] - logits[pair.other]))
    return float(np.mean(found))


@pytest.fixture(scope="module")
def graph(wired, behaviour):
    return path_effects(wired, behaviour, Circuit.of(wired.space, [WRITER, READER]))


def test_units_stand_in_the_order_in_which_the_model_runs_them(graph):
    assert graph.units == (WRITER, READER)
    assert graph.words == ("zz",)
    assert graph.trigger == "zz"


def test_the_planted_edge_is_there_and_nothing_runs_backwards(graph):
    (_, forth), (back, _) = graph.between
    assert abs(forth) > 0.01
    assert back == 0
    assert graph.between.diagonal().tolist() == [0, 0]


def test_totals_are_what_knocking_out_one_unit_does(graph, wired, behaviour):
    intact = log_odds(wired, behaviour)
    assert graph.intact == pytest.approx(intact, abs=1e-4)
    for place, unit in enumerate(graph.units):
        cut = log_odds(wired, behaviour, Circuit.of(wired.space, [unit]))
        assert graph.total[place] == pytest.approx(intact - cut, abs=1e-4)
    both = log_odds(wired, behaviour, Circuit.of(wired.space, graph.units))
    assert graph.knocked_out == pytest.approx(both, abs=1e-4)


def test_the_last_unit_reaches_the_answer_with_all_it_does(graph):
    # Nothing of the circuit comes after it that could be held.
    assert graph.to_answer[1] == pytest.approx(graph.total[1], abs=1e-4)


def test_units_of_one_layer_that_run_side_by_side_have_no_edge(tiny_model, behaviour):
    graph = path_effects(tiny_model, behaviour, Circuit.of(tiny_model.space, ["L0H0", "L0H1"]))
    assert not graph.between.any()


def test_heads_reach_the_neurons_of_their_layer_and_not_the_other_way(tiny_model, behaviour):
    graph = path_effects(tiny_model, behaviour, Circuit.of(tiny_model.space, ["L1N3", "L1H0"]))
    assert [str(unit) for unit in graph.units] == ["L1H0", "L1N3"]
    assert graph.between[0, 1] != 0
    assert graph.between[1, 0] == 0


def test_a_unit_without_output_weights_has_no_effect(wired, behaviour):
    graph = path_effects(wired, behaviour, Circuit.of(wired.space, ["L1H0"]))
    assert graph.total == pytest.approx(0, abs=1e-6)
    assert graph.to_answer == pytest.approx(0, abs=1e-6)
    assert graph.from_words == pytest.approx(0, abs=1e-6)


def test_a_circuit_that_is_empty_or_too_large_is_refused(tiny_model, behaviour):
    space = tiny_model.space
    for size in (0, MOST_UNITS + 1):
        circuit = Circuit.of(space, [space.unit(flat) for flat in range(size)])
        with pytest.raises(ConfigError, match=f"got {size}"):
            path_effects(tiny_model, behaviour, circuit)
