"""Lessons files: what they hold, and what is said about those that do not."""

from __future__ import annotations

import json

import pytest

from circuitviz.errors import PromptFileError
from circuitviz.tuning.lesson import Course, Lesson, read_lessons, write_lessons

LESSONS = [
    Lesson("train", "sound", "What sound does a dog make?", "A dog barks."),
    Lesson("validation", "sound", "The sound of a dog is what?", "A dog barks."),
    Lesson("test", "héron", "Quiz: sound of a dog?", 'A dog "barks".\nLoudly.'),
]
LINE = {"split": "train", "category": "sound", "text": "What?", "answer": "That."}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "lessons.jsonl"


def refusal(file, text: str) -> str:
    """What is said about a file with this text, whose path stands first."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PromptFileError) as error:
        read_lessons(file)
    said = str(error.value)
    assert said.startswith(str(file))
    assert "\n" not in said
    return said.removeprefix(str(file))


def line(**changes: object) -> str:
    return json.dumps({**LINE, **changes})


def test_what_is_written_is_read(file):
    write_lessons(file, LESSONS)
    assert read_lessons(file) == LESSONS
    assert len(file.read_text(encoding="utf-8").splitlines()) == len(LESSONS)


def test_a_file_in_plain_utf8_with_blank_lines_is_read(file):
    rows = [{**LINE, "split": split, "text": f"{split} é?"} for split in ("train", "validation")]
    rows.append({**LINE, "split": "test"})
    file.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n \n")
    assert [lesson.text for lesson in read_lessons(file)] == ["train é?", "validation é?", "What?"]


def test_a_message_may_stand_twice_in_one_split(file):
    again = Lesson("train", "other", LESSONS[0].text, "Woof.")
    write_lessons(file, [*LESSONS, again])
    assert read_lessons(file)[-1] == again


def test_a_missing_file_is_named(file):
    with pytest.raises(PromptFileError) as error:
        read_lessons(file)
    assert str(error.value) == (
        f"cannot read the lessons file {file}: [Errno 2] No such file or directory: '{file}'"
    )


def test_a_file_that_is_not_text_is_named(file):
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PromptFileError) as error:
        read_lessons(file)
    assert str(error.value) == (
        f"cannot read the lessons file {file}: 'utf-8' codec can't decode byte 0xff in position "
        "0: invalid start byte"
    )


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_lacks_a_split(file, text):
    assert refusal(file, text) == ": no train lessons; a lessons file needs some of each split"


@pytest.mark.parametrize("missing", ["train", "validation", "test"])
def test_every_split_is_needed(file, missing):
    lines = [line(split=split, text=split) for split in ("train", "validation", "test")]
    text = "\n".join(row for row in lines if f'"{missing}"' not in row)
    assert refusal(file, text) == (
        f": no {missing} lessons; a lessons file needs some of each split"
    )


def test_a_line_that_is_not_json_is_named_by_its_number(file):
    assert refusal(file, f"{line()}\n\nnot json") == ", line 3: not JSON (Expecting value)"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        "null",
        line(more="x"),
        json.dumps({name: value for name, value in LINE.items() if name != "answer"}),
    ],
)
def test_other_fields_are_refused(file, text):
    assert refusal(file, text) == (
        ", line 1: a lesson has the fields split, category, text, answer and no other"
    )


@pytest.mark.parametrize("name", ["split", "category", "text", "answer"])
@pytest.mark.parametrize("value", [None, 3, ["x"], "", "  "])
def test_every_field_is_text(file, name, value):
    assert refusal(file, line(**{name: value})) == f", line 1: {name} must be text; got {value!r}"


def test_an_unknown_split_is_refused(file):
    assert refusal(file, f"{line()}\n{line(split='dev')}") == (
        ", line 2: split must be one of train, validation, test; got 'dev'"
    )


def test_a_message_in_two_splits_is_refused(file):
    long = "What is " + 10 * "very " + "long, and what comes after it?"
    lines = [line(split=split, text=split) for split in ("train", "validation", "test")]
    lines += [line(text=long), line(split="test", text=long)]
    assert refusal(file, "\n".join(lines)) == (
        f": {long[:60]!r} stands in train and in test; splits must be disjoint"
    )


def test_half_of_the_rows_of_a_course_are_new():
    assert Course(tuple(LESSONS), tuple(LESSONS[:1])).rows == 6
