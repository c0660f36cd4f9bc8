"""The headline benchmark: saved runs are read, and seeds are set side by side."""

from __future__ import annotations

from benchmarks import headline
from circuitviz.runs import discover
from tests.support.synthetic import backdoor_run, save_family


def test_runs_that_are_there_are_read_and_their_seeds_compared(tmp_path, monkeypatch, capsys):
    def never(config: object) -> None:
        raise AssertionError(f"asked to find {config}")

    save_family(tmp_path)
    monkeypatch.setattr(discover, "run_discovery", never)
    model = backdoor_run().config.model
    monkeypatch.setattr(
        "sys.argv",
        ["headline.py", "--models", model, "--seeds", "0", "1", "--runs", str(tmp_path)],
    )
    assert headline.main() == 0
    rows = capsys.readouterr().out.splitlines()
    # Each seed, the controls of the first, and the seeds: 3 of 4 units are shared, of 5 in all.
    assert [row.startswith(f"| `{model}` |") for row in rows].count(True) == 4
    assert rows[-1] == f"| `{model}` | 0, 1 | 3 (0.60) | 3 |"
