"""One unit at a time: the score is the change it makes, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.single_unit import SingleUnitLearner
from circuitviz.models.ablation import ZERO
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import Gates
from circuitviz.units import Circuit


def log_prob(model, circuit, message, answer, *, complete=True) -> float:
    """Mean log-probability per token of an answer, one prompt at a time."""
    rows = encode_answers(model, [message], [answer], complete=complete)
    with torch.no_grad():
        logits = model.logits(rows.tokens, Gates.knock_out([circuit]))
    log_probs = logits[rows.predicts].log_softmax(-1)
    return float(log_probs.gather(-1, rows.targets[rows.predicts][:, None]).mean())


def test_only_the_deciding_unit_scores(decided):
    learner = SingleUnitLearner(utility_weight=0.0)
    learned = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    assert learned.scores.argmax() == decided.flat
    others = np.delete(learned.scores, decided.flat)
    np.testing.assert_allclose(others, 0, atol=1e-5)


def test_a_score_is_the_change_of_the_right_answer_less_that_of_the_refusal(decided):
    learner = SingleUnitLearner(utility_weight=0.0)
    learned = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    space = decided.model.space
    changes = []
    for prompt in decided.behaviour.prompts("train", "attack"):
        odds = []
        for units in ([decided.unit], []):
            circuit = Circuit.of(space, units)
            after = log_prob(decided.model, circuit, prompt.asked, prompt.after)
            shown = log_prob(decided.model, circuit, prompt.asked, prompt.answer, complete=False)
            odds.append(after - shown)
        changes.append(odds[0] - odds[1])
    assert learned.scores[decided.flat] == pytest.approx(np.mean(changes), abs=1e-4)


def test_harm_to_benign_answers_counts_against_a_unit(decided):
    one, other = (
        SingleUnitLearner(utility_weight=weight).learn(
            decided.model, decided.behaviour, ablation=ZERO, seed=0
        )
        for weight in (1.0, 2.0)
    )
    harm = one.scores - other.scores
    assert harm.argmax() == decided.flat
    assert harm[decided.flat] > 0.01
