"""Where models run: names of devices and numbers, and what is said of others."""

from __future__ import annotations

import pytest
import torch

from circuitviz.errors import ConfigError
from circuitviz.models.loading import data_type, load_model, placement
from circuitviz.models.model import GatedModel


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
    with pytest.raises(ConfigError) as caught:
        placement("balanced")
    assert str(caught.value) == (
        "device balanced spreads a model over GPUs, and none is here; use cpu"
    )
    with pytest.raises(ConfigError) as caught:
        placement("warp")
    assert str(caught.value) == (
        "device must be auto, balanced or one of cpu on this machine; got 'warp'"
    )


def test_a_dtype_that_is_none_is_refused():
    assert data_type("bfloat16") is torch.bfloat16
    with pytest.raises(ConfigError) as caught:
        data_type("int8")
    assert str(caught.value) == "dtype must be one of float32, bfloat16; got 'int8'"


@pytest.mark.slow
def test_in_bf16_the_answers_of_an_embedded_model_stay(tiny_model: GatedModel):
    narrow = load_model("fixed-output-planted", dtype="bfloat16")
    assert next(narrow.bridge.parameters()).dtype is torch.bfloat16
    wide = load_model("fixed-output-planted")
    prompts = ["What is the capital of France?"]
    assert narrow.generate(prompts) == wide.generate(prompts)
