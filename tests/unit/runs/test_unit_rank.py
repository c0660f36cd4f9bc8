import pytest

from circuitviz.errors import ConfigError
from circuitviz.runs.comparison import unit_rank
from circuitviz.units import Unit
from tests.support.synthetic import OTHER_UNITS, backdoor_run, other_seed_run


def test_the_best_unit_ranks_first_and_is_in_the_circuit():
    found = unit_rank(backdoor_run(), Unit("head", 1, 3))
    assert (found.rank, found.units, found.inside, found.size) == (1, 2080, True, 4)
    assert found.score == 5.0


def test_another_seed_ranks_it_by_its_own_scores():
    found = unit_rank(other_seed_run(), Unit("neuron", 3, 402))
    assert found.rank == OTHER_UNITS.index("L3N402") + 1
    assert not found.inside


def test_a_unit_the_model_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="L9H0"):
        unit_rank(backdoor_run(), Unit("head", 9, 0))
