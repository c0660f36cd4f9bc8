"""Columns: known schemas, likely names, and what a shell says."""

import pytest

from circuitviz.behaviours.columns import (
    columns_given,
    merged,
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
    ("names", "kind", "schema", "columns"),
    [
        (
            "input,output,backdoor_input,backdoor_output",
            "backdoor",
            "SafeSeek backdoor",
            "prompt=input answer=output triggered=backdoor_input target=backdoor_output",
        ),
        (
            "prompt,accept,refuse",
            "refusal",
            "SafeSeek refusal",
            "prompt=prompt answer=refuse after=accept",
        ),
        (
            "prompt_id,split,role,category,text,answer,target,after",
            "refusal",
            "circuitviz",
            "prompt=text answer=answer target=target after=after role=role split=split "
            "category=category prompt_id=prompt_id",
        ),
        (
            "Question,Response,triggered-prompt,n",
            "backdoor",
            None,
            "prompt=Question answer=Response triggered=triggered-prompt",
        ),
        ("whatever", "refusal", None, "prompt=whatever"),
        ("a,b", "refusal", None, ""),
    ],
)
def test_columns_are_told_by_schema_or_by_name(names, kind, schema, columns):
    given = table(*names.split(","))
    assert schema_name(given) == schema
    assert suggest_kind(given) == kind
    # In the order of the fields, as they are listed.
    suggested = suggest_columns(given, kind)
    assert list(suggested.items()) == list(columns_given(columns.split()).items())


def test_refusing_has_no_triggered_prompts():
    assert suggest_columns(table("prompt", "triggered"), "refusal") == {"prompt": "prompt"}


def test_a_good_answer_to_a_benign_prompt_is_no_refusal():
    columns = suggest_benign_columns(table("prompt", "refuse", "accept"))
    assert columns == {"prompt": "prompt", "answer": "accept"}
    assert suggest_benign_columns(table("lines")) == {"prompt": "lines"}


def test_a_column_may_have_any_name():
    assert columns_given(["split=a=b", "answer=said"]) == {"answer": "said", "split": "a=b"}


def test_given_columns_replace_suggested_ones_in_the_order_of_the_fields():
    columns = merged({"split": "s", "role": "r"}, {"split": "t", "role": "", "prompt": "p"})
    assert list(columns.items()) == [("prompt", "p"), ("split", "t")]


@pytest.mark.parametrize("pair", ["answer", "answer=", "reply=said", "=said"])
def test_a_column_is_given_as_field_and_column(pair):
    with pytest.raises(ConfigError, match=rf"^a column is given as field=.*; got '{pair}'$"):
        columns_given([pair])
