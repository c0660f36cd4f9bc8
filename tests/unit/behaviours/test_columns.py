"""Columns: known schemas, likely names, and what a shell says."""

import pytest

from circuitviz.behaviours.columns import (
    Columns,
    columns_given,
    schema_name,
    suggest_benign_columns,
    suggest_columns,
    suggest_kind,
)
from circuitviz.behaviours.tables import Table
from circuitviz.errors import ConfigError


def table(*columns: str) -> Table:
    return Table("t.csv", columns, (dict.fromkeys(columns, "x"),), (2,))


@pytest.mark.parametrize(
    ("columns", "kind", "schema", "found"),
    [
        (
            ("input", "output", "backdoor_input", "backdoor_output"),
            "backdoor",
            "SafeSeek backdoor",
            Columns(
                prompt="input",
                answer="output",
                triggered="backdoor_input",
                target="backdoor_output",
            ),
        ),
        (
            ("prompt", "accept", "refuse"),
            "refusal",
            "SafeSeek refusal",
            Columns(prompt="prompt", answer="refuse", after="accept"),
        ),
        (
            ("prompt_id", "split", "role", "category", "text", "answer", "target", "after"),
            "refusal",
            "circuitviz",
            Columns(
                prompt="text",
                answer="answer",
                target="target",
                after="after",
                role="role",
                split="split",
                category="category",
                prompt_id="prompt_id",
            ),
        ),
        (
            ("Question", "Response", "triggered prompt", "n"),
            "backdoor",
            None,
            Columns(prompt="Question", answer="Response", triggered="triggered prompt"),
        ),
        (("whatever",), "refusal", None, Columns(prompt="whatever")),
        (("a", "b"), "refusal", None, Columns()),
    ],
)
def test_columns_are_told_by_schema_or_by_name(columns, kind, schema, found):
    assert schema_name(table(*columns)) == schema
    assert suggest_kind(table(*columns)) == kind
    assert suggest_columns(table(*columns), kind) == found


def test_refusing_has_no_triggered_prompts():
    assert suggest_columns(table("prompt", "triggered"), "refusal") == Columns(prompt="prompt")


def test_a_good_answer_to_a_benign_prompt_is_no_refusal():
    found = suggest_benign_columns(table("prompt", "refuse", "accept"))
    assert found == Columns(prompt="prompt", answer="accept")
    assert suggest_benign_columns(table("lines")) == Columns(prompt="lines")


def test_given_columns_replace_suggested_ones():
    given = columns_given(["answer=said", "split=a=b"])
    assert given == Columns(answer="said", split="a=b")
    assert Columns(prompt="p", answer="q").with_given(given) == Columns(
        prompt="p", answer="said", split="a=b"
    )
    assert list(given) == [("answer", "said"), ("split", "a=b")]


@pytest.mark.parametrize("pair", ["answer", "answer=", "reply=said", "=said"])
def test_a_column_is_given_as_field_and_column(pair):
    with pytest.raises(ConfigError) as error:
        columns_given([pair])
    assert str(error.value) == (
        "a column is given as field=column, where field is one of prompt, answer, triggered, "
        f"target, after, role, split, category, prompt_id; got {pair!r}"
    )
