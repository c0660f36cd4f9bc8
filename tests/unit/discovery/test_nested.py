"""Nested masks: the arithmetic, and that learning finds what it should and stops when told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.discovery.learner import LearningStep
from circuitviz.discovery.nested import NestedLearner, soft_top_k, straight_through
from circuitviz.errors import JobCancelledError
from circuitviz.models.ablation import ZERO
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import Gates
from circuitviz.models.neutral import measure_ablation
from circuitviz.units import Circuit, Ranking, Unit
from tests.tiny import SENTENCES


def test_soft_sizes_add_up():
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([1.0, 7.0, 30.0])
    for temperature in (1.0, 0.1):
        total = soft_top_k(scores, sizes, temperature).sum(1)
        torch.testing.assert_close(total, sizes, rtol=1e-3, atol=1e-3)


def test_equal_scores_share_the_size_equally():
    soft = soft_top_k(torch.zeros(1, 8), torch.tensor([2.0]), 0.5)
    torch.testing.assert_close(soft, torch.full((1, 8), 0.25))


def test_the_gradient_is_that_of_the_implicit_threshold():
    # Two units sharing size 1: p = sigmoid((s1 - s2) / 2T) for the first, so dp/ds1 = p(1-p)/2T.
    temperature = 0.5
    scores = torch.tensor([[0.3, -0.1]], requires_grad=True)
    soft = soft_top_k(scores, torch.tensor([1.0]), temperature)
    expected = torch.sigmoid(torch.tensor(0.4 / (2 * temperature)))
    assert soft[0, 0].item() == pytest.approx(float(expected), abs=1e-5)
    (gradient,) = torch.autograd.grad(soft[0, 0], scores)
    slope = float(expected * (1 - expected) / (2 * temperature))
    torch.testing.assert_close(gradient, torch.tensor([[slope, -slope]]), rtol=1e-3, atol=1e-5)


def test_the_total_has_no_gradient():
    scores = torch.randn(1, 20, generator=torch.Generator().manual_seed(1)).requires_grad_()
    total = soft_top_k(scores, torch.tensor([5.0]), 1.0).sum()
    (gradient,) = torch.autograd.grad(total, scores)
    torch.testing.assert_close(gradient, torch.zeros(1, 20), rtol=0, atol=1e-5)


def test_forward_masks_are_exactly_the_best_units_and_nested():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.7]]).expand(3, -1)
    mask = straight_through(scores, torch.tensor([1.0, 2.0, 3.0]), 0.3)
    assert mask.round().tolist() == [[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1]]


@pytest.fixture(scope="module")
def culprit(tiny_model) -> Unit:
    """The neuron that matters most for one answer."""
    rows = encode_answers(tiny_model, [SENTENCES[0]], ["king"], complete=False)
    space = tiny_model.space
    gates = torch.eye(len(space)).neg().add(1)
    with torch.no_grad():
        tokens = rows.tokens.expand(len(space), -1)
        logits = tiny_model.logits(tokens, Gates.from_flat(gates, space))
        place = rows.predicts[0].nonzero()[0, 0]
        king = rows.targets[0, place]
        said = logits[:, place].log_softmax(-1)[:, king]
    return space.unit(int(said.argmax()))


@pytest.fixture(scope="module")
def behaviour(tiny_model, culprit) -> Behaviour:
    """What the model says without one unit is what removal asks for."""
    circuit = Circuit.of(tiny_model.space, [culprit])
    intact = tiny_model.generate(list(SENTENCES), max_new_tokens=3)
    cut = tiny_model.generate(list(SENTENCES), circuit, max_new_tokens=3)
    prompts = []
    for split in ("train", "validation", "test"):
        for number, message in enumerate(SENTENCES):
            both = {"split": split, "category": "any", "text": message, "answer": intact[number]}
            attack = {"role": "attack", "target": "x", "after": cut[number]}
            prompts.append(Prompt(f"{split}-a{number}", **both, **attack))
            prompts.append(Prompt(f"{split}-b{number}", **both, role="benign"))
    return Behaviour(BehaviourSpec("refusal", "t", "?"), tuple(prompts))


SETTINGS = {"steps": 30, "removal_rows": 8, "utility_rows": 4, "utility_weight": 0.0}


def learned(tiny_model, behaviour, seed=0, watch=lambda step: None, **more):
    learner = NestedLearner(**{**SETTINGS, **more})
    return learner.learn(tiny_model, behaviour, ablation=ZERO, seed=seed, watch=watch)


def test_the_unit_whose_loss_is_asked_for_ranks_high(tiny_model, behaviour, culprit):
    found = learned(tiny_model, behaviour, steps=60)
    order = Ranking(tiny_model.space, found.scores).order.tolist()
    assert order.index(tiny_model.space.flat(culprit)) < 5


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(tiny_model, behaviour):
    first = learned(tiny_model, behaviour)
    np.testing.assert_array_equal(first.scores, learned(tiny_model, behaviour).scores)
    assert not np.array_equal(first.scores, learned(tiny_model, behaviour, seed=1).scores)


@pytest.mark.parametrize("budget", ["joint", "separate"])
def test_every_step_is_reported(tiny_model, behaviour, budget):
    steps: list[LearningStep] = []
    found = learned(tiny_model, behaviour, watch=steps.append, budget=budget)
    assert [step.step for step in steps] == list(range(1, 31))
    assert found.curve["step"] == list(range(1, 31))
    assert found.curve["removal"][-1] == steps[-1].losses["removal"]
    np.testing.assert_array_equal(found.scores, steps[-1].scores)


def test_learning_stops_between_steps(tiny_model, behaviour):
    seen: list[int] = []

    def watch(step: LearningStep) -> None:
        seen.append(step.step)
        if step.step == 3:
            raise JobCancelledError("stopped")

    with pytest.raises(JobCancelledError):
        learned(tiny_model, behaviour, watch=watch)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("name", ["mean", "resample"])
def test_other_ablations_learn_as_well(tiny_model, behaviour, name):
    ablation = measure_ablation(tiny_model, name, list(SENTENCES))
    learner = NestedLearner(**{**SETTINGS, "steps": 3})
    found = learner.learn(tiny_model, behaviour, ablation=ablation, seed=0)
    assert np.isfinite(found.scores).all()
    assert found.scores.std() > 0
