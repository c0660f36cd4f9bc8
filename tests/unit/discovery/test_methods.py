"""The list of methods, and what all of them have in common."""

from __future__ import annotations

import numpy as np
import pytest

from circuitviz.discovery.learner import LEARNERS, LearningStep, MaskLearner, Method
from circuitviz.discovery.methods import METHODS, make_learner
from circuitviz.errors import ConfigError, JobCancelledError
from circuitviz.models.ablation import ZERO, measure_ablation
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.units import Ranking, groups
from tests.support.tiny import SENTENCES


def test_the_first_method_is_the_default():
    assert next(iter(METHODS)) == DiscoveryConfig.method == "nested"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_is_and_where_it_comes_from(name):
    method = METHODS[name]
    assert method.title
    assert method.summary.endswith(".")
    assert method.paper
    assert type(make_learner(name)).method is method


@pytest.mark.parametrize("name", METHODS)
def test_steps_are_a_setting_of_the_methods_that_have_them_alone(name):
    differ = make_learner(name, steps=7) != make_learner(name, steps=8)
    assert differ is METHODS[name].has_steps


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"method must be one of nested, l1, .* got 'magic'"):
        make_learner("magic")


def test_a_learner_makes_itself_known_under_a_name_that_no_other_has(monkeypatch):
    monkeypatch.setattr("circuitviz.discovery.learner.LEARNERS", known := dict(LEARNERS))
    method = Method("constant", "Constant", "All alike.", "None")

    @method
    class ConstantLearner(MaskLearner):
        pass

    assert known["constant"] is ConstantLearner
    with pytest.raises(ValueError, match="two learners are called constant"):
        method(ConstantLearner)


def learned(model, behaviour, name, *, seed=0, ablation=ZERO, **more):
    learner = make_learner(name, steps=3)
    return learner.learn(model, behaviour, ablation=ablation, seed=seed, **more)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_finite_scores(tiny_model, behaviour, name):
    first, again = (learned(tiny_model, behaviour, name, seed=1).scores for _ in range(2))
    assert (first.dtype, first.shape) == (np.float32, (len(tiny_model.space),))
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", ["nested", "l1", "l1-path", "random", "activation"])
def test_another_seed_gives_other_scores_where_a_method_has_one(tiny_model, behaviour, name):
    one, other = (learned(tiny_model, behaviour, name, seed=seed).scores for seed in (0, 1))
    assert np.array_equal(one, other) is not METHODS[name].seeded


@pytest.mark.parametrize("granularity", ["heads", "neurons", "layers"])
@pytest.mark.parametrize("name", METHODS)
def test_units_of_a_group_share_a_score_and_others_come_last(
    tiny_model, behaviour, name, granularity
):
    scores = learned(tiny_model, behaviour, name, granularity=granularity).scores
    index = groups(tiny_model.space, granularity)
    inside, outside = scores[index >= 0], scores[index < 0]
    assert np.isfinite(scores).all()
    assert outside.size == 0 or outside.max() < inside.min()
    for group in range(index.max() + 1):
        assert len(set(scores[index == group].tolist())) == 1
    assert len(set(inside.tolist())) > 1
    ranking = Ranking(tiny_model.space, scores, granularity)
    assert ranking.cuts[-1] == len(inside)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("budget", ["joint", "separate"])
def test_steps_are_counted_up_to_the_last_and_scores_are_shown(tiny_model, behaviour, name, budget):
    steps: list[LearningStep] = []
    learner = make_learner(name, steps=3, budget=budget)
    result = learner.learn(tiny_model, behaviour, ablation=ZERO, seed=0, on_progress=steps.append)
    assert [step.step for step in steps] == list(range(1, steps[-1].steps + 1))
    assert len({step.steps for step in steps}) == 1
    np.testing.assert_array_equal(steps[-1].scores, result.scores)
    losses = [step.losses for step in steps if step.losses]
    expected = {"step": list(range(1, len(losses) + 1))} if losses else {}
    for key in steps[-1].losses:
        expected[key] = [step.losses[key] for step in steps]
    assert result.curve == expected


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stops_when_told(tiny_model, behaviour, name):
    seen: list[int] = []

    def stop(step: LearningStep) -> None:
        seen.append(step.step)
        raise JobCancelledError("stopped")

    with pytest.raises(JobCancelledError):
        learned(tiny_model, behaviour, name, on_progress=stop)
    assert seen == [1]


@pytest.mark.parametrize("kind", ["mean", "resample"])
@pytest.mark.parametrize("name", ["nested", "l1", "l1-path", "attribution", "single-unit"])
def test_what_replaces_a_unit_changes_the_scores(tiny_model, behaviour, name, kind):
    ablation = measure_ablation(tiny_model, kind, list(SENTENCES))
    other = learned(tiny_model, behaviour, name, ablation=ablation).scores
    assert np.isfinite(other).all()
    assert not np.array_equal(other, learned(tiny_model, behaviour, name).scores)
