import pytest

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.text import (
    count,
    evidence,
    evidence_of,
    interval,
    percent,
    probability,
    sparsity,
)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (1.0, "100.0 %"), (0.5, "50.0 %"), (0.9961, "99.6 %"), (0.9999, "99.99 %")],
)
def test_percent_has_one_digit_unless_that_would_hide_something(share: float, text: str):
    assert percent(share).replace("\u202f", " ") == text


def test_a_tiny_share_is_not_written_as_none():
    assert percent(0.0004).replace("\u202f", " ") == "0.04 %"


@pytest.mark.parametrize(("share", "text"), [(4 / 2080, "0.19 %"), (64 / 2080, "3.1 %")])
def test_sparsity_has_two_digits_below_one_per_cent(share: float, text: str):
    assert sparsity(share).replace("\u202f", " ") == text


def test_a_share_of_nothing_is_not_a_number():
    assert percent(float("nan")) == "not defined"


def test_evidence_names_k_n_and_the_wilson_interval():
    rate = Rate("exact", 0, 10)
    assert interval(rate).replace("\u202f", " ") == "0.0–27.8 %"
    assert evidence(rate).replace("\u202f", " ") == "0 of 10 · 95 % CI 0.0–27.8 %"


def test_count_bends_the_noun():
    assert (count(1, "head"), count(2080, "unit")) == ("1 head", "2,080 units")


@pytest.mark.parametrize(("p", "text"), [(1.0, "= 1.000"), (0.0312, "= 0.031"), (1e-9, "< 0.001")])
def test_a_tiny_p_value_is_not_written_as_none(p: float, text: str):
    assert probability(p) == text


def test_a_rate_that_was_not_measured_says_so():
    assert evidence_of(None) == "not measured"
    kept = evidence_of(Rate("exact", 0, 10).to_json()).replace("\u202f", " ")
    assert kept == "0.0 % (0 of 10 · 95 % CI 0.0–27.8 %)"
