"""Probabilities of given tokens against the scores they add up to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from circuitviz.evaluation.scoring import score_answers
from circuitviz.evaluation.token_probability import token_probabilities
from circuitviz.models.answer import encode_answers
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit
from tests.tiny import SENTENCES

PROMPT, ANSWER = SENTENCES[0], SENTENCES[1]


@pytest.mark.parametrize("complete", [True, False])
def test_their_mean_log_is_the_answers_score(tiny_model: GatedModel, complete):
    circuit = Circuit.of(tiny_model.space, ["L0H0", "L1N3"])
    tokens = token_probabilities(tiny_model, PROMPT, ANSWER, circuit, complete=complete)
    rows = encode_answers(tiny_model, [PROMPT], [ANSWER], complete=complete)
    nothing = np.zeros(len(tiny_model.space), dtype=bool)
    scores = score_answers(tiny_model, rows, np.stack([nothing, circuit.mask()]))
    intact = np.mean([math.log(token.intact) for token in tokens])
    knocked_out = np.mean([math.log(token.knocked_out) for token in tokens])
    assert intact == pytest.approx(scores.log_prob[0, 0], abs=1e-4)
    assert knocked_out == pytest.approx(scores.log_prob[1, 0], abs=1e-4)


def test_the_tokens_spell_the_answer_and_its_end_is_empty(tiny_model: GatedModel):
    nothing = Circuit(tiny_model.space, frozenset())
    tokens = token_probabilities(tiny_model, PROMPT, ANSWER, nothing)
    assert tokens[-1].token == ""
    assert len(tokens) == len(tiny_model.answer_tokens(ANSWER))
    assert all(token.intact == pytest.approx(token.knocked_out) for token in tokens)
    assert all(0 <= token.intact <= 1 for token in tokens)
