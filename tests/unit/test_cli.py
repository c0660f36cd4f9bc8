"""What all commands have in common: exit codes, one line of complaint, a quick start."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import circuitviz
from circuitviz.api.discovery import SETTINGS
from circuitviz.cli import main
from circuitviz.errors import ModelNotFoundError
from circuitviz.files import PROJECT
from circuitviz.runs.config import DiscoveryConfig, TuningConfig, described
from tests.support.fake_backend import ONE_LINE, FakeBackend


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch) -> Path:
    """The folder of runs of these tests."""
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def test_help_lists_every_command_in_the_order_somebody_new_needs_them(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    assert listed[:3] == ["models", "fetch", "preflight"]
    assert listed.index("templates") < listed.index("validate") < listed.index("discover")
    assert listed.index("discover") < listed.index("runs") < listed.index("knockout")
    modules = (PROJECT / "circuitviz" / "commands").glob("*.py")
    made = sum(path.read_text(encoding="utf-8").count("\n@command(") for path in modules)
    assert len(listed) == len(set(listed)) == made


@pytest.mark.parametrize(
    ("command", "config", "elsewhere"),
    [
        # Data has words of its own for a behaviour; the option says what leaving it out does.
        ("discover", DiscoveryConfig, {"behaviour", "refine"}),
        ("tune", TuningConfig, set()),
    ],
)
def test_options_and_docstrings_say_of_a_setting_what_its_field_says(
    capsys, monkeypatch, command, config, elsewhere
):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    for name, field in config.fields().items():
        assert name in elsewhere or f" {described(field)}\n" in text
    documented = str(circuitviz.discover.__doc__)
    assert all(f"{name}: {described(field)}" in documented for name, field in SETTINGS.items())


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
    assert main(arguments, FakeBackend()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ONE_LINE.fullmatch(printed.err)
    assert not runs.exists()


def test_an_error_of_ours_is_one_line_and_leaves_nothing(capsys, runs):
    backend = FakeBackend(error=ModelNotFoundError("no model 'x':\n give another"))
    assert main(["discover", "x", "--json"], backend) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1] == "circuitviz: no model 'x': give another"
    assert not runs.exists()


def test_ctrl_c_is_exit_130_and_leaves_nothing(capsys, runs):
    assert main(["discover", "planted"], FakeBackend(error=KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.endswith("circuitviz: stopped\n")
    assert not runs.exists()


def test_a_bug_is_not_dressed_up_as_bad_input():
    with pytest.raises(ZeroDivisionError):
        main(["discover", "planted"], FakeBackend(error=ZeroDivisionError()))


def test_what_loads_no_model_starts_quickly():
    script = (
        "import sys; from circuitviz.cli import main; "
        "main(['models']); print({'pandas'} & set(sys.modules)); "
        "main(['runs']); print({'torch', 'transformers', 'streamlit'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.count("set()\n") == 2


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
