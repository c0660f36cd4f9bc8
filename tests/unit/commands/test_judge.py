"""`judge`: what it takes and prints."""

from __future__ import annotations

import json

from circuitviz.cli import main
from tests.synthetic import save_runs


def test_judge_names_every_judge_and_their_agreement(capsys, runs):
    refusal = next(id_ for id_ in save_runs(runs).ids() if id_.startswith("refusal"))
    assert main(["judge", refusal, "--runs", str(runs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run_id"] == refusal
    assert [row["judge"] for row in found["rows"]] == found["names"]
    assert len(found["names"]) == 2
    assert found["agreement"][0]["n"] == 2 * found["rows"][0]["intact"]["n"]
    assert main(["judge", refusal, "--runs", str(runs)]) == 0
    assert "COHEN'S KAPPA" in capsys.readouterr().out


def test_judge_wants_a_classifier_and_its_label_together(capsys, runs, tmp_path):
    run = str(runs / save_runs(runs).ids()[0])
    assert main(["judge", run, "--classifier", str(tmp_path)]) == 2
    assert "--classifier DIR and --success LABEL go together" in capsys.readouterr().err
    assert main(["judge", run, "--classifier", str(tmp_path / "no"), "--success", "yes"]) == 2
    assert "no folder" in capsys.readouterr().err
