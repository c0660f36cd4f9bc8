from __future__ import annotations

from dataclasses import replace

import pytest

from circuitviz.errors import ConfigError
from circuitviz.runs.config import DiscoveryConfig

CONFIG = DiscoveryConfig("fixed-output-planted", seed=3)
OTHERS = {
    "model": "refusal",
    "prompts": "p.jsonl",
    "seed": 4,
    "ablation": "mean",
    "steps": 161,
    "budget": "separate",
    "target_asr": 0.1,
    "target_utility": 0.5,
    "method": "attribution",
    "granularity": "heads",
    "refine": False,
    "adapter": "lora",
    "behaviour": "own",
    "dtype": "bfloat16",
}


def test_json_comes_back_and_names_the_same_run():
    assert DiscoveryConfig.from_json(CONFIG.to_json()) == CONFIG
    assert DiscoveryConfig.from_json(CONFIG.to_json()).run_id() == CONFIG.run_id()


@pytest.mark.parametrize("name", OTHERS)
def test_another_value_of_any_field_is_another_run(name):
    assert replace(CONFIG, **{name: OTHERS[name]}).run_id() != CONFIG.run_id()


def test_another_price_of_units_is_another_run():
    prices = [DiscoveryConfig("m", method="l1", l1_weight=weight) for weight in (None, 0.1, 1.0)]
    assert len({config.run_id() for config in prices}) == 3


def test_a_run_with_controls_replaces_the_run_without():
    assert replace(CONFIG, controls=True).run_id() == CONFIG.run_id()


@pytest.mark.parametrize(
    "where", [{"device": "cuda:1"}, {"micro_batch": 4}, {"checkpointing": True}]
)
def test_where_and_in_how_many_pieces_it_is_computed_makes_no_other_run(where):
    assert replace(CONFIG, **where).run_id() == CONFIG.run_id()


def test_settings_that_came_later_leave_the_names_of_runs_without_them():
    # A run that ships.
    assert DiscoveryConfig("refusal", controls=True).run_id() == "refusal-nested-s0-33b70d1c"


@pytest.mark.parametrize("rows", [0, -1, True, 1.5])
def test_a_micro_batch_that_is_none_is_refused(rows):
    with pytest.raises(ConfigError) as caught:
        DiscoveryConfig("m", micro_batch=rows)
    assert str(caught.value) == f"micro_batch must be at least 1, or left out; got {rows!r}"


def test_a_configuration_from_before_a_setting_existed_has_its_default():
    old = {"model": "m", "method": "nested", "seed": 1, "budget": "separate"}
    assert DiscoveryConfig.from_json(old) == DiscoveryConfig("m", seed=1, budget="separate")


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("fixed-output-planted", "fixed-output-planted-nested-s3-"),
        ("/models/My Model.v2/", "My-Model-v2-nested-s3-"),
        ("../..", "model-nested-s3-"),
    ],
)
def test_a_run_id_is_a_plain_folder_name(model, start):
    run_id = DiscoveryConfig(model, seed=3).run_id()
    assert run_id.startswith(start)
    assert len(run_id) == len(start) + 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "magic"),
        ("ablation", "half"),
        ("budget", "none"),
        ("steps", 0),
        ("steps", 100_001),
        ("seed", -1),
        ("seed", 2**31),
        ("target_asr", 1.01),
        ("target_utility", -0.1),
        ("target_utility", "most"),
        ("granularity", "tokens"),
        ("refine", "yes"),
        ("controls", 1),
        ("l1_weight", -0.5),
        ("l1_weight", float("inf")),
        ("l1_weight", "small"),
        ("l1_weight", 0.5),
    ],
)
def test_unusable_values_are_refused_by_name_and_value(name, value):
    with pytest.raises(ConfigError, match=name) as error:
        replace(CONFIG, **{name: value})
    assert str(value) in str(error.value)


@pytest.mark.parametrize("data", [{}, {"seed": 1}, {"model": "m", "colour": "red"}])
def test_json_with_unknown_or_missing_fields_is_refused(data):
    with pytest.raises(ConfigError, match="a configuration has model"):
        DiscoveryConfig.from_json(data)


def test_separate_sizes_need_both_kinds():
    with pytest.raises(ConfigError, match="granularity both; got heads: choose the budget joint"):
        replace(CONFIG, budget="separate", granularity="heads")
