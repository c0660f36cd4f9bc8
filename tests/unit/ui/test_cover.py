import pytest

from circuitviz.plots import frame
from circuitviz.report.covering import could_harm
from circuitviz.ui.elements.cover import (
    COVERED_ANSWER,
    COVERED_REQUEST,
    cover,
    covered,
    covers,
    telling,
)
from tests.synthetic import FILLER, REFUSAL, backdoor_run, refusal_run


@pytest.fixture(scope="module")
def refusal():
    return refusal_run()


def test_only_runs_with_harmful_requests_have_something_to_cover(refusal):
    assert covers(refusal)
    assert not covers(backdoor_run())


def test_the_request_and_the_answer_that_complies_are_covered_and_the_refusal_is_not(refusal):
    rows = frame.generation_frame(refusal)
    row = rows.iloc[0].to_dict()
    assert (row["intact"], row["knocked_out"]) == (REFUSAL, FILLER)
    read = cover(refusal, row)
    assert (read["prompt"], read["intact"], read["knocked_out"]) == (
        COVERED_REQUEST,
        REFUSAL,
        COVERED_ANSWER,
    )
    assert read["verdict_knocked_out"] == row["verdict_knocked_out"]


def test_normal_prompts_are_never_covered_and_asking_uncovers_all(refusal):
    rows = frame.generation_frame(refusal)
    read = covered(refusal, rows, shown=False)
    assert (read["prompt"] == COVERED_REQUEST).sum() == 256
    assert (read["knocked_out"] == COVERED_ANSWER).sum() == 254
    assert FILLER not in set(read["knocked_out"])
    assert covered(refusal, rows, shown=True).equals(rows)


def test_a_page_opens_with_a_row_of_the_first_kind_that_can_be_read(refusal):
    run = backdoor_run()
    assert telling(run, frame.generation_frame(run))["variant"] == "triggered"
    first = telling(refusal, frame.generation_frame(refusal))
    assert first["role"] == "attack"


@pytest.mark.parametrize(
    ("category", "covers_it"),
    [
        ("harmful", True),
        ("harmful_request", True),
        ("Self-harm", True),
        ("harmless", False),
        ("charm", False),
    ],
)
def test_harm_is_matched_as_a_word_of_the_category(category, covers_it):
    row = {"role": "benign", "category": category, "expected": "Yes.", "prompt": "p"}
    assert could_harm(backdoor_run(), row) == covers_it
