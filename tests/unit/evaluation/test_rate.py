from __future__ import annotations

import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # By hand: for k = 0 the upper end is z^2 / (n + z^2), z = 1.96; k = n mirrors it.
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (0, 256, 0.0, 0.0148),
        # Symmetric about one half: 1/2 -+ z / (2 sqrt(n + z^2)).
        (5, 10, 0.2366, 0.7634),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_the_wilson_interval(k, n, low, high):
    assert Rate("exact", k, n).interval == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("n", [1, 7, 256])
def test_the_interval_holds_the_rate_and_stays_in_range(n):
    for k in range(n + 1):
        rate = Rate("exact", k, n)
        assert 0 <= rate.low <= rate.rate <= rate.high <= 1
        assert rate.low < rate.high


def test_more_evidence_narrows_the_interval():
    few, many = Rate("exact", 1, 10), Rate("exact", 100, 1000)
    assert few.low < many.low < many.high < few.high


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused_with_the_counts(k, n):
    with pytest.raises(ConfigError, match=f"k={k}, n={n}"):
        Rate("exact", k, n)


def test_verdicts_are_counted():
    rate = Rate.of((verdict for verdict in (True, False, True)), judge="exact")
    assert rate == Rate("exact", 2, 3)


def test_json_carries_the_evidence_and_comes_back():
    rate = Rate("exact", 0, 10)
    data = rate.to_json()
    assert list(data) == ["k", "n", "rate", "low", "high", "judge"]
    assert (data["rate"], data["low"]) == (0.0, 0.0)
    assert Rate.from_json(data) == rate


def test_a_rate_for_people_names_its_judge():
    text = str(Rate("exact answer", 0, 10))
    assert text == "0.0% (0 of 10, 95 % 0.0% to 27.8%, judge: exact answer)"


def test_tokens_of_prompts_that_go_together_are_worth_as_many_as_there_are_prompts():
    # Two answers of ten tokens, one all right and one all wrong: p = 1/2, the variance of the ratio
    # is 2 / 1 x (25 + 25) / 400 = 1/4, and 1/4 / (1/4) = 1 observation.
    rate = Rate.of_groups([10, 0], [10, 10], judge="token")
    assert (rate.k, rate.n, rate.effective_n) == (10, 20, pytest.approx(1.0))
    assert rate.interval == pytest.approx(Rate("token", 1, 1).interval, abs=0.5)
    assert rate.high - rate.low > Rate("token", 10, 20).high - Rate("token", 10, 20).low


def test_groups_that_are_all_alike_count_once_each():
    assert Rate.of_groups([9, 9, 9], [10, 10, 10], judge="token").effective_n == 3


def test_a_rate_of_groups_outlives_json_and_pooling():
    rate = Rate.of_groups([9, 5], [10, 10], judge="token")
    assert Rate.from_json(rate.to_json()) == rate
    assert Rate.pooled([rate, rate]).effective_n == pytest.approx(2 * rate.effective_n)
    assert "effective_n" not in Rate("exact", 1, 2).to_json()


def test_a_rate_of_no_groups_is_refused():
    with pytest.raises(ConfigError, match="at least one group"):
        Rate.of_groups([], [], judge="token")
