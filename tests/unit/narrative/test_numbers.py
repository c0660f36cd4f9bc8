import numpy as np
import pytest

from circuitviz.evaluation.rate import Rate
from circuitviz.narrative.numbers import (
    count,
    evidence,
    evidence_of,
    interval,
    kinds_of,
    made_of,
    percent,
    probability,
    ranges,
    shortened,
    sparsity,
)
from circuitviz.tables.rows import matrix_frame
from circuitviz.units import UnitSpace


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
    kept = evidence_of(Rate("exact", 0, 10)).replace("\u202f", " ")
    assert kept == "0.0 % (0 of 10 · 95 % CI 0.0–27.8 %)"


SPACE = UnitSpace(n_layers=30, n_heads=9, d_mlp=1536)


@pytest.mark.parametrize(
    ("heads", "neurons", "text"),
    [
        (6, 188, "6 heads of 270 (2.2 %) and 188 neurons of 46,080 (0.41 %)"),
        (1, 0, "1 head of 270 (0.37 %) and no neurons"),
        (0, 1, "no heads and 1 neuron of 46,080 (0.002 %)"),
        (0, 0, "no units"),
    ],
)
def test_a_circuit_is_named_by_its_heads_and_its_neurons_apart(heads, neurons, text):
    assert made_of(heads, neurons, SPACE).replace("\u202f", " ") == text


def test_in_few_words_what_is_none_is_left_out():
    assert kinds_of(6, 188, SPACE) == "6 of 270 heads and 188 of 46,080 neurons"
    assert kinds_of(6, 0, SPACE) == "6 of 270 heads"
    assert kinds_of(0, 0, SPACE) == "no units"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([2, 1], "1 and 2"), ([0, 1, 2, 7, 9], "0\u20132, 7 and 9")],
)
def test_neighbouring_numbers_are_joined(numbers, text):
    assert ranges(numbers) == text


def test_what_tokens_are_worth_stands_beside_their_number():
    rate = Rate("answer token unchanged", 6707, 6782, 187.0)
    assert "6,707 of 6,782 (worth 187 independent ones) \u00b7 95" in evidence(rate)


def test_long_text_is_cut_at_a_blank():
    assert shortened("one two\nthree", 20) == "one two three"
    assert shortened("one two three", 9) == "one two\u2026"
    assert shortened("onetwothree", 5) == "onetw\u2026"


def test_a_map_is_a_table_with_named_rows():
    frame = matrix_frame(np.array([[1, 2, 3], [4, 5, 6]]))
    assert list(frame.columns) == ["layer", "0", "1", "2"]
    assert frame.to_numpy().tolist() == [[0, 1, 2, 3], [1, 4, 5, 6]]
    named = matrix_frame(np.eye(2), "run", ["A", "B"], ["A", "B"])
    assert named["run"].tolist() == ["A", "B"]
    assert named["B"].tolist() == [0.0, 1.0]
