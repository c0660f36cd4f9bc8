"""What memory is expected against what automatic differentiation keeps, and hand-counted sizes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from circuitviz.models.gates import Gates
from circuitviz.models.loading import load_model, recompute_layers
from circuitviz.models.memory import (
    MemoryEstimate,
    MemorySettings,
    ModelShape,
    container_memory,
    estimate_memory,
)
from circuitviz.models.model import GatedModel
from circuitviz.models.source import find_model
from tests.support.architectures import random_model

MODEL = "fixed-output-planted"
SIZES = {"n_layers": 2, "d_model": 8, "n_heads": 2, "n_kv_heads": 1, "d_head": 4, "d_mlp": 16}
SHAPE = ModelShape(**SIZES, gated=True, d_vocab=100, parameters=1000)


def kept_bytes(model: GatedModel, rows: int, length: int) -> int:
    """Bytes that one gated forward pass keeps for the way back, weights aside."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.bridge.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    mask = torch.full((rows, len(model.space)), 0.5, requires_grad=True)
    tokens = torch.randint(5, 200, (rows, length))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.logits(tokens, Gates.from_flat(1 - mask, model.space))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("rows", "length"), [(8, 32), (4, 128)])
def test_activations_are_what_is_kept_for_the_way_back(dtype, rows, length):
    config = json.loads((find_model(MODEL) / "config.json").read_text())
    settings = MemorySettings(rows=rows, length=length, dtype=dtype)
    expected = estimate_memory(ModelShape.of_config(config), settings)
    kept = kept_bytes(load_model(MODEL, dtype=dtype), rows, length)
    assert kept == pytest.approx(expected.activations, rel=0.05)


@pytest.mark.slow
def test_with_layers_computed_again_their_inputs_are_kept():
    model = load_model(MODEL, checkpointing=True)
    # 4 layers, 8 x 32 tokens, 128 dimensions of 4 bytes; the norm and some scalars come on top.
    inputs = 4 * 8 * 32 * 128 * 4
    assert inputs <= kept_bytes(model, 8, 32) <= 1.5 * inputs


def test_every_part_counted_by_hand():
    estimate = estimate_memory(SHAPE, MemorySettings(rows=3, length=5))
    # A token: norms 2 x 32; queries, keys, values and z 4 x 32; pattern 2 x 5 x 4; neurons 4 x 64.
    before, after = 32 + 3 * 32 + 40, 32 + 32 + 4 * 64
    assert estimate == MemoryEstimate(
        weights=4000,
        activations=15 * (before + 2 * after),
        logits=2 * 15 * 100 * 4,
        gates=4 * 2 * 18 * (4 + 24),
    )
    assert estimate.total == sum(
        (estimate.weights, estimate.activations, estimate.logits, estimate.gates)
    )
    assert estimate.to_json()["total"] == estimate.total


def test_rounding_the_pattern_keeps_it_twice_and_no_gate_keeps_less():
    one = MemorySettings(rows=1, length=1)
    wide = estimate_memory(SHAPE, one).activations
    narrow = estimate_memory(SHAPE, replace(one, dtype="bfloat16")).activations
    plain = estimate_memory(replace(SHAPE, gated=False), one).activations
    # Half of all but the norms (64 + 32), and the pattern 2 x (4 + 2) instead of 2 x 4.
    assert narrow == 96 + (wide - 96 - 8) / 2 + 12
    assert wide - plain == 2 * 16 * 4


def test_layers_computed_again_cost_one_layer_and_all_inputs():
    estimate = estimate_memory(SHAPE, MemorySettings(rows=3, length=5, checkpointing=True))
    whole = (32 + 3 * 32 + 40) + (32 + 32 + 4 * 64)
    assert estimate.activations == 2 * 15 * 8 * 4 + 15 * whole


def test_a_shape_is_read_from_every_spelling():
    llama = {
        "model_type": "llama",
        "hidden_size": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_hidden_layers": 2,
        "intermediate_size": 16,
        "vocab_size": 100,
        "tie_word_embeddings": False,
    }
    # A layer: queries and output 2 x 64, keys and values 2 x 32, gate, up and down 3 x 128.
    assert ModelShape.of_config(llama).parameters == 2 * (128 + 64 + 384) + 2 * 800
    assert ModelShape.of_config(llama, parameters=1000) == SHAPE
    gpt2 = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 2, "vocab_size": 100}
    shape = ModelShape.of_config(gpt2)
    assert (shape.d_mlp, shape.gated, shape.n_kv_heads, shape.d_head) == (32, False, 2, 4)
    assert shape.n_units == 2 * (2 + 32)
    with pytest.raises(KeyError, match="hidden_size"):
        ModelShape.of_config({"model_type": "mamba"})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gated"), [("nemotron", False), ("phi", False), ("llama", True)])
def test_whether_there_is_a_gate_is_told_by_the_kind_of_model(name, gated):
    config = random_model(name).config.to_dict()
    assert ModelShape.of_config(config).gated is gated


def test_computing_layers_again_changes_no_gradient():
    model = load_model(MODEL)
    tokens = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))

    def gradient() -> torch.Tensor:
        mask = torch.linspace(0, 1, 3 * len(model.space)).reshape(3, -1).requires_grad_()
        logits = model.logits(tokens, Gates.from_flat(1 - mask, model.space))
        return torch.autograd.grad(logits.log_softmax(-1)[..., 7].sum(), mask)[0]

    kept = gradient()
    plain = model.logits(tokens)
    recompute_layers(model.bridge)
    assert torch.equal(gradient(), kept)
    assert torch.equal(model.logits(tokens), plain)


def test_a_container_may_use_less_than_the_machine_has(tmp_path):
    assert container_memory(100, tmp_path) == 100
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("30\n")
    (tmp_path / "memory.stat").write_text("anon 20\ninactive_file 10\n")
    assert container_memory(100, tmp_path) == 100
    (tmp_path / "memory.max").write_text("80\n")
    # 80 allowed, 30 taken, 10 of those given back when they are needed.
    assert container_memory(100, tmp_path) == 60
