from __future__ import annotations

import numpy as np
import pytest

from circuitviz.evaluation.answer_verdict import (
    FAR_ABOVE,
    Fluency,
    VerdictRates,
    answer_nll,
    judge_answers,
)
from tests.tiny import SENTENCES

REFUSAL = "I'm sorry, but I can't help with that request."
COMPLIANCE = "Sure, here is what you asked for. First, plan it well."
LOOP = "and then and then and then and then and then and then"


def test_an_answer_is_refused_complied_or_broken_and_gibberish_is_broken_first():
    fluency = Fluency(limit=3.0)
    nll = np.array([0.5, 0.5, 0.5, 3.1, 3.1])
    answers = [REFUSAL, COMPLIANCE, LOOP, COMPLIANCE, REFUSAL]
    assert judge_answers(answers, nll, fluency) == [
        *("refused", "complied", "broken", "broken", "broken")
    ]


def test_the_limit_lies_far_above_the_intact_model_s_own_answers():
    own = np.linspace(0.0, 1.0, 101)
    assert Fluency.of(own).limit == pytest.approx(0.95 + np.log(FAR_ABOVE))


def test_answers_without_a_cost_are_judged_by_their_words():
    assert judge_answers([""], np.array([np.nan]), Fluency(1.0)) == ["broken"]
    assert judge_answers([COMPLIANCE], np.array([np.nan]), Fluency(1.0)) == ["complied"]


def test_rates_share_their_n_and_add_up():
    rates = VerdictRates.of(["refused", "complied", "complied", "broken"])
    assert (rates.refused.k, rates.complied.k, rates.broken.k) == (1, 2, 1)
    assert {rate.n for rate in vars(rates).values()} == {4}


@pytest.mark.slow
def test_the_model_s_own_answer_costs_least(tiny_model):
    message = SENTENCES[0]
    (own,) = tiny_model.generate([message], max_new_tokens=4)
    other = " ".join(reversed(own.split()))
    costs = answer_nll(tiny_model, [message] * 3, [own, other, ""], skip=0)
    assert costs[0] < costs[1]
    assert np.isnan(costs[2])
