"""Heads that share keys and values give what they give when these are repeated for each."""

from __future__ import annotations

import copy

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.models.grouped_attention import GroupedAttention, share_keys
from tests.support.architectures import UNGROUPED, random_model

TOKENS = torch.tensor([[1, 17, 9, 30, 12, 44], [1, 8, 52, 21, 40, 7]])


@pytest.fixture(params=["llama", "mistral", "qwen2"])
def both(request, tiny_folder) -> tuple[TransformerBridge, TransformerBridge]:
    """One model twice: with repeated keys, and with shared ones."""
    model = random_model(request.param)
    repeated, shared = (_bridge(tiny_folder, copy.deepcopy(model)) for _ in range(2))
    share_keys(shared)
    return repeated, shared


def _bridge(folder, model) -> TransformerBridge:
    return TransformerBridge.boot_transformers(str(folder), hf_model=model, device="cpu").eval()


def test_logits_and_gradients_are_the_same(both):
    results = []
    for bridge in both:
        logits = bridge(TOKENS, return_type="logits")
        logits.square().sum().backward()
        gradients = [weight.grad for weight in bridge.parameters() if weight.grad is not None]
        results.append((logits, gradients))
    (one, ones), (other, others) = results
    torch.testing.assert_close(other, one)
    assert len(ones) == len(others)
    for expected, gradient in zip(ones, others, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_every_hook_point_sees_the_same(both):
    (_, one), (_, other) = (bridge.run_with_cache(TOKENS) for bridge in both)
    assert set(one) == set(other)
    for name, activation in one.items():
        torch.testing.assert_close(other[name], activation)


def test_answers_of_padded_prompts_are_the_same(both):
    # Padding on the left, as batches of prompts have it.
    tokens, mask = TOKENS.clone(), torch.ones_like(TOKENS)
    tokens[1, :2], mask[1, :2] = 0, 0
    said = [
        bridge.original_model.generate(
            input_ids=tokens,
            attention_mask=mask,
            max_new_tokens=6,
            do_sample=False,
            pad_token_id=0,
        )
        for bridge in both
    ]
    assert torch.equal(*said)


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "gpt2"])
def test_attention_of_another_kind_stays_as_it_is(name, tiny_folder):
    bridge = _bridge(tiny_folder, random_model(name))
    share_keys(bridge)
    assert not any(isinstance(block.attn, GroupedAttention) for block in bridge.blocks)


def test_nothing_is_shared_where_every_head_has_keys_of_its_own(tiny_folder):
    bridge = _bridge(tiny_folder, random_model("llama", **UNGROUPED))
    share_keys(bridge)
    assert not any(isinstance(block.attn, GroupedAttention) for block in bridge.blocks)
