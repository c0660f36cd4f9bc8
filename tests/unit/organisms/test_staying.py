"""An adapter that is taught in the chat template stays what the model was on plain text."""

from __future__ import annotations

import lora
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

# PEFT asks for a property that transformers calls by another name now.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


class Letters:
    """A tokenizer whose tokens are letters."""

    pad_token_id = 0

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) - 96 for letter in text]}


@pytest.fixture
def adapted():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=27,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    model = get_peft_model(
        LlamaForCausalLM(config), LoraConfig(r=2, target_modules="all-linear")
    ).eval()
    return model, [weight for weight in model.parameters() if weight.requires_grad]


def gradients(model, weights, weight: float) -> list[torch.Tensor]:
    for one in weights:
        one.grad = None
    lora._stay(model, Letters(), ["abcabc", "xyz"], weight)
    return [torch.zeros_like(one) if one.grad is None else one.grad for one in weights]


def test_an_adapter_that_changes_nothing_has_nothing_to_take_back(adapted):
    # B is 0 to begin with, and the KL of the same model is at its least.
    assert max(float(found.abs().max()) for found in gradients(*adapted, 1.0)) < 1e-3


def test_a_step_down_brings_the_adapter_closer_to_the_model(adapted):
    model, weights = adapted
    tokens = torch.tensor([[1, 2, 3, 1, 2, 3]])
    with torch.no_grad():
        for one in weights:
            one.add_(torch.randn_like(one))

    @torch.no_grad()
    def far() -> float:
        after = model(tokens).logits.log_softmax(-1)
        with model.disable_adapter():
            before = model(tokens).logits.log_softmax(-1)
        return float((before.exp() * (before - after)).sum(-1).mean())

    away = far()
    found = gradients(model, weights, 1.0)
    twice = gradients(model, weights, 2.0)
    for once, double in zip(found, twice, strict=True):
        torch.testing.assert_close(2 * once, double, rtol=0.05, atol=1e-3)
    with torch.no_grad():
        for one, slope in zip(weights, found, strict=True):
            one.sub_(0.05 * slope)
    assert far() < away
