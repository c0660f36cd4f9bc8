"""Discovery, knock-out and export on tiny random models of many architectures.

What gates do is checked against weights that are set to zero by hand in transformers' own model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.discovery.nested import NestedLearner
from circuitviz.errors import UnsupportedModelError
from circuitviz.models.ablation import ZERO
from circuitviz.models.gates import Gates
from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.models.ownership import weight_map
from circuitviz.models.preflight import preflight
from circuitviz.models.weights import load_tokenizer, load_weights
from circuitviz.tuning.export import fold_knock_out, write_checkpoint
from circuitviz.units import Circuit, Ranking
from tests.support.architectures import ARCHITECTURES, SPECIAL_IDS, random_model, save_model
from tests.support.tiny import SENTENCES, tiny_tokenizer

pytestmark = pytest.mark.slow

# Widths that configurations misstate, or that are no quotient of others.
CHANGES: dict[str, dict[str, Any]] = {
    "opt": {"ffn_dim": 40},
    "falcon-one-key": {"ffn_hidden_size": 40},
}
NAMES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "phi3",
    "gpt2",
    "gpt_neox",
    "olmo2",
    "stablelm",
    "falcon-one-key",
    "opt",
)
TOKENS = torch.tensor([[1, 17, 9, 30, 12, 44], [1, 8, 52, 21, 40, 7]])
STEPS = 3
SMALL = {
    "vocab_size": len(tiny_tokenizer()),
    "hidden_size": 32,
    "intermediate_size": 24,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
}
MIXTURES = {
    "mixtral": ("num_local_experts", "MixtralForCausalLM"),
    "qwen2_moe": ("num_experts", "Qwen2MoeForCausalLM"),
    "qwen3_moe": ("num_local_experts", "Qwen3MoeForCausalLM"),
    "olmoe": ("num_experts", "OlmoeForCausalLM"),
}


@dataclass(frozen=True)
class Case:
    """One architecture's random model, plain and gated."""

    name: str
    folder: Path
    gated: GatedModel

    def plain(self) -> PreTrainedModel:
        """Transformers' own model, fresh."""
        return random_model(self.name, **CHANGES.get(self.name, {}))


@pytest.fixture(scope="module", params=NAMES)
def case(request, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    save_model(random_model(request.param, **CHANGES.get(request.param, {})), folder)
    return Case(request.param, folder, load_model(str(folder), device="cpu"))


@pytest.fixture(scope="module")
def circuit(case) -> Circuit:
    """The best units after a few steps of learning."""
    learner = NestedLearner(steps=STEPS, removal_rows=2, utility_rows=2)
    found = learner.learn(case.gated, behaviour(), ablation=ZERO, seed=0)
    assert len(found.curve["removal"]) == STEPS
    assert all(torch.tensor(losses).isfinite().all() for losses in found.curve.values())
    assert len(set(found.scores.tolist())) > len(case.gated.space) / 2
    return Ranking(case.gated.space, found.scores).best_of_each(2, 4)


def behaviour() -> Behaviour:
    """Two attacks and two benign prompts."""
    attack = {"answer": "the king", "target": "x", "after": "red"}
    prompts = [
        Prompt(f"a{number}", "train", "attack", "any", text, **attack)
        for number, text in enumerate(SENTENCES[:2])
    ]
    prompts += [
        Prompt(f"b{number}", "train", "benign", "any", text, "the dog")
        for number, text in enumerate((SENTENCES[2], "the capital is red"))
    ]
    return Behaviour(BehaviourSpec("refusal", "t", "?"), tuple(prompts))


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    return model(TOKENS).logits


@torch.no_grad()
def gated_logits(model: GatedModel, gates: Gates | None = None) -> Tensor:
    return model.logits(TOKENS, gates)


def test_heads_and_neurons_are_those_of_the_weights(case):
    assert case.gated.space == weight_map(case.plain()).space
    found = preflight(str(case.folder))
    assert (found.supported, found.warnings) == (True, ())
    assert (found.n_layers, found.n_heads, found.d_mlp) == (
        case.gated.space.n_layers,
        case.gated.space.n_heads,
        case.gated.space.d_mlp,
    )
    # Heads of qwen3 and of Gemma are wider than their share of the residual stream.
    wide = ARCHITECTURES[case.name][1].get("head_dim", 8)
    assert found.d_head == wide == weight_map(case.plain()).attentions[0].d_head


def test_gates_that_keep_everything_are_the_plain_model(case):
    plain = gated_logits(case.gated)
    everything = Gates.from_flat(torch.ones(1, len(case.gated.space)), case.gated.space)
    assert torch.equal(gated_logits(case.gated, everything), plain)
    torch.testing.assert_close(plain, logits(case.plain()), rtol=1e-4, atol=1e-4)


def test_a_found_circuit_is_knocked_out_as_by_setting_its_weights_to_zero(case, circuit):
    assert (len(circuit.heads), len(circuit.neurons)) == (2, 4)
    operated = case.plain()
    with torch.no_grad():
        for name, columns in weight_map(operated).outputs(circuit).items():
            operated.get_parameter(name)[columns] = 0.0
    knocked_out = gated_logits(case.gated, Gates.knock_out([circuit]))
    torch.testing.assert_close(knocked_out, logits(operated), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(knocked_out, gated_logits(case.gated), atol=1e-2)


def test_everything_but_the_circuit_is_knocked_out_as_well(case, circuit):
    operated = case.plain()
    with torch.no_grad():
        for name, columns in weight_map(operated).outputs(circuit.complement).items():
            operated.get_parameter(name)[columns] = 0.0
    isolated = gated_logits(case.gated, Gates.knock_out([circuit.complement]))
    torch.testing.assert_close(isolated, logits(operated), rtol=1e-4, atol=1e-4)


def test_an_export_is_the_model_without_the_circuit(case, circuit, tmp_path):
    model = load_weights(str(case.folder))
    fold_knock_out(model, circuit, ZERO)
    folder = write_checkpoint(model, load_tokenizer(str(case.folder)), tmp_path / "out", "# card\n")
    knocked_out = gated_logits(case.gated, Gates.knock_out([circuit]))
    alone = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    torch.testing.assert_close(logits(alone), knocked_out, rtol=1e-4, atol=1e-4)
    again = load_model(str(folder), device="cpu")
    torch.testing.assert_close(gated_logits(again), knocked_out, rtol=1e-4, atol=1e-4)
    # The units that were knocked out for good have nothing left to lose.
    twice = gated_logits(again, Gates.knock_out([circuit]))
    torch.testing.assert_close(twice, gated_logits(again), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", list(MIXTURES))
def test_mixtures_of_experts_get_one_error_before_and_at_loading(model_type, tmp_path):
    field, architecture = MIXTURES[model_type]
    config = AutoConfig.for_model(model_type, **SMALL, **SPECIAL_IDS, **{field: 4})
    folder = save_model(AutoModelForCausalLM.from_config(config), tmp_path)
    message = (
        f"{folder} is a mixture of experts ({field} 4; {architecture}): each token passes only "
        "some of the experts, so that a layer has no one set of MLP neurons to mask; choose a "
        "model with dense MLPs, such as Llama, Mistral, Qwen 2 and 3, Gemma, OLMo, Phi, GPT-2 and "
        "GPT-NeoX"
    )
    assert preflight(str(folder)).refusals == (message,)
    with pytest.raises(UnsupportedModelError) as refusal:
        load_model(str(folder))
    assert str(refusal.value) == message
