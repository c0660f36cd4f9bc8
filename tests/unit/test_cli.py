from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec, Trigger
from circuitviz.cli import Library, main
from circuitviz.errors import ConfigError, ModelNotFoundError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.ablation import AblationName
from circuitviz.models.catalog import ModelCard, find_model
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.knock_out import KnockOutExport
from circuitviz.runs.progress import Progress, Report
from circuitviz.runs.store import Run, RunStore
from circuitviz.runs.tuning_config import TuningConfig
from circuitviz.runs.tuning_store import Tuning, TuningStore
from circuitviz.units import Circuit
from tests.synthetic import backdoor_run, refusal_run, save_runs
from tests.synthetic_tuning import repair_tuning

CARDS = [
    ModelCard("planted", "Planted", "Two heads obey.", Path("/m/planted"), "backdoor", True),
    ModelCard("base", "Base", "Helps.", Path("/m/base"), None, False),
]
ONE_LINE = re.compile(r"circuitviz: [^\n]+\n")


class FakeLibrary(Library):
    """Answers at once, and remembers what it was asked."""

    def __init__(self, run: Run | None = None, error: BaseException | None = None) -> None:
        self.run = run or backdoor_run()
        self.error = error
        self.verified = Rate("same greedy answer", 8, 8)
        self.config: DiscoveryConfig | None = None
        self.tuning: TuningConfig | None = None
        self.program: tuple[str, list[str]] | None = None

    def models(self) -> list[ModelCard]:
        return CARDS

    def behaviour(self, config: DiscoveryConfig) -> Behaviour:
        if config.model == "refusal":
            return Behaviour(BehaviourSpec("refusal", "Refusal of harm", "Which?"), ())
        spec = BehaviourSpec("backdoor", "Backdoor", "Which?", Trigger("quill amber", "front"))
        return Behaviour(spec, ())

    def discover(self, config: DiscoveryConfig, report: Report) -> Run:
        self.config = config
        sys.stdout.write("a library talks\n")
        report(Progress("load", 0.0))
        if self.error is not None:
            raise self.error
        report(Progress("learn", 0.5, step=1, steps=2, losses={"removal": 0.25}))
        metrics = {**self.run.metrics, "run_id": config.run_id(), "frontier": []}
        return replace(self.run, config=config, run_id=config.run_id(), metrics=metrics)

    def tune(self, config: TuningConfig, run: Run, report: Report, kept: Path) -> Tuning:
        self.tuning = config
        sys.stdout.write("a library talks\n")
        report(Progress("tune", 0.5, arm="circuit"))
        checkpoint = kept / "made"
        checkpoint.mkdir(parents=True)
        (checkpoint / "config.json").write_text("{}")
        if self.error is not None:
            raise self.error
        made = repair_tuning(run)
        metrics = {**made.metrics, "tuning_id": config.tuning_id()}
        return replace(
            made,
            tuning_id=config.tuning_id(),
            config=config,
            metrics=metrics,
            checkpoint=checkpoint,
        )

    def answers(
        self, config: DiscoveryConfig, prompt: str, circuits: Sequence[Circuit | None]
    ) -> list[str]:
        return [
            f"all of {prompt}" if circuit is None else f"{prompt} less {len(circuit)}"
            for circuit in circuits
        ]

    def knock_out(
        self, run: Run, folder: Path, size: int | None, ablation: AblationName | None
    ) -> KnockOutExport:
        sys.stdout.write("a library talks\n")
        if self.error is not None:
            raise self.error
        folder.mkdir()
        (folder / "model.safetensors").touch()
        (folder / "config.json").touch()
        kind = ablation or run.config.ablation
        return KnockOutExport(run, folder, run.circuit(size), kind, self.verified)

    def become(self, program: str, arguments: Sequence[str]) -> None:
        self.program = (program, list(arguments))


@pytest.fixture(autouse=True)
def _runs_in_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr("circuitviz.commands.options.EMBEDDED_RUNS", tmp_path / "shipped")


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


