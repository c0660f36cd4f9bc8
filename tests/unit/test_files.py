"""Files are written whole or not at all, and JSON has no numbers that it does not know."""

from __future__ import annotations

import pytest

from circuitviz.files import json_text, whole_file


def test_json_has_null_for_numbers_that_are_not_finite():
    value = {"a": float("nan"), "b": (float("inf"), 1.5), "c": [{"d": -float("inf")}]}
    assert json_text(value) == '{"a": null, "b": [null, 1.5], "c": [{"d": null}]}'


def test_a_file_takes_its_place_once_it_is_whole(tmp_path):
    final = tmp_path / "a.txt"
    final.write_text("old")
    with whole_file(final) as draft:
        draft.write_text("new")
        assert final.read_text() == "old"
    assert final.read_text() == "new"
    assert final.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_after_an_error_the_earlier_file_is_there_and_no_draft(tmp_path):
    final = tmp_path / "a.txt"
    final.write_text("old")

    def stop_half_way() -> None:
        with whole_file(final) as draft:
            draft.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert final.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
