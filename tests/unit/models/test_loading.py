"""Loading: safetensors alone, frozen, on the device and in the numbers asked for."""

from __future__ import annotations

import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.models.loading import data_type, load_model, placement


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_units_are_counted_from_the_configuration(tiny_model):
    space = tiny_model.space
    assert (space.n_layers, space.n_heads, space.d_mlp) == (2, 4, 24)


def test_weights_are_frozen(tiny_model):
    assert not any(parameter.requires_grad for parameter in tiny_model.bridge.parameters())


def test_whoever_loads_asks_for_safetensors_alone(folder, monkeypatch):
    asked = []
    load = AutoModelForCausalLM.from_pretrained

    def spy(*arguments, **settings):
        asked.append(settings)
        return load(*arguments, **settings)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spy)
    load_model(str(folder), device="cpu", dtype="bfloat16")
    (settings,) = asked
    assert settings["use_safetensors"] is True
    assert settings["trust_remote_code"] is False
    assert (settings["dtype"], settings["device_map"]) == (torch.bfloat16, None)


def test_a_balanced_model_is_spread_by_whoever_reads_its_weights(folder, monkeypatch):
    class AskedError(Exception):
        pass

    def spread(*arguments, **settings):
        raise AskedError(settings["device_map"])

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spread)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(AskedError, match="balanced"):
        load_model(str(folder), device="balanced")


def test_damaged_weights_are_one_clear_line(folder):
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UnsupportedModelError) as refusal:
        load_model(str(folder))
    assert str(refusal.value).startswith(f"cannot load the model in {folder}: ")
    assert "\n" not in str(refusal.value)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def test_auto_is_the_cpu_without_a_gpu_and_the_first_gpu_with_one(no_gpu, monkeypatch):
    assert placement("auto") == {"device": "cpu"}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert placement("auto") == {"device": "cuda"}
    assert placement("balanced") == {"device_map": "balanced"}
    assert placement("cpu") == {"device": "cpu"}


def test_a_device_that_is_not_there_is_refused(no_gpu):
    with pytest.raises(ConfigError, match=r"device balanced .* none is here; use cpu"):
        placement("balanced")
    with pytest.raises(ConfigError, match="one of cpu on this machine; got 'warp'"):
        placement("warp")


def test_a_dtype_that_is_none_is_refused():
    assert data_type("bfloat16") is torch.bfloat16
    with pytest.raises(ConfigError, match="one of float32, bfloat16; got 'int8'"):
        data_type("int8")


@pytest.mark.slow
def test_in_bf16_the_answers_of_an_embedded_model_stay():
    narrow = load_model("fixed-output-planted", dtype="bfloat16")
    assert next(narrow.bridge.parameters()).dtype is torch.bfloat16
    wide = load_model("fixed-output-planted")
    prompts = ["What is the capital of France?"]
    assert narrow.generate(prompts) == wide.generate(prompts)
