"""A circuit knocked out in the weights acts like one knocked out by hooks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.models.ablation import ZERO, Ablation, measure_ablation
from circuitviz.models.gates import Gates, Reference
from circuitviz.models.loading import load_model
from circuitviz.models.ownership import weight_map
from circuitviz.models.weights import load_weights
from circuitviz.tuning.export import fold_knock_out
from circuitviz.units import Circuit, UnitSpace
from tests.support.architectures import random_model, save_model
from tests.support.tiny import SENTENCES

TOKENS = torch.tensor([[1, 17, 9, 30, 12, 44]])
UNITS = ("L0H1", "L0H2", "L1H3", "L0N3", "L1N7", "L1N8")
# Which parts get a bias by a setting of the configuration, where they have none.
BIASED = {
    "llama": ("heads", "neurons"),
    "qwen3": ("heads",),
    "gemma": ("heads",),
    "gemma2": ("heads",),
    "gemma3": ("heads",),
    "olmo": ("heads",),
    "olmo2": ("heads",),
    "granite": ("heads", "neurons"),
    "smollm3": ("heads", "neurons"),
    "nemotron": ("heads", "neurons"),
    "gpt2": ("heads", "neurons"),
    "gpt_neo": ("heads", "neurons"),
    "gpt_neox": ("heads", "neurons"),
    "phi": ("heads", "neurons"),
    "opt": ("heads", "neurons"),
    "bloom": ("heads", "neurons"),
    "falcon-one-key": ("heads", "neurons"),
    "gptj": ("neurons",),
    "mistral": (),
    "qwen2": (),
    "stablelm": (),
    "phi3": (),
}


def means(space: UnitSpace, d_head: int) -> Ablation:
    generator = torch.Generator().manual_seed(2)
    head = torch.randn((1, space.n_layers, space.n_heads, d_head), generator=generator)
    neuron = torch.randn((1, space.n_layers, space.d_mlp), generator=generator)
    return Ablation("mean", Reference(head, neuron))


def state(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_zero_sets_the_columns_to_zero_and_touches_nothing_else(tiny_folder, tiny_model):
    model = load_weights(str(tiny_folder))
    before = state(model)
    fold_knock_out(model, Circuit.of(tiny_model.space, ["L1H2", "L0N7"]), ZERO)
    after = model.state_dict()
    changed = [name for name, value in after.items() if not torch.equal(value, before[name])]
    o_proj, down = "model.layers.1.self_attn.o_proj.weight", "model.layers.0.mlp.down_proj.weight"
    assert sorted(changed) == sorted([o_proj, down])
    assert not after[o_proj][:, 16:24].any()
    assert torch.equal(after[o_proj][:, :16], before[o_proj][:, :16])
    assert not after[down][:, 7].any()
    assert torch.equal(after[down][:, 8:], before[down][:, 8:])


def test_no_circuit_changes_nothing(tiny_folder, tiny_model):
    model = load_weights(str(tiny_folder))
    before = state(model)
    nothing = Circuit(tiny_model.space, frozenset())
    fold_knock_out(model, nothing, ZERO)
    fold_knock_out(model, nothing, means(tiny_model.space, 8))
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@torch.no_grad()
def test_mean_puts_what_the_units_give_on_average_into_new_biases(tiny_folder, tiny_model):
    model = load_weights(str(tiny_folder))
    before = state(model)
    ablation = means(tiny_model.space, 8)
    assert ablation.bank is not None
    fold_knock_out(model, Circuit.of(tiny_model.space, ["L1H2", "L0N7"]), ablation)
    after = model.state_dict()
    assert model.config.attention_bias
    assert model.config.mlp_bias
    weight = before["model.layers.1.self_attn.o_proj.weight"]
    expected = weight[:, 16:24] @ ablation.bank.head[0, 1, 2]
    torch.testing.assert_close(after["model.layers.1.self_attn.o_proj.bias"], expected)
    column = before["model.layers.0.mlp.down_proj.weight"][:, 7]
    expected = column * ablation.bank.neuron[0, 0, 7]
    torch.testing.assert_close(after["model.layers.0.mlp.down_proj.bias"], expected)
    # All other new biases are 0: 4 of attention and 3 of the MLP in each of 2 layers.
    new = after.keys() - before.keys()
    assert len(new) == 2 * (4 + 3)
    assert sum(bool(after[name].any()) for name in new) == 2


@torch.no_grad()
def test_with_heads_alone_only_attention_gets_biases(tiny_folder, tiny_model):
    model = load_weights(str(tiny_folder))
    fold_knock_out(model, Circuit.of(tiny_model.space, ["L1H2"]), means(tiny_model.space, 8))
    assert model.config.attention_bias
    assert not model.config.mlp_bias


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", list(BIASED))
def test_folded_and_hooked_models_give_the_same_logits(name, tmp_path):
    gated = load_model(str(save_model(random_model(name), tmp_path / "model")))
    circuit = Circuit.of(gated.space, UNITS)
    plain = gated.logits(TOKENS)
    kinds = {"heads": circuit.heads, "neurons": circuit.neurons}
    able = [unit for kind in BIASED[name] for unit in kinds[kind]]
    cases = [(ZERO, circuit)]
    if able:
        mean = measure_ablation(gated, "mean", SENTENCES)
        cases.append((mean, Circuit.of(gated.space, able)))
    for ablation, units in cases:
        model = random_model(name)
        fold_knock_out(model, units, ablation)
        hooked = gated.logits(TOKENS, Gates.knock_out([units], ablation.reference([0])))
        torch.testing.assert_close(model(TOKENS).logits, hooked, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(hooked, plain, atol=1e-2)


@pytest.mark.parametrize("name", [name for name, kinds in BIASED.items() if len(kinds) < 2])
def test_mean_without_a_place_for_it_is_refused_and_leaves_the_model_alone(name):
    model = random_model(name)
    owned = weight_map(model)
    before, config = state(model), model.config.to_dict()
    circuit = Circuit.of(owned.space, UNITS)
    with pytest.raises(ConfigError) as refusal:
        fold_knock_out(model, circuit, means(owned.space, owned.attentions[0].d_head))
    message = str(refusal.value)
    assert f"of {type(model).__name__} has none" in message
    assert message.endswith("choose zero ablation")
    assert model.config.to_dict() == config
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_weights_cannot_hold_is_refused(tiny_folder, tiny_model):
    model = load_weights(str(tiny_folder))
    circuit = Circuit.of(tiny_model.space, ["L0H0"])
    resample = measure_ablation(tiny_model, "resample", SENTENCES)
    with pytest.raises(ConfigError, match="resample draws other values for each prompt"):
        fold_knock_out(model, circuit, resample)
    with pytest.raises(ConfigError, match="needs the units' means"):
        fold_knock_out(model, circuit, Ablation("mean"))
    with pytest.raises(ConfigError, match="use the model the circuit was found in"):
        fold_knock_out(model, Circuit.of(UnitSpace(4, 8, 512), ["L3H7"]), ZERO)
    with pytest.raises(UnsupportedModelError):
        fold_knock_out(model.model, circuit, ZERO)