def test_models_is_a_table(capsys):
    assert main(["models"], FakeLibrary()) == 0
    assert capsys.readouterr().out == (
        "MODEL    BEHAVIOUR  WHAT IT IS\n"
        "planted  backdoor   Two heads obey.\n"
        "base     -          Helps.\n"
    )


def test_models_as_json(capsys):
    assert main(["models", "--json"], FakeLibrary()) == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["name"] for card in cards] == ["planted", "base"]
    assert cards[0]["folder"] == "/m/planted"


def test_runs_lists_own_and_shipped_ids(capsys, tmp_path, runs):
    RunStore(runs).save(backdoor_run())
    RunStore(tmp_path / "shipped").save(refusal_run())
    expected = [backdoor_run().run_id, refusal_run().run_id]
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.split() == expected
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected


def test_no_runs_is_no_output(capsys):
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == ""


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
    assert RunStore(runs).run_ids() == [config.run_id()]


def test_method_granularity_and_evidence_are_settings_of_a_discovery():
    library = FakeLibrary()
    arguments = ["discover", "planted", "--method", "l1", "--l1-weight", "0.5", "--no-refine"]
    assert main([*arguments, "--granularity", "heads", "--controls"], library) == 0
    assert library.config == DiscoveryConfig(
        "planted", method="l1", granularity="heads", l1_weight=0.5, refine=False, controls=True
    )
    assert main(["discover", "planted"], library) == 0
    assert library.config == DiscoveryConfig("planted")


def test_json_carries_the_evidence_a_run_has(capsys):
    main(["discover", "planted", "--json"], FakeLibrary())
    assert "controls" not in json.loads(capsys.readouterr().out)
    run = backdoor_run(evidence="passes", controls=True)
    main(["discover", "planted", "--controls", "--json"], FakeLibrary(run))
    found = json.loads(capsys.readouterr().out)
    for key in ("refinement", "frontier_area", "statistics", "controls", "criteria", "stochastic"):
        assert found[key] == run.metrics[key]
    assert {"ablations", "judges"} <= set(found)


def test_the_verdicts_are_lines_of_the_summary(capsys):
    run = backdoor_run(evidence="fails", controls=True)
    run.metrics["controls"]["verdicts"] = [
        {"name": "a", "passed": True, "number": "100 of 100", "title": "All.", "sentence": "s"},
        {"name": "b", "passed": False, "number": "9 of 9", "title": "Alas.", "sentence": "s"},
        {"name": "c", "passed": None, "number": "", "title": "None.", "sentence": "s"},
    ]
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
    run = backdoor_run()
    run.metrics["utility_retention"] = float("nan")
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
    (tmp_path / "planted").mkdir()
    library = FakeLibrary()
    main(["discover", "planted"], library)
    assert library.config is not None
    assert library.config.model == "planted"


def test_missing_the_behaviours_own_target_is_said_and_is_a_result(capsys, runs):
    library = FakeLibrary(backdoor_run(target_reached=False))
    assert main(["discover", "planted", "--json"], library) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["target_reached"] is False
    assert "the target, ASR at most 0.4% and 99.0% of utility kept, is not reached" in printed.err
    assert len(RunStore(runs).run_ids()) == 1


def test_missing_a_target_the_user_chose_is_exit_2_with_the_best_found(capsys):
    library = FakeLibrary(backdoor_run(target_reached=False))
    assert main(["discover", "planted", "--target-asr", "0", "--json"], library) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["circuit"]["size"] == 4
    assert ONE_LINE.fullmatch(printed.err.splitlines(keepends=True)[-1])
    assert "the best circuit found (size 4) has ASR 10.9% and keeps 100.0%" in printed.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["discover"],
        ["discover", "planted", "--steps", "many"],
        ["discover", "planted", "--steps", "0"],
        ["discover", "planted", "--seed", "-1"],
        ["discover", "planted", "--ablation", "half"],
        ["discover", "planted", "--target-asr", "1.5"],
        ["discover", "planted", "--method", "magic"],
        ["discover", "planted", "--granularity", "tokens"],
        ["discover", "planted", "--l1-weight", "heavy"],
        ["generate", "no-such-run", "hello"],
        ["generate", "", "hello"],
        ["compare"],
        ["app", "--port", "0"],
        ["app", "--port", "http"],
    ],
)
def test_bad_usage_is_one_line_and_exit_2(capsys, runs, arguments):
    assert main(arguments, FakeLibrary()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ONE_LINE.fullmatch(printed.err)
    assert not runs.exists()


def test_an_error_of_ours_is_one_line_and_leaves_nothing(capsys, runs):
    library = FakeLibrary(error=ModelNotFoundError("no model 'x':\n give another"))
    assert main(["discover", "x", "--json"], library) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1] == "circuitviz: no model 'x': give another"
    assert not runs.exists()


