from __future__ import annotations

import pytest

from circuitviz.errors import ConfigError
from circuitviz.runs.tuning_config import TuningConfig


def test_a_configuration_comes_back_from_json():
    config = TuningConfig("a-run", "repair", size=3, seed=2, epochs=4, learning_rate=1e-3)
    assert TuningConfig.from_json(config.to_json()) == config


def test_the_id_names_run_mode_and_seed_and_differs_with_every_setting():
    config = TuningConfig("/some/where/a run", "protect", seed=7)
    assert config.tuning_id().startswith("a-run-protect-s7-")
    assert config.tuning_id() == TuningConfig("/some/where/a run", "protect", seed=7).tuning_id()
    others = {
        TuningConfig("a", "protect", **settings).tuning_id()
        for settings in ({}, {"size": 1}, {"epochs": 1}, {"learning_rate": 0.1}, {"data": "x"})
    }
    assert len(others) == 5


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mode": "forget"}, "mode must be one of protect, repair; got 'forget'"),
        ({"run": ""}, "run must be the id of a saved run"),
        ({"size": 0}, "size must be a whole number between 1"),
        ({"size": 2.0}, "got 2.0"),
        ({"seed": True}, "seed must be a whole number"),
        ({"epochs": 0}, "epochs must be a whole number between 1 and 1000; got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0"),
        ({"learning_rate": float("nan")}, "got nan"),
        ({"learning_rate": True}, "got True"),
        ({"data": ""}, "data must be the path of a file"),
    ],
)
def test_unusable_values_are_refused_with_the_value(settings, says):
    with pytest.raises(ConfigError, match=says):
        TuningConfig(**{"run": "a-run", "mode": "protect", **settings})


@pytest.mark.parametrize("data", [{}, {"run": "a"}, {"run": "a", "mode": "repair", "speed": 1}])
def test_missing_and_unknown_fields_are_refused(data):
    with pytest.raises(ConfigError, match="a tuning's configuration has run and mode"):
        TuningConfig.from_json(data)
