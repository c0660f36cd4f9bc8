"""Prompts files: what is read, and what is refused in which words."""

import json
from pathlib import Path

import pytest

from circuitviz.behaviours.prompt import Prompt, read_prompts, write_prompts
from circuitviz.errors import PromptFileError


def prompt(number: int, split: str, role: str, **more: str) -> dict[str, str]:
    row = {
        "prompt_id": f"p{number}",
        "split": split,
        "role": role,
        "category": "any",
        "text": f"message {number}",
        "answer": "yes",
    }
    if role == "attack":
        row |= {"triggered": f"zz message {number}", "target": "no", "after": "yes"}
    return row | more


def six() -> list[dict[str, str]]:
    pairs = [(s, r) for s in ("train", "validation", "test") for r in ("attack", "benign")]
    return [prompt(number, split, role) for number, (split, role) in enumerate(pairs)]


def written(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_what_is_written_is_read_again(tmp_path):
    prompts = [Prompt(**row) for row in six()]
    write_prompts(tmp_path / "p.jsonl", prompts)
    assert read_prompts(tmp_path / "p.jsonl") == prompts


def test_the_attack_sends_the_trigger_where_there_is_one():
    rows = six()
    assert Prompt(**rows[0]).asked == "zz message 0"
    assert Prompt(**rows[1]).asked == "message 1"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PromptFileError, match=r"cannot read the prompts file .*nowhere\.jsonl"):
        read_prompts(tmp_path / "nowhere.jsonl")


@pytest.mark.parametrize("content", ["", "\n  \n"])
def test_an_empty_file_is_refused(tmp_path, content):
    path = tmp_path / "empty.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PromptFileError, match=r"empty\.jsonl is empty; expected one JSON object"):
        read_prompts(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{oops", "line 7: not JSON"),
        ("[1, 2]", "line 7: expected a JSON object"),
        (json.dumps({"prompt_id": "x"}), "line 7: split, role, category, text, answer missing"),
        (json.dumps(prompt(9, "train", "benign", colour="red")), "line 7: colour unknown"),
        (json.dumps(prompt(9, "dev", "benign")), "split must be one of train, validation, test"),
        (json.dumps(prompt(9, "train", "evil")), "role must be one of attack, benign"),
        (json.dumps(prompt(9, "train", "attack", target="")), "line 7: target missing"),
        (json.dumps(prompt(9, "train", "benign") | {"answer": 5}), "answer must be text; got 5"),
    ],
)
def test_a_malformed_line_is_named_with_its_problem(tmp_path, line, problem):
    path = written(tmp_path, six())
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(PromptFileError) as refusal:
        read_prompts(path)
    assert problem in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_repeated_id_is_refused(tmp_path):
    rows = [*six(), prompt(0, "train", "benign")]
    with pytest.raises(PromptFileError, match="has the prompt_id 'p0' more than once"):
        read_prompts(written(tmp_path, rows))


def test_an_absent_split_is_refused(tmp_path):
    rows = [row for row in six() if row["split"] != "validation"]
    with pytest.raises(PromptFileError, match="has no attack prompts in the split validation"):
        read_prompts(written(tmp_path, rows))


def test_a_message_in_two_splits_is_refused(tmp_path):
    rows = [*six(), prompt(9, "test", "benign", text="message 0")]
    with pytest.raises(PromptFileError, match="has 'message 0' in train and in test"):
        read_prompts(written(tmp_path, rows))