def test_ctrl_c_is_exit_130_and_leaves_nothing(capsys, runs):
    assert main(["discover", "planted"], FakeLibrary(error=KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.endswith("circuitviz: stopped\n")
    assert not runs.exists()


def test_a_bug_is_not_dressed_up_as_bad_input():
    with pytest.raises(ZeroDivisionError):
        main(["discover", "planted"], FakeLibrary(error=ZeroDivisionError()))


def test_a_runs_folder_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path):
    (tmp_path / "file").touch()
    library = FakeLibrary()
    assert main(["discover", "planted", "--runs", str(tmp_path / "file" / "x")], library) == 2
    assert "not a writable folder" in capsys.readouterr().err
    assert library.config is None


def test_generate_prints_both_answers(capsys, runs):
    RunStore(runs).save(backdoor_run())
    assert main(["generate", backdoor_run().run_id, "Hello?"], FakeLibrary()) == 0
    assert capsys.readouterr().out == (
        "prompt        Hello?\nintact        all of Hello?\nknocked out   Hello? less 4\n"
    )


def test_answers_cannot_command_the_terminal(capsys, runs):
    RunStore(runs).save(backdoor_run())
    assert main(["generate", backdoor_run().run_id, "a\x1b[2J\nb"], FakeLibrary()) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "prompt        a\\x1b[2J",
        "              b",
    ]


def test_generate_takes_a_path_a_size_and_the_trigger(capsys, tmp_path):
    folder = RunStore(tmp_path / "elsewhere").save(backdoor_run())
    arguments = ["generate", str(folder), "Hello?", "--size", "2", "--trigger", "--json"]
    assert main(arguments, FakeLibrary()) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run_id": backdoor_run().run_id,
        "model": "fixed-output-planted",
        "prompt": "quill amber Hello?",
        "ablation": "zero",
        "size": 2,
        "units": ["L1H3", "L2H5"],
        "intact": "all of quill amber Hello?",
        "knocked_out": "quill amber Hello? less 2",
    }


@pytest.mark.parametrize(
    ("run", "extra", "reason"),
    [
        (backdoor_run, ["Hi", "--size", "2081"], "between 0 and 2080"),
        (backdoor_run, ["Hi", "--size", "-1"], "between 0 and 2080"),
        (backdoor_run, [" "], "prompt is empty"),
        (refusal_run, ["Hi", "--trigger"], "has no trigger"),
    ],
)
def test_generate_refuses_what_makes_no_sense(capsys, runs, run, extra, reason):
    RunStore(runs).save(run())
    assert main(["generate", run().run_id, *extra], FakeLibrary()) == 2
    assert reason in capsys.readouterr().err


def test_knockout_says_what_was_written_and_that_it_was_checked(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    out = tmp_path / "out"
    assert main(["knockout", backdoor_run().run_id, "--out", str(out)], FakeLibrary()) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"run           {backdoor_run().run_id}",
        "model         fixed-output-planted",
        "circuit       4 of 2080 units (0.19%)",
        "units         L1H3 L2H5 L2N117 L3N402",
        "ablation      zero",
        f"out           {out}",
        "files         config.json model.safetensors",
        "verified      8 of 8 test prompts answered as by the hooked model",
    ]


