"""Attention and neurons, against the plain transformers model."""

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from circuitviz.errors import ConfigError
from circuitviz.inspection.attention import look_at_attention, measure_attention
from circuitviz.inspection.neuron_trace import neuron_trace, top_prompts
from circuitviz.inspection.prompt_pair import pair_of
from circuitviz.units import Unit

TOKENS = (1, 3, 8, 9, 10, 11, 4)


@pytest.fixture(scope="module")
def plain(tiny_folder):
    return LlamaForCausalLM.from_pretrained(tiny_folder, attn_implementation="eager").eval()


def test_a_pattern_is_the_one_transformers_gives_and_each_row_sums_to_one(tiny_model, plain):
    with torch.no_grad():
        expected = plain(torch.tensor([TOKENS]), output_attentions=True).attentions
    for unit in (Unit("head", 0, 3), Unit("head", 1, 1)):
        pattern = measure_attention(tiny_model, TOKENS, unit)
        np.testing.assert_allclose(pattern, expected[unit.layer][0, unit.index], atol=1e-5)
        np.testing.assert_allclose(pattern.sum(1), 1, atol=1e-5)
        assert not np.triu(pattern, 1).any()


def test_both_prompts_of_a_pair_are_looked_at(tiny_model, behaviour):
    pair = pair_of(tiny_model, behaviour, behaviour.prompts("test", "attack")[0])
    unit = Unit("head", 1, 0)
    attention = look_at_attention(tiny_model, pair, unit)
    expected = measure_attention(tiny_model, pair.triggered.tokens, unit)
    np.testing.assert_allclose(attention.triggered, expected)
    assert len(attention.triggered) == len(attention.clean) + 1


def test_a_neuron_is_what_a_plain_forward_hook_sees(tiny_model, plain):
    seen = []
    mlp = plain.model.layers[1].mlp
    handle = mlp.down_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        plain(torch.tensor([TOKENS]))
    handle.remove()
    trace = neuron_trace(tiny_model, TOKENS, Unit("neuron", 1, 5))
    np.testing.assert_allclose(trace.activation, seen[0][0, :, 5], atol=1e-5)
    assert trace.gate is not None
    assert trace.up is not None
    silu = trace.gate / (1 + np.exp(-trace.gate))
    np.testing.assert_allclose(trace.activation, silu * trace.up, atol=1e-5)


def test_top_prompts_are_those_with_the_largest_activation(tiny_model, behaviour):
    unit = Unit("neuron", 1, 5)
    prompts = top_prompts(tiny_model, behaviour, unit, top=2)
    sizes = {}
    for prompt in behaviour.all_prompts:
        for text in {prompt.text, prompt.asked}:
            # Every prompt begins with the same two tokens of the chat template.
            tokens = tuple(tiny_model.prompt_tokens(text))
            values = neuron_trace(tiny_model, tokens, unit).activation[2:]
            sizes[text] = float(np.abs(values).max())
    assert [abs(prompt.activation) for prompt in prompts] == pytest.approx(
        sorted((sizes[prompt.text] for prompt in prompts), reverse=True)
    )
    assert abs(prompts[0].activation) == pytest.approx(max(sizes.values()), rel=1e-5)


def test_heads_have_no_activation_and_neurons_no_attention(tiny_model):
    with pytest.raises(ConfigError, match="L0N3"):
        measure_attention(tiny_model, TOKENS, Unit("neuron", 0, 3))
    with pytest.raises(ConfigError, match="L0H3"):
        neuron_trace(tiny_model, TOKENS, Unit("head", 0, 3))
