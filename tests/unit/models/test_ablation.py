"""What replaces an ablated unit."""

from __future__ import annotations

import pytest
import torch

from circuitviz.models.ablation import ZERO, measure_ablation
from circuitviz.models.gates import Gates, recorded
from circuitviz.units import Circuit
from tests.support.tiny import SENTENCES

MESSAGES = list(SENTENCES)


@torch.no_grad()
def activations(model, message, kind, layer):
    seen = {}
    with recorded(lambda k, at, value: seen.setdefault((k, at), value)):
        model.logits(torch.tensor([model.prompt_tokens(message)]))
    return seen[kind, layer][0]


def test_zero_needs_nothing(tiny_model):
    assert measure_ablation(tiny_model, "zero", []) is ZERO
    assert ZERO.reference([1, 2]) is None


def test_mean_is_the_mean_over_all_positions(tiny_model):
    reference = measure_ablation(tiny_model, "mean", MESSAGES).reference([5])
    rows = torch.cat([activations(tiny_model, message, "neuron", 1) for message in MESSAGES])
    torch.testing.assert_close(reference.neuron[0, 1], rows.mean(0))
    rows = torch.cat([activations(tiny_model, message, "head", 0) for message in MESSAGES])
    torch.testing.assert_close(reference.head[0, 0], rows.mean(0))


def test_resampled_values_occur_in_the_corpus(tiny_model):
    reference = measure_ablation(tiny_model, "resample", MESSAGES, seed=4).reference([0, 1])
    rows = torch.cat([activations(tiny_model, message, "neuron", 0) for message in MESSAGES])
    for value in reference.neuron[:, 0]:
        assert bool((rows == value).all(1).any())


def test_a_row_draws_the_same_values_in_any_batch(tiny_model):
    ablation = measure_ablation(tiny_model, "resample", MESSAGES)
    batch, alone = ablation.reference([3, 8, 1]), ablation.reference([8])
    assert torch.equal(batch.neuron[1], alone.neuron[0])
    assert torch.equal(batch.head[1], alone.head[0])


@torch.no_grad()
def test_a_knocked_out_neuron_takes_its_mean(tiny_model):
    ablation = measure_ablation(tiny_model, "mean", MESSAGES)
    circuit = Circuit.of(tiny_model.space, ["L1N5"])
    gates = Gates.knock_out([circuit], ablation.reference([0]))
    seen = []
    block = tiny_model.bridge.blocks[1]
    handle = block.mlp.out.original_component.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    tiny_model.logits(torch.tensor([tiny_model.prompt_tokens(MESSAGES[0])]), gates)
    handle.remove()
    mean = ablation.reference([0]).neuron[0, 1, 5]
    torch.testing.assert_close(seen[0][0, :, 5], mean.expand(seen[0].shape[1]))


@pytest.mark.parametrize("name", ["mean", "resample"])
def test_ablation_changes_what_is_generated(tiny_model, name):
    everything = Circuit.everything(tiny_model.space)
    ablation = measure_ablation(tiny_model, name, MESSAGES)
    cut = tiny_model.generate(MESSAGES, everything, ablation=ablation, max_new_tokens=4)
    assert cut != tiny_model.generate(MESSAGES, everything, max_new_tokens=4)
