"""`discover`: what it takes, saves and prints."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from circuitviz.cli import main
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import RunStore
from tests.support.fake_backend import ONE_LINE, FakeBackend
from tests.support.synthetic import backdoor_run, with_results


def config_of(*options: str) -> DiscoveryConfig | None:
    """What `discover` makes of its options."""
    backend = FakeBackend()
    assert main(["discover", *options], backend) == 0
    return backend.config


def test_discover_saves_the_run_and_prints_one_object(call, runs):
    backend = FakeBackend()
    options = ("--seed", 2, "--ablation", "mean", "--steps", 9, "--budget", "separate")
    printed = call("discover", "planted", *options, "--json", backend=backend)
    config = DiscoveryConfig("planted", seed=2, ablation="mean", steps=9, budget="separate")
    assert backend.config == config
    result = json.loads(printed.out)
    assert result["run_id"] == config.run_id()
    assert result["circuit"]["size"] == 4
    assert result["asr"]["knocked_out"] == {
        "k": 0,
        "n": 256,
        "rate": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.0148, abs=1e-4),
        "judge": "starts with the target answer",
    }
    expected = {"run_id", "model", "behaviour", "seconds", "n_units", "n_heads", "n_neurons"}
    expected |= {"circuit", "asr", "utility", "recovery", "utility_retention", "frontier"}
    assert expected <= set(result)
    assert not {"unit_effects", "controls"} & set(result)
    assert RunStore(runs).ids() == [config.run_id()]
    # Progress is a bar on standard error.
    assert "50 %" in printed.err
    assert "removal=0.250" in printed.err
    assert "a library talks" not in printed.out + printed.err


def test_method_granularity_and_evidence_are_settings_of_a_discovery():
    options = ["--method", "l1", "--l1-weight", "0.5", "--no-refine", "--granularity", "heads"]
    assert config_of("planted", *options, "--controls") == DiscoveryConfig(
        "planted", method="l1", granularity="heads", l1_weight=0.5, refine=False, controls=True
    )
    assert config_of("planted") == DiscoveryConfig("planted")


@pytest.mark.parametrize("method", ["nested", "attribution"])
def test_steps_of_a_method_that_has_none_are_said_to_have_no_effect(call, method):
    message = (
        "circuitviz: --steps has no effect with the method attribution, which learns no masks; it "
        "is for nested, l1, l1-path"
    )
    backend = FakeBackend()
    printed = call("discover", "planted", "--method", method, "--steps", 9, backend=backend)
    assert (message in printed.err) is (method == "attribution")
    # The run is called what it was called before.
    assert backend.config == DiscoveryConfig("planted", method=method, steps=9)
    assert "--steps" not in call("discover", "planted", "--method", method).err


def test_prompts_for_a_behaviour_that_brings_its_own_are_refused(call, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "circuitviz.commands.data.find_plugin", lambda name: SimpleNamespace(name=name)
    )
    backend = FakeBackend()
    asked = ("discover", "planted", "--behaviour")
    prompts = ("--prompts", "p.jsonl")
    assert (
        "'polite' is that of an installed package"
        in call(*asked, "polite", *prompts, backend=backend, code=2).err
    )
    assert backend.config is None
    call(*asked, "polite")
    call(*asked, tmp_path, *prompts)


def test_json_carries_the_evidence_a_run_has(call):
    run = backdoor_run(evidence="passes", controls=True)
    printed = call("discover", "planted", "--controls", "--json", backend=FakeBackend(run))
    result = json.loads(printed.out)
    for key in ("refinement", "frontier_area", "statistics", "controls", "criteria", "stochastic"):
        assert result[key] == run.metrics.to_json()[key]
    assert {"ablations", "judges"} <= set(result)


def test_the_verdicts_are_lines_of_the_summary(call):
    verdicts = [
        {"name": "a", "passed": True, "number": "100 of 100", "title": "All.", "sentence": "s"},
        {"name": "b", "passed": False, "number": "9 of 9", "title": "Alas.", "sentence": "s"},
        {"name": "c", "passed": None, "number": "", "title": "None.", "sentence": "s"},
    ]
    run = with_results(backdoor_run(evidence="fails"), controls={"verdicts": verdicts})
    printed = call("discover", "planted", backend=FakeBackend(run))
    assert printed.out.splitlines()[-3:] == [
        "controls      passes  100 of 100  All.",
        "              FAILS   9 of 9      Alas.",
        "              -                   None.",
    ]


def test_discover_for_people(call, runs):
    lines = call("discover", "planted").out.splitlines()
    run_id = DiscoveryConfig("planted").run_id()
    assert lines[0] == f"run           {run_id} in {runs / run_id}"
    assert lines[2] == "circuit       4 of 2080 units (0.19%)"
    assert lines[5] == "units         L1H3 L2H5 L2N117 L3N402"
    assert lines[6].startswith("ASR           100.0% (256 of 256")
    assert lines[7].startswith("  knocked out 0.0% (0 of 256")


def test_a_value_that_does_not_exist_is_null(call):
    run = with_results(backdoor_run(), utility_retention=float("nan"))
    printed = call("discover", "planted", "--json", backend=FakeBackend(run))
    assert json.loads(printed.out)["utility_retention"] is None


def test_paths_are_kept_absolute_and_an_embedded_name_wins_over_a_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "refusal").mkdir()
    own = config_of("mine", "--prompts", "p.jsonl", "--adapter", "mine/lora")
    assert own == DiscoveryConfig(
        str(tmp_path / "mine"),
        prompts=str(tmp_path / "p.jsonl"),
        adapter=str(tmp_path / "mine" / "lora"),
    )
    assert config_of("refusal") == DiscoveryConfig("refusal")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        # The behaviour's own target is a result, one that was chosen cannot be met.
        ((), 0, "the target, ASR at most 0.4% and 99.0% of utility kept, is not reached"),
        (("--target-asr", 0), 2, "the best circuit found (size 4) has ASR 10.9% and keeps 100.0%"),
    ],
)
def test_a_target_that_is_missed_is_said_with_the_best_circuit(call, runs, options, code, said):
    backend = FakeBackend(backdoor_run(target_reached=False))
    printed = call("discover", "planted", *options, "--json", backend=backend, code=code)
    result = json.loads(printed.out)
    assert (result["target_reached"], result["circuit"]["size"]) == (False, 4)
    last = printed.err.splitlines(keepends=True)[-1]
    assert ONE_LINE.fullmatch(last)
    assert said in last
    assert len(RunStore(runs).ids()) == 1


def test_a_runs_folder_that_cannot_be_written_is_refused_before_the_work(call, tmp_path):
    (tmp_path / "file").touch()
    backend = FakeBackend()
    folder = tmp_path / "file" / "x"
    printed = call("discover", "planted", "--runs", folder, backend=backend, code=2)
    assert "not a writable folder" in printed.err
    assert backend.config is None


def test_help_shows_the_options_in_groups(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["discover", "--help"])
    text = capsys.readouterr().out
    groups = ["what to look for:", "how to learn:", "how to run:", "what to save:"]
    *_, look, learn, run, save = re.split("|".join(groups), text)
    for part, options in (
        (look, ("--data", "--column", "--target-asr", "--granularity")),
        (learn, ("--method", "--ablation", "--no-refine")),
        (run, ("--adapter", "--device", "--checkpointing")),
        (save, ("--controls", "--runs", "--json")),
    ):
        assert all(f"\n  {option}" in part for option in options)
