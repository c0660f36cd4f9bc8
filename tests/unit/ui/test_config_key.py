"""What live answers are kept by."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui.live.live_model import config_key


@pytest.fixture
def config(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "behaviour.json").write_text("{}", encoding="utf-8")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("{}\n", encoding="utf-8")
    return DiscoveryConfig(str(tmp_path / "model"), prompts=str(prompts))


def touch(path):
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize(
    "name", ["prompts.jsonl", "model/model.safetensors", "model/behaviour.json"]
)
def test_an_edited_file_has_another_key_and_nothing_else_has(config, tmp_path, name):
    before = config_key(config)
    assert config_key(replace(config)) == before
    touch(tmp_path / name)
    assert config_key(config) != before


def test_settings_belong_to_the_key_and_a_model_that_is_gone_has_one(config):
    assert config_key(replace(config, seed=3)) != config_key(config)
    assert config_key(DiscoveryConfig("/nowhere/at/all"))
