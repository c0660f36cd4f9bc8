"""The order in which runs and tunings are listed."""

from __future__ import annotations

import os

from circuitviz.runs.store import newest_first


def test_the_last_changed_comes_first_and_what_is_gone_is_left_out(tmp_path):
    for age, name in enumerate(("new", "old")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    folders = [tmp_path / name for name in ("old", "gone", "new")]
    assert newest_first(folders) == [tmp_path / "new", tmp_path / "old"]
