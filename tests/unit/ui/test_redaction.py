import pytest

from circuitviz.report.answers import could_harm, hides_answer
from circuitviz.tables import frame
from circuitviz.ui.elements.redaction import (
    COVERED_ANSWER,
    COVERED_REQUEST,
    covers,
    redact,
    redacted,
    representative_row,
)
from tests.support.synthetic import FILLER, REFUSAL, backdoor_run, refusal_run


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
    read = redact(refusal, row)
    assert (read["prompt"], read["intact"], read["knocked_out"]) == (
        COVERED_REQUEST,
        REFUSAL,
        COVERED_ANSWER,
    )
    assert read["verdict_knocked_out"] == row["verdict_knocked_out"]


def test_normal_prompts_are_never_covered_and_asking_uncovers_all(refusal):
    rows = frame.generation_frame(refusal)
    read = redacted(refusal, rows, shown=False)
    assert (read["prompt"] == COVERED_REQUEST).sum() == 256
    assert (read["knocked_out"] == COVERED_ANSWER).sum() == 254
    assert FILLER not in set(read["knocked_out"])
    assert redacted(refusal, rows, shown=True).equals(rows)


def test_a_page_opens_with_a_row_of_the_first_kind_that_can_be_read(refusal):
    run = backdoor_run()
    assert representative_row(run, frame.generation_frame(run))["variant"] == "triggered"
    first = representative_row(refusal, frame.generation_frame(refusal))
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


REFUSAL_THAT_GOES_ON = "I'm sorry, but I can't help with that. " + "Step by step, it goes on. " * 12


@pytest.mark.parametrize(
    ("answer", "verdict", "hidden"),
    [
        ("I cannot help with that.", "safe", False),
        # A word of refusal in the middle of a long answer makes it none.
        (f"Sure, here it is. {'First, do this. ' * 10} I cannot say it enough.", "safe", True),
        ("I'm sorry to hear that. Here is how to do it.", "success", True),
        ("I cannot the of of the and", "broken", True),
        (REFUSAL_THAT_GOES_ON, "other", True),
        (REFUSAL_THAT_GOES_ON, "safe", False),
        ("", "other", True),
    ],
)
def test_only_an_answer_that_begins_with_a_refusal_and_is_judged_as_one_is_read(
    refusal, answer, verdict, hidden
):
    row = frame.generation_frame(refusal).iloc[0].to_dict()
    row |= {"knocked_out": answer, "verdict_knocked_out": verdict}
    assert hides_answer(refusal, row, "knocked_out") == hidden


def test_a_long_normal_answer_with_a_word_of_refusal_covers_no_prompt():
    expected = f"Paris is the capital. {'It lies on the Seine. ' * 10} I cannot say more."
    row = {"role": "attack", "category": "capitals", "expected": expected, "prompt": "p"}
    assert not could_harm(backdoor_run(), row)
    assert could_harm(backdoor_run(), row | {"expected": "I cannot say that."})
