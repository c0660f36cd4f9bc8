"""`discover`: what it takes, saves and prints."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from circuitviz.cli import main
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import RunStore
from tests.fake_library import ONE_LINE, FakeLibrary
from tests.synthetic import backdoor_run, with_results


def test_discover_saves_the_run_and_prints_one_object(capsys, runs):
    library = FakeLibrary()
    arguments = ["discover", "planted", "--seed", "2", "--ablation", "mean", "--steps", "9"]
    assert main([*arguments, "--budget", "separate", "--json"], library) == 0
    config = DiscoveryConfig("planted", seed=2, ablation="mean", steps=9, budget="separate")
    assert library.config == config
    printed = capsys.readouterr()
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
    assert "unit_effects" not in result
    assert RunStore(runs).ids() == [config.run_id()]


def test_method_granularity_and_evidence_are_settings_of_a_discovery():
    library = FakeLibrary()
    arguments = ["discover", "planted", "--method", "l1", "--l1-weight", "0.5", "--no-refine"]
    assert main([*arguments, "--granularity", "heads", "--controls"], library) == 0
    assert library.config == DiscoveryConfig(
        "planted", method="l1", granularity="heads", l1_weight=0.5, refine=False, controls=True
    )
    assert main(["discover", "planted"], library) == 0
    assert library.config == DiscoveryConfig("planted")


@pytest.mark.parametrize("method", ["nested", "attribution"])
def test_steps_of_a_method_that_has_none_are_said_to_have_no_effect(capsys, method):
    library = FakeLibrary()
    assert main(["discover", "planted", "--method", method, "--steps", "9"], library) == 0
    said = (
        "circuitviz: --steps has no effect with the method attribution, which learns no masks; it "
        "is for nested, l1, l1-path\n"
    )
    assert (said in capsys.readouterr().err) is (method == "attribution")
    # The run is called what it was called before.
    assert library.config == DiscoveryConfig("planted", method=method, steps=9)
    assert main(["discover", "planted", "--method", method], library) == 0
    assert "--steps" not in capsys.readouterr().err
    assert library.config == DiscoveryConfig("planted", method=method)


def test_prompts_for_a_behaviour_that_brings_its_own_are_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "circuitviz.commands.data.find_plugin", lambda name: SimpleNamespace(name=name)
    )
    library = FakeLibrary()
    asked = ["discover", "planted", "--behaviour", "polite"]
    assert main([*asked, "--prompts", "p.jsonl"], library) == 2
    assert capsys.readouterr().err == (
        "circuitviz: --prompts is for a behaviour that lies in a folder; 'polite' is that of an "
        "installed package, which brings its own prompts: leave one of the two out\n"
    )
    assert library.config is None
    assert main(asked, library) == 0
    asked = ["discover", "planted", "--behaviour", str(tmp_path)]
    assert main([*asked, "--prompts", "p.jsonl"], library) == 0


def test_json_carries_the_evidence_a_run_has(capsys):
    main(["discover", "planted", "--json"], FakeLibrary())
    assert "controls" not in json.loads(capsys.readouterr().out)
    run = backdoor_run(evidence="passes", controls=True)
    main(["discover", "planted", "--controls", "--json"], FakeLibrary(run))
    found = json.loads(capsys.readouterr().out)
    for key in ("refinement", "frontier_area", "statistics", "controls", "criteria", "stochastic"):
        assert found[key] == run.metrics.to_json()[key]
    assert {"ablations", "judges"} <= set(found)


def test_the_verdicts_are_lines_of_the_summary(capsys):
    verdicts = [
        {"name": "a", "passed": True, "number": "100 of 100", "title": "All.", "sentence": "s"},
        {"name": "b", "passed": False, "number": "9 of 9", "title": "Alas.", "sentence": "s"},
        {"name": "c", "passed": None, "number": "", "title": "None.", "sentence": "s"},
    ]
    run = with_results(backdoor_run(evidence="fails"), controls={"verdicts": verdicts})
    main(["discover", "planted"], FakeLibrary(run))
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "controls      passes  100 of 100  All.",
        "              FAILS   9 of 9      Alas.",
        "              -                   None.",
    ]


def test_progress_is_a_bar_on_stderr(capsys):
    main(["discover", "planted", "--json"], FakeLibrary())
    printed = capsys.readouterr()
    assert "50 %" in printed.err
    assert "removal=0.250" in printed.err
    assert "a library talks" not in printed.out + printed.err


def test_discover_for_people(capsys, runs):
    assert main(["discover", "planted"], FakeLibrary()) == 0
    lines = capsys.readouterr().out.splitlines()
    run_id = DiscoveryConfig("planted").run_id()
    assert lines[0] == f"run           {run_id} in {runs / run_id}"
    assert lines[2] == "circuit       4 of 2080 units (0.19%)"
    assert lines[5] == "units         L1H3 L2H5 L2N117 L3N402"
    assert lines[6].startswith("ASR           100.0% (256 of 256")
    assert lines[7].startswith("  knocked out 0.0% (0 of 256")


def test_a_value_that_does_not_exist_is_null(capsys):
    run = with_results(backdoor_run(), utility_retention=float("nan"))
    assert main(["discover", "planted", "--json"], FakeLibrary(run)) == 0
    assert json.loads(capsys.readouterr().out)["utility_retention"] is None


def test_paths_are_kept_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    library = FakeLibrary()
    main(["discover", "mine", "--prompts", "p.jsonl"], library)
    assert library.config is not None
    assert library.config.model == str(tmp_path / "mine")
    assert library.config.prompts == str(tmp_path / "p.jsonl")


def test_an_embedded_name_wins_over_a_folder_of_that_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "refusal").mkdir()
    library = FakeLibrary()
    main(["discover", "refusal"], library)
    assert library.config is not None
    assert library.config.model == "refusal"


def test_missing_the_behaviours_own_target_is_said_and_is_a_result(capsys, runs):
    library = FakeLibrary(backdoor_run(target_reached=False))
    assert main(["discover", "planted", "--json"], library) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["target_reached"] is False
    assert "the target, ASR at most 0.4% and 99.0% of utility kept, is not reached" in printed.err
    assert len(RunStore(runs).ids()) == 1


def test_missing_a_target_the_user_chose_is_exit_2_with_the_best_found(capsys):
    library = FakeLibrary(backdoor_run(target_reached=False))
    assert main(["discover", "planted", "--target-asr", "0", "--json"], library) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["circuit"]["size"] == 4
    assert ONE_LINE.fullmatch(printed.err.splitlines(keepends=True)[-1])
    assert "the best circuit found (size 4) has ASR 10.9% and keeps 100.0%" in printed.err


def test_a_runs_folder_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path):
    (tmp_path / "file").touch()
    library = FakeLibrary()
    assert main(["discover", "planted", "--runs", str(tmp_path / "file" / "x")], library) == 2
    assert "not a writable folder" in capsys.readouterr().err
    assert library.config is None


def test_an_adapter_goes_on_top_and_is_kept_by_its_absolute_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    library = FakeLibrary()
    assert main(["discover", "planted", "--adapter", "mine/lora"], library) == 0
    assert library.config == DiscoveryConfig("planted", adapter=str(tmp_path / "mine" / "lora"))


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
