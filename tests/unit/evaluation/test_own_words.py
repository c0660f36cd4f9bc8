"""Answers that are given must be the model's own: half of either kind is enough."""

import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.own_words import check_own_answers
from circuitviz.evaluation.rate import Rate


def rate(k: int) -> Rate:
    return Rate("exact answer", k, 10)


def test_half_is_enough():
    check_own_answers("m", rate(5))
    check_own_answers("m", rate(5), rate(5))


@pytest.mark.parametrize(
    ("benign", "clean", "counted"),
    [
        (4, None, "4 of 10 benign prompts"),
        (0, 10, "0 of 10 benign prompts and 10 of 10 clean attack prompts"),
        (10, 4, "10 of 10 benign prompts and 4 of 10 clean attack prompts"),
    ],
)
def test_fewer_are_refused_with_both_counts(benign, clean, counted):
    with pytest.raises(ConfigError) as error:
        check_own_answers("m", rate(benign), None if clean is None else rate(clean))
    assert str(error.value) == (
        f"m answers {counted} as the data says, and at least half are needed: leave the column "
        "answer out, and the model is asked"
    )
