"""Nested masks: which circuits are tried, that learning finds what decides, and candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.learner import LearningStep, LearningTask
from circuitviz.discovery.nested import NestedLearner
from circuitviz.discovery.second_order import SecondOrderLearner
from circuitviz.discovery.training.objective import Objective, Outcome
from circuitviz.models.ablation import ZERO
from circuitviz.units import Ranking

# Learning on `decided`: everything that is lost is lost by one unit.
FEW_ROWS = {"steps": 30, "removal_rows": 8, "utility_rows": 4, "utility_weight": 0.0}


def learned(case, *, seed=0, on_progress=lambda step: None, **settings):
    learner = NestedLearner(**{**FEW_ROWS, **settings})
    return learner.learn(
        case.model, case.behaviour, ablation=ZERO, seed=seed, on_progress=on_progress
    )


@pytest.fixture
def tried(monkeypatch) -> list[torch.Tensor]:
    """The masks [rows units] of every step."""
    masks: list[torch.Tensor] = []
    grad = Objective.grad

    def noted(self, indices, mask):
        masks.append(mask.detach().cpu())
        return grad(self, indices, mask)

    monkeypatch.setattr(Objective, "grad", noted)
    return masks


def test_without_noise_every_mask_is_cut_off_the_top_of_one_ranking(decided, tried):
    steps: list[LearningStep] = []
    learned(decided, noise=0.0, on_progress=steps.append)
    space = decided.model.space
    assert len(tried) == 30
    scores = np.zeros(len(space), dtype=np.float32)
    sizes = set()
    for masks, step in zip(tried, steps, strict=True):
        ranking = Ranking(space, scores)
        for mask in masks.round().bool().numpy():
            sizes.add(size := int(mask.sum()))
            assert (mask == ranking.best(size).mask()).all()
        scores = step.scores
    # 4 heads and 24 neurons in each of 2 layers: at most a tenth of 56.
    assert sizes == set(range(1, 7))


def test_with_noise_a_mask_still_has_a_whole_size(decided, tried):
    learned(decided, steps=3, noise=0.5)
    masks = torch.cat(tried).round()
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert set(masks.sum(1).tolist()) <= set(range(1, 7))


def test_with_a_budget_for_each_kind_some_masks_leave_one_of_them_alone(decided, tried):
    steps: list[LearningStep] = []
    learned(decided, budget="separate", on_progress=steps.append)
    heads, neurons = torch.cat(tried).round().split([8, 48], dim=1)
    # Of 8 heads at most 4, of 48 neurons at most 16, and a quarter of the rows none.
    for part, largest in ((heads, 4), (neurons, 16)):
        assert set(part.sum(1).tolist()) <= set(range(largest + 1))
        assert (part.sum(1) == 0).float().mean() == pytest.approx(0.25, abs=0.08)
    assert {step.critical_size for step in steps} == {None}


@pytest.mark.parametrize("budget", ["joint", "separate"])
def test_the_unit_that_does_everything_is_ranked_first(decided, budget):
    for seed in range(3):
        scores = learned(decided, seed=seed, budget=budget).scores
        assert scores.argmax() == decided.flat
        # Nothing else has any effect, so nothing else has a gradient of its own.
        assert np.sort(scores)[-1] - np.sort(scores)[-2] > 1


def test_steps_lower_the_loss_to_that_of_the_deciding_unit_alone(decided):
    result = learned(decided)
    task = LearningTask(decided.model, decided.behaviour, ZERO, seed=0)
    rows = torch.arange(len(task.data.rows))

    def removal(mask: np.ndarray) -> float:
        ablated = torch.from_numpy(mask).float()[None]
        return float(task.objective(0.0).measure(rows, ablated).removal)

    best = removal(Ranking(decided.model.space, result.scores).best(1).mask())
    intact = removal(np.zeros(len(decided.model.space), dtype=bool))
    assert result.curve["removal"][-10:] == pytest.approx([best] * 10, abs=1e-4)
    assert best < np.mean(result.curve["removal"][:5]) < intact


@pytest.mark.parametrize("needed", [2, 4])
def test_the_critical_size_settles_where_removals_begin_to_succeed(decided, monkeypatch, needed):
    def grad(self, indices, mask):
        removed = mask.detach().sum(1)[: FEW_ROWS["removal_rows"]].round() >= needed
        return torch.zeros_like(mask), Outcome(torch.zeros(()), torch.zeros(()), removed)

    monkeypatch.setattr(Objective, "grad", grad)
    steps: list[LearningStep] = []
    learned(decided, steps=100, on_progress=steps.append)
    # Sizes up to twice as large are drawn around it, and three in ten of them are to succeed.
    assert needed / 2 < np.mean([step.critical_size for step in steps[50:]]) < needed


def test_the_seed_decides_everything(tiny_model, behaviour):
    def scores(seed: int) -> np.ndarray:
        learner = NestedLearner(**FEW_ROWS)
        return learner.learn(tiny_model, behaviour, ablation=ZERO, seed=seed).scores

    np.testing.assert_array_equal(scores(0), scores(0))
    assert not np.array_equal(scores(0), scores(1))


def test_the_unit_whose_loss_is_asked_for_ranks_high(tiny_model, behaviour, culprit):
    learner = NestedLearner(**{**FEW_ROWS, "steps": 60})
    scores = learner.learn(tiny_model, behaviour, ablation=ZERO, seed=0).scores
    order = Ranking(tiny_model.space, scores).order.tolist()
    assert order.index(tiny_model.space.flat(culprit)) < 5


def test_in_a_model_of_many_units_candidates_rank_above_all_others(
    tiny_model, behaviour, monkeypatch
):
    monkeypatch.setattr("circuitviz.discovery.nested.MANY_UNITS", 0)
    steps: list[LearningStep] = []
    learner = NestedLearner(steps=3, candidates=12, candidate_heads=2, candidate_rows=2)
    result = learner.learn(tiny_model, behaviour, ablation=ZERO, seed=0, on_progress=steps.append)
    task = LearningTask(tiny_model, behaviour, ZERO, seed=0)
    *_, (_, passes, values) = SecondOrderLearner().passes(task)
    order = np.argsort(-result.scores)
    heads = np.argsort(-values[: tiny_model.space.total_heads])[:2]
    assert set(heads.tolist()) <= set(order[:12].tolist())
    assert (np.diff(values[order[12:]]) <= 1e-9).all()
    # Two passes over all units count as one step of the masks, which are the last three.
    assert [step.step for step in steps] == [
        *(done // 2 for done in range(1, passes + 1)),
        *(passes // 2 + step for step in (1, 2, 3)),
    ]
    assert {step.steps for step in steps} == {passes // 2 + 3}
    assert result.curve["step"] == [1, 2, 3]
