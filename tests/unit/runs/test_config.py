from __future__ import annotations

from dataclasses import replace

import pytest

from circuitviz.errors import ConfigError
from circuitviz.runs.config import DiscoveryConfig, Settings, TuningConfig

CONFIG = DiscoveryConfig("fixed-output-planted", seed=3)
TUNING = TuningConfig("a-run", "protect", seed=7)
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


@pytest.mark.parametrize("config", [CONFIG, TUNING])
def test_json_comes_back(config):
    assert type(config).from_json(config.to_json()) == config


@pytest.mark.parametrize("name", OTHERS)
def test_another_value_of_any_field_is_another_run(name):
    assert replace(CONFIG, **{name: OTHERS[name]}).run_id() != CONFIG.run_id()


def test_another_price_of_units_is_another_run():
    prices = [DiscoveryConfig("m", method="l1", l1_weight=weight) for weight in (None, 0.1, 1.0)]
    assert len({config.run_id() for config in prices}) == 3


@pytest.mark.parametrize(
    "where", [{"controls": True}, {"device": "cuda:1"}, {"micro_batch": 4}, {"checkpointing": True}]
)
def test_controls_and_how_it_is_computed_make_no_other_run(where):
    assert replace(CONFIG, **where).run_id() == CONFIG.run_id()


def test_another_value_of_any_field_is_another_tuning():
    given = {"size": 1, "epochs": 1, "learning_rate": 0.1, "data": "x", "weight_decay": 0.0}
    others = [replace(TUNING, **{name: value}) for name, value in given.items()]
    assert len({config.tuning_id() for config in (TUNING, *others)}) == 6


def test_runs_that_ship_keep_their_names():
    assert DiscoveryConfig("refusal", controls=True).run_id() == "refusal-nested-s0-33b70d1c"
    # A whole number stays one: it is written, and named, otherwise than the same with a point.
    assert replace(CONFIG, target_utility=1).to_json()["target_utility"] is 1  # noqa: F632


@pytest.mark.parametrize(
    ("name", "start"),
    [
        (CONFIG.run_id(), "fixed-output-planted-nested-s3-"),
        (replace(CONFIG, model="/models/My Model.v2/").run_id(), "My-Model-v2-nested-s3-"),
        (replace(CONFIG, model="../..").run_id(), "model-nested-s3-"),
        (replace(TUNING, run="/some/where/a run").tuning_id(), "a-run-protect-s7-"),
    ],
)
def test_a_name_is_a_plain_folder_name(name, start):
    assert name.startswith(start)
    assert len(name) == len(start) + 8


@pytest.mark.parametrize(
    ("config", "name", "value", "must"),
    [
        (CONFIG, "method", "magic", "one of nested, l1, "),
        (CONFIG, "ablation", "half", "one of zero, mean, resample"),
        (CONFIG, "budget", "none", "one of joint, separate"),
        (CONFIG, "granularity", "tokens", "one of both, heads, neurons, layers"),
        (CONFIG, "model", 1, "str"),
        (CONFIG, "prompts", 1, "str"),
        (CONFIG, "steps", 0, "between 1 and 100000"),
        (CONFIG, "steps", 100_001, "between 1 and 100000"),
        (CONFIG, "steps", 1.5, "int"),
        (CONFIG, "seed", -1, "between 0 and 2147483647"),
        (CONFIG, "seed", 2**31, "between 0 and 2147483647"),
        (CONFIG, "refine", "yes", "bool"),
        (CONFIG, "controls", 1, "bool"),
        (CONFIG, "target_asr", 1.01, "a share between 0 and 1"),
        (CONFIG, "target_utility", -0.1, "a share between 0 and 1"),
        (CONFIG, "target_utility", "most", "a share between 0 and 1"),
        (CONFIG, "l1_weight", -0.5, "a number of at least 0, or left out"),
        (CONFIG, "l1_weight", float("inf"), "a number of at least 0, or left out"),
        (CONFIG, "micro_batch", 0, "at least 1, or left out"),
        (CONFIG, "micro_batch", True, "at least 1, or left out"),
        (CONFIG, "max_new_tokens", 1.5, "at least 1, or left out"),
        (TUNING, "mode", "forget", "one of protect, repair"),
        (TUNING, "run", "", "the id of a saved run or its path"),
        (TUNING, "size", 0, "a whole number between 1 and 2147483647"),
        (TUNING, "size", 2.0, "a whole number between 1 and 2147483647"),
        (TUNING, "seed", True, "a whole number between 0 and 2147483647"),
        (TUNING, "epochs", 0, "a whole number between 1 and 1000"),
        (TUNING, "learning_rate", 0.0, "a number above 0 and at most 1, or left out"),
        (TUNING, "learning_rate", float("nan"), "a number above 0 and at most 1, or left out"),
        (TUNING, "weight_decay", True, "a number between 0 and 100, or left out"),
        (TUNING, "data", "", "the path of a file, or left out"),
    ],
)
def test_unusable_values_are_refused_by_name_and_value(config, name, value, must):
    with pytest.raises(ConfigError) as caught:
        replace(config, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} must be {must}")
    assert message.endswith(f"; got {value!r}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"l1_weight": 0.5}, "with the method nested: leave it out, or choose l1"),
        ({"budget": "separate", "granularity": "heads"}, "got heads: choose the budget joint"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **settings)


@pytest.mark.parametrize(
    ("config", "data", "message"),
    [
        (DiscoveryConfig, {}, "a configuration has model and any of .*; got nothing"),
        (
            DiscoveryConfig,
            {"model": "m", "colour": "red"},
            "has model and any of .*; got colour, model",
        ),
        (TuningConfig, {"run": "a"}, "a tuning's configuration has run and mode, and any of data"),
        (TuningConfig, {"run": "a", "mode": "repair", "speed": 1}, "; got mode, run, speed"),
    ],
)
def test_unknown_and_missing_fields_are_refused(config: type[Settings], data, message):
    with pytest.raises(ConfigError, match=message):
        config.from_json(data)


@pytest.mark.parametrize("config", [DiscoveryConfig, TuningConfig])
def test_every_setting_says_what_it_is(config: type[Settings]):
    assert all(field.description for field in config.fields().values())
