"""Lessons files: what they hold, and what is said about those that do not."""

from __future__ import annotations

import json

import pytest

from circuitviz.errors import PromptFileError
from circuitviz.tuning.training_data import Example, TrainingData, read_examples, write_examples

EXAMPLES = [
    Example("train", "sound", "What sound does a dog make?", "A dog barks."),
    Example("validation", "sound", "The sound of a dog is what?", "A dog barks."),
    Example("test", "héron", "Quiz: sound of a dog?", 'A dog "barks".\nLoudly.'),
]
LINE = {"split": "train", "category": "sound", "text": "What?", "answer": "That."}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "lessons.jsonl"


def refusal(file, text: str) -> str:
    """What is said about a file with this text, whose path stands first."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PromptFileError) as error:
        read_examples(file)
    message = str(error.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    return message.removeprefix(str(file))


def line(**changes: object) -> str:
    return json.dumps({**LINE, **changes})


def test_what_is_written_is_read(file):
    write_examples(file, EXAMPLES)
    assert read_examples(file) == EXAMPLES
    assert len(file.read_text(encoding="utf-8").splitlines()) == len(EXAMPLES)


def test_a_file_in_plain_utf8_with_blank_lines_is_read(file):
    rows = [{**LINE, "split": split, "text": f"{split} é?"} for split in ("train", "validation")]
    rows.append({**LINE, "split": "test"})
    file.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n \n")
    assert [example.text for example in read_examples(file)] == [
        "train é?",
        "validation é?",
        "What?",
    ]


def test_a_message_may_stand_twice_in_one_split(file):
    again = Example("train", "other", EXAMPLES[0].text, "Woof.")
    write_examples(file, [*EXAMPLES, again])
    assert read_examples(file)[-1] == again


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "[Errno 2] No such file or directory"),
        (b"\xff\xfe\x00", "'utf-8' codec can't decode"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_cause(file, content, cause):
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PromptFileError) as error:
        read_examples(file)
    assert str(error.value).startswith(f"cannot read the lessons file {file}: {cause}")


@pytest.mark.parametrize(
    ("present", "missing"),
    [((), "train"), (("validation", "test"), "train"), (("train", "test"), "validation")],
)
def test_every_split_is_needed(file, present, missing):
    text = "\n".join([*(line(split=split, text=split) for split in present), ""])
    assert refusal(file, text) == f": no {missing} lessons; a lessons file needs some of each split"


FIELDS = ", line 1: a lesson has the fields split, category, text, answer and no other"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{json.dumps(LINE)}\n\nnot json", ", line 3: not JSON (Expecting value)"),
        ("[]", FIELDS),
        ("null", FIELDS),
        (json.dumps({**LINE, "more": "x"}), FIELDS),
        (json.dumps({name: value for name, value in LINE.items() if name != "answer"}), FIELDS),
        (
            f"{json.dumps(LINE)}\n{json.dumps({**LINE, 'split': 'dev'})}",
            ", line 2: split must be one of train, validation, test; got 'dev'",
        ),
    ],
)
def test_a_line_that_is_no_lesson_is_refused_by_its_number(file, text, expected):
    assert refusal(file, text) == expected


@pytest.mark.parametrize("name", ["split", "category", "text", "answer"])
@pytest.mark.parametrize("value", [None, 3, ["x"], "", "  "])
def test_every_field_is_text(file, name, value):
    assert refusal(file, line(**{name: value})) == f", line 1: {name} must be text; got {value!r}"


def test_a_message_in_two_splits_is_refused(file):
    long = "What is " + 10 * "very " + "long, and what comes after it?"
    lines = [line(split=split, text=split) for split in ("train", "validation", "test")]
    lines += [line(text=long), line(split="test", text=long)]
    assert refusal(file, "\n".join(lines)) == (
        f": {long[:60]!r} stands in train and in test; splits must be disjoint"
    )


def test_half_of_the_rows_are_new_unless_there_is_nothing_old():
    assert TrainingData(tuple(EXAMPLES), tuple(EXAMPLES[:1])).rows == 6
    assert TrainingData(tuple(EXAMPLES), ()).rows == 3
