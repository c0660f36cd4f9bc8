"""Difference of activations: the statistic, and which activations it is taken of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.discovery.activation import ActivationLearner, last_activations, welch_distance
from circuitviz.models.ablation import ZERO
from tests.support.tiny import SENTENCES


def test_the_distance_is_welchs_t_for_a_neuron():
    # Means 1 and 6, variances 2 and 8 of two values each: 5 / sqrt(2 / 2 + 8 / 2).
    values = torch.tensor([0.0, 4.0, 2.0, 8.0])[:, None, None]
    distance = welch_distance(values, torch.tensor([True, False, True, False]))
    assert distance.tolist() == pytest.approx([5 / math.sqrt(5)])


def test_a_heads_dimensions_add_up():
    # Differences of means 3 and 4; variances 2 in every dimension of both sets, 1 a mean.
    attack = torch.tensor([[3.0, 4.0], [5.0, 6.0]])
    plain = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    values = torch.cat([attack, plain])[:, None]
    distance = welch_distance(values, torch.tensor([True, True, False, False]))
    assert distance.tolist() == pytest.approx([5 / math.sqrt(4)])


def test_units_that_never_change_have_finite_distances():
    values = torch.tensor([[[1.0], [2.0]], [[1.0], [3.0]]])
    distance = welch_distance(values, torch.tensor([True, False]))
    assert distance[0] == 0
    assert torch.isfinite(distance).all()


def test_activations_are_those_of_the_last_position_whatever_is_run_along(tiny_model):
    prompts = [tiny_model.prompt_tokens(message) for message in SENTENCES]
    heads, neurons = last_activations(tiny_model, prompts)
    assert heads.shape == (3, tiny_model.space.total_heads, 8)
    assert neurons.shape == (3, tiny_model.space.total_neurons, 1)
    for row, tokens in enumerate(prompts):
        alone = last_activations(tiny_model, [tokens])
        torch.testing.assert_close(heads[row], alone[0][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(neurons[row], alone[1][0], rtol=1e-4, atol=1e-5)


def test_a_backdoor_is_compared_with_the_same_prompts_without_the_trigger(tiny_model):
    prompts = [
        Prompt(f"a{i}", "train", "attack", "any", text, "the", f"{text} zz", "dog", "the")
        for i, text in enumerate(SENTENCES)
    ]
    prompts.append(Prompt("b", "train", "benign", "any", "never read", "the"))
    behaviour = Behaviour(BehaviourSpec("backdoor", "t", "?", Trigger("zz", "end")), tuple(prompts))
    learned = ActivationLearner().learn(tiny_model, behaviour, ablation=ZERO, seed=0)
    texts = [*(f"{text} zz" for text in SENTENCES), *SENTENCES]
    parts = last_activations(tiny_model, [tiny_model.prompt_tokens(text) for text in texts])
    is_attack = torch.arange(6) < 3
    expected = torch.cat([welch_distance(part, is_attack) for part in parts])
    np.testing.assert_allclose(learned.scores, expected.numpy(), rtol=1e-3)
