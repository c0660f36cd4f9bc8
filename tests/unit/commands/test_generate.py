"""`generate`: what it takes and prints."""

from __future__ import annotations

import json

import pytest

from circuitviz.cli import main
from circuitviz.runs.store import RunStore
from tests.fake_library import FakeLibrary
from tests.synthetic import backdoor_run, refusal_run


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
