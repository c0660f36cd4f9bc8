"""Answers that are given must be the model's own: half of either kind is enough."""

import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.runs.preparation import check_own_answers


def rate(k: int) -> Rate:
    return Rate("exact answer", k, 10)


def test_half_is_enough():
    check_own_answers("m", {"benign prompts": rate(5)})
    check_own_answers("m", {"benign prompts": rate(5), "harmful prompts": rate(5)})


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ({"benign prompts": 4}, "4 of 10 benign prompts"),
        (
            {"benign prompts": 0, "clean attack prompts": 10},
            "0 of 10 benign prompts and 10 of 10 clean attack prompts",
        ),
        (
            {"benign prompts": 10, "harmful prompts": 4},
            "10 of 10 benign prompts and 4 of 10 harmful prompts",
        ),
    ],
)
def test_fewer_are_refused_with_all_counts(given, counted):
    with pytest.raises(ConfigError) as error:
        check_own_answers("m", {name: rate(k) for name, k in given.items()})
    assert str(error.value) == (
        f"m answers {counted} as the data says, and at least half are needed: leave the column "
        "answer out, and the model is asked"
    )