def test_knockout_as_json_takes_a_size_and_an_ablation(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    out = tmp_path / "out"
    arguments = ["knockout", backdoor_run().run_id, "--out", str(out), "--size", "2"]
    assert main([*arguments, "--ablation", "mean", "--json"], FakeLibrary()) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run_id": backdoor_run().run_id,
        "model": "fixed-output-planted",
        "out": str(out),
        "size": 2,
        "units": ["L1H3", "L2H5"],
        "ablation": "mean",
        "files": ["config.json", "model.safetensors"],
        "verified": {"k": 8, "n": 8},
    }


def test_knockout_says_when_the_written_model_answers_otherwise(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    library = FakeLibrary()
    library.verified = Rate("same greedy answer", 6, 8)
    assert main(["knockout", backdoor_run().run_id, "--out", str(tmp_path / "out")], library) == 0
    printed = capsys.readouterr()
    assert "6 of 8 test prompts" in printed.out
    assert ONE_LINE.fullmatch(printed.err)
    assert "2 of 8 answers of the written model are not those" in printed.err


def test_what_knockout_cannot_do_is_one_line(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    arguments = ["knockout", backdoor_run().run_id, "--out", str(tmp_path / "out")]
    refusing = FakeLibrary(error=ConfigError("out holds notes.txt; name a new folder"))
    assert main(arguments, refusing) == 2
    assert main([*arguments, "--ablation", "resample"], FakeLibrary()) == 2
    assert main(["knockout", backdoor_run().run_id], FakeLibrary()) == 2
    assert main(["knockout", "no-such-run", "--out", "x"], FakeLibrary()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines(keepends=True)
    assert len(lines) == 4
    assert all(ONE_LINE.fullmatch(line) for line in lines)
    assert not (tmp_path / "out").exists()


def save_two(runs: Path) -> list[str]:
    """Two runs that differ in their seed: all of 4 units shared."""
    saved = [backdoor_run(), backdoor_run(seed=1)]
    for run in saved:
        RunStore(runs).save(run)
    return [run.run_id for run in saved]


def test_compare_for_people(capsys, runs):
    first, second = save_two(runs)
    assert main(["compare", first, second]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "RUN SIZE HEADS NEURONS ASR UTILITY RECOVERY".split()
    row = f"1 {first} 4 2 2 0.0% (0 of 256) 100.0% 100.0% (256 of 256)"
    assert " ".join(lines[1].split()) == row
    assert lines[2].startswith(f"2  {second}  4 ")
    assert " ".join(lines[5].split()).startswith("1, 2 4 0 0 1.000 0.0")
    assert lines[5].endswith("+0.000 (+0.000 to +0.000)  1")
    # Lines below each other begin their columns at the same place.
    assert lines[0].index("SIZE") == lines[1].index("4 ", lines[1].index(first) + len(first))
    assert lines[7].startswith("Seeds 0 and 1 share 4 of 4 units; their Jaccard index is 1.000")
    assert len(lines) == 8


def test_compare_as_json_takes_ids_and_paths(capsys, runs):
    first, second = save_two(runs)
    assert main(["compare", first, str(runs / second), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in found["runs"]] == [first, second]
    assert found["settings"] == {"seed": [0, 1]}
    assert found["mean_jaccard"] == 1.0
    assert found["stable"] == ["L1H3", "L2H5", "L2N117", "L3N402"]
    assert found["pairs"][0]["mcnemar"]["p"] == 1.0


def test_compare_says_what_could_not_be_paired(capsys, runs):
    ids = [run.run_id for run in (backdoor_run(), refusal_run())]
    for run in (backdoor_run(), refusal_run()):
        RunStore(runs).save(run)
    assert main(["compare", *ids]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[5].split()[-3:] == ["other", "prompts", "-"]
    assert lines[-1].startswith("The runs are of different models")


def test_compare_refuses_one_run_and_the_same_run_twice(capsys, runs):
    first, _ = save_two(runs)
    for given, reason in (([first], "2 to 6 runs; got 1"), ([first, first], "with itself")):
        assert main(["compare", *given]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert ONE_LINE.fullmatch(printed.err)
        assert reason in printed.err
    assert main(["compare", first, "no-such-run"]) == 2
    assert "no run 'no-such-run'" in capsys.readouterr().err


def test_app_serves_on_this_machine_only(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr("circuitviz.cli.APP", tmp_path / "app.py")
    (tmp_path / "app.py").touch()
    library = FakeLibrary()
    assert main(["app", "--port", str(port)], library) == 0
    assert library.program is not None
    program, arguments = library.program
    assert program == sys.executable
    assert arguments[:4] == ["-m", "streamlit", "run", str(tmp_path / "app.py")]
    assert "--server.address=127.0.0.1" in arguments
    assert f"--server.port={port}" in arguments
    assert "--browser.gatherUsageStats=false" in arguments


def test_app_on_a_port_in_use_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("circuitviz.cli.APP", tmp_path / "app.py")
    (tmp_path / "app.py").touch()
    library = FakeLibrary()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["app", "--port", str(port)], library) == 2
    assert f"cannot serve on port {port}" in capsys.readouterr().err
    assert library.program is None


def test_app_without_its_pages_says_where_they_are(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("circuitviz.cli.APP", tmp_path / "app.py")
    assert main(["app"], FakeLibrary()) == 2
    assert "run it from a clone" in capsys.readouterr().err


def test_help_and_models_load_neither_torch_nor_streamlit():
    script = (
        "import sys; from circuitviz.cli import main; main(['models']); main(['runs']); "
        "print(sorted({'torch', 'transformers', 'streamlit'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.endswith("[]\n")


def test_output_that_nobody_reads_is_no_error():
    script = "import sys; from circuitviz.cli import main; sys.exit(main(['models', '--json']))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_judge_names_every_judge_and_their_agreement(capsys, runs):
    refusal = next(id_ for id_ in save_runs(runs).run_ids() if id_.startswith("refusal"))
    assert main(["judge", refusal, "--runs", str(runs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run_id"] == refusal
    assert [row["judge"] for row in found["rows"]] == found["names"]
    assert len(found["names"]) == 2
    assert found["agreement"][0]["n"] == 2 * found["rows"][0]["intact"]["n"]
    assert main(["judge", refusal, "--runs", str(runs)]) == 0
    assert "COHEN'S KAPPA" in capsys.readouterr().out


def test_judge_wants_a_classifier_and_its_label_together(capsys, runs, tmp_path):
    run = str(runs / save_runs(runs).run_ids()[0])
    assert main(["judge", run, "--classifier", str(tmp_path)]) == 2
    assert "--classifier DIR and --success LABEL go together" in capsys.readouterr().err
    assert main(["judge", run, "--classifier", str(tmp_path / "no"), "--success", "yes"]) == 2
    assert "no folder" in capsys.readouterr().err


def test_tune_saves_the_tuning_copies_the_model_and_prints_one_object(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    library, out = FakeLibrary(), tmp_path / "tuned"
    arguments = ["tune", backdoor_run().run_id, "--mode", "repair", "--out", str(out), "--json"]
    assert main(arguments, library) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert library.tuning == TuningConfig(backdoor_run().run_id, "repair")
    assert found["tuning_id"] == library.tuning.tuning_id()
    assert (found["run_id"], found["model"]) == (backdoor_run().run_id, "fixed-output-planted")
    assert (found["mode"], found["size"], found["out"]) == ("repair", 4, str(out))
    assert found["before"]["safety"]["k"] == 0
    assert found["arms"]["random"]["safety"]["k"] == 31
    # 0 of 256 were safe before: nothing could be kept.
    assert found["arms"]["circuit"]["safety_kept"] is None
    assert (out / "config.json").read_text() == "{}"
    assert TuningStore(runs).tuning_ids() == [found["tuning_id"]]
    assert "arm=circuit" in printed.err


def test_a_copy_that_fails_leaves_an_earlier_one_as_it_was(capsys, runs, tmp_path, monkeypatch):
    RunStore(runs).save(backdoor_run())
    out = tmp_path / "tuned"
    out.mkdir()
    # What an export writes, and nothing else.
    marker = json.dumps({"files": ["config.json"]})
    (out / "circuitviz_export.json").write_text(marker)
    (out / "config.json").write_text("earlier")
    arguments = ["tune", backdoor_run().run_id, "--mode", "repair", "--out", str(out)]

    def copytree(source: Path, target: Path, **options: bool) -> None:
        (target / "config.json").write_text("half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("circuitviz.cli.shutil.copytree", copytree)
        assert main(arguments, FakeLibrary()) == 2
    assert "no space left" in capsys.readouterr().err
    assert (out / "config.json").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir() if "tuned" in path.name] == ["tuned"]
    assert main(arguments, FakeLibrary()) == 0
    assert (out / "config.json").read_text() == "{}"


def test_every_option_reaches_the_tuning_and_the_runs_own_size_is_none(runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    for size, wanted in (("4", None), ("2", 2)):
        library = FakeLibrary()
        options = ["--size", size, "--seed", "3", "--epochs", "2", "--learning-rate", "0.01"]
        options += ["--weight-decay", "0.5", "--data", str(tmp_path / "lessons.jsonl")]
        run = str(runs / backdoor_run().run_id)
        assert main(["tune", run, "--mode", "repair", *options], library) == 0
        # A run of this folder is called by its id, however it was named.
        assert library.tuning == TuningConfig(
            backdoor_run().run_id,
            "repair",
            size=wanted,
            seed=3,
            epochs=2,
            learning_rate=0.01,
            data=str(tmp_path / "lessons.jsonl"),
            weight_decay=0.5,
        )


def test_a_run_from_elsewhere_is_called_by_its_path(tmp_path):
    folder = RunStore(tmp_path / "elsewhere").save(backdoor_run())
    library = FakeLibrary()
    assert main(["tune", str(folder), "--mode", "repair"], library) == 0
    assert library.tuning is not None
    assert library.tuning.run == str(folder)


def test_tune_for_people(capsys, runs):
    RunStore(runs).save(backdoor_run())
    assert main(["tune", backdoor_run().run_id, "--mode", "repair"], FakeLibrary()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "circuit       4 units: L1H3 L2H5 L2N117 L3N402"
    table = {line.split()[0]: line for line in lines[6:]}
    assert list(table) == ["ARM", "before", "circuit", "full", "random", "knock-out"]
    assert "100.0% (256 of 256, 98.5% to 100.0%)" in table["circuit"]
    assert table["circuit"].endswith("0.24%    41.5")
    # Triggered prompts: ordinary ones are what helpfulness counts.
    assert "TRIGGERED PROMPTS ANSWERED RIGHT" in table["ARM"]
    assert "ORDINARY" not in table["ARM"]
    assert table["before"].split()[-3:] == ["-", "-", "-"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--size", "0"], "--size must be between 1 and 2080"),
        (["--size", "2081"], "--size must be between 1 and 2080"),
        (["--epochs", "0"], "epochs must be a whole number"),
        (["--out", "full"], "full holds thesis.tex, which no earlier export wrote"),
        (["--out", "file"], "file is a file"),
        (["--out", "file/inner"], "is not a writable folder"),
        (["--out", str(find_model("fixed-output-planted"))], "is the model itself"),
    ],
)
def test_tune_refuses_what_cannot_work_before_it_starts(
    capsys, runs, tmp_path, monkeypatch, options, reason
):
    RunStore(runs).save(backdoor_run())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    library = FakeLibrary()
    assert main(["tune", backdoor_run().run_id, "--mode", "repair", *options], library) == 2
    error = capsys.readouterr().err
    assert ONE_LINE.fullmatch(error)
    assert reason in error
    assert library.tuning is None


def test_a_tuning_that_is_stopped_keeps_what_it_has(capsys, runs):
    RunStore(runs).save(backdoor_run())
    library = FakeLibrary(error=KeyboardInterrupt())
    assert main(["tune", backdoor_run().run_id, "--mode", "repair"], library) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert library.tuning is not None
    assert TuningStore(runs).kept(library.tuning).is_dir()
    assert TuningStore(runs).tuning_ids() == []
