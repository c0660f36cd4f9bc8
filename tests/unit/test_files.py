"""Files are written whole or not at all, and JSON has no numbers that it does not know."""

from __future__ import annotations

import os

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
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_a_new_file_is_up_to_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with whole_file(tmp_path / "a.txt") as draft:
            draft.write_text("new")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


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
