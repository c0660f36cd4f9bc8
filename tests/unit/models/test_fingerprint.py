"""What stands for a model: its bytes, wherever they lie and whenever they were written."""

from __future__ import annotations

import os
import shutil

import pytest

from circuitviz.models.source import ModelSource, file_stamp, fingerprint


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_a_copy_is_the_same_model_and_its_date_does_not_count(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    os.utime(copy / "model.safetensors", (1, 1))
    first, second = ModelSource(folder), ModelSource(copy)
    assert fingerprint(first) == fingerprint(second)
    assert len(fingerprint(first)) == 12
    assert file_stamp(first) != file_stamp(second)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "chat_template.jinja"])
def test_one_other_byte_is_another_model(folder, name):
    before = fingerprint(ModelSource(folder))
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert fingerprint(ModelSource(folder)) != before


def test_what_is_not_loaded_does_not_count(folder):
    before = fingerprint(ModelSource(folder))
    (folder / "consolidated.safetensors").write_bytes(b"more")
    (folder / "README.md").write_text("more")
    assert fingerprint(ModelSource(folder)) == before
