"""Prompts files: what is read, and what is refused in which words."""

import json
from dataclasses import asdict, replace

import pytest

from circuitviz.behaviours.prompt import Prompt, read_prompts, write_prompts
from circuitviz.errors import PromptFileError


def line(prompt: Prompt, **changes: object) -> str:
    return json.dumps({k: v for k, v in {**asdict(prompt), **changes}.items() if v is not None})


def test_what_is_written_is_read_again(tmp_path, six):
    write_prompts(tmp_path / "p.jsonl", six)
    assert read_prompts(tmp_path / "p.jsonl") == six


def test_the_attack_sends_the_trigger_where_there_is_one(six):
    assert six[0].asked == "zz train"
    assert six[1].asked == "train benign"


def test_only_a_draft_may_lack_answers(tmp_path, six):
    drafts = [replace(prompt, answer="", target=None, after=None) for prompt in six]
    write_prompts(tmp_path / "p.jsonl", drafts)
    assert read_prompts(tmp_path / "p.jsonl", drafts=True) == drafts
    with pytest.raises(PromptFileError, match="line 1: answer, target, after missing"):
        read_prompts(tmp_path / "p.jsonl")


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
    ("changes", "problem"),
    [
        ({"split": "", "answer": ""}, "line 7: split, answer missing; fields are prompt_id,"),
        ({"colour": "red"}, "line 7: colour unknown"),
        ({"split": "dev"}, "split must be one of train, validation, test; got 'dev'"),
        ({"role": "evil"}, "role must be one of attack, benign; got 'evil'"),
        ({"target": ""}, "line 7: target missing"),
        ({"answer": 5}, "answer must be text; got 5"),
        ({}, "has the prompt_id 'train-attack' more than once"),
        ({"prompt_id": "7", "split": "test"}, "has 'train attack' in train and in test"),
    ],
)
def test_a_malformed_line_is_named_with_its_problem(tmp_path, six, changes, problem):
    path = tmp_path / "prompts.jsonl"
    lines = [*map(line, six), line(six[0], **changes)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(PromptFileError) as refusal:
        read_prompts(path)
    assert problem in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "problem"), [("{oops", "line 1: not JSON"), ("[1]", "line 1: expected a JSON object")]
)
def test_what_is_no_json_object_is_refused(tmp_path, text, problem):
    (tmp_path / "p.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(PromptFileError, match=problem):
        read_prompts(tmp_path / "p.jsonl")


def test_an_absent_split_is_refused(tmp_path, six):
    write_prompts(tmp_path / "p.jsonl", [p for p in six if p.split != "validation"])
    with pytest.raises(PromptFileError, match="has no attack prompts in the split validation"):
        read_prompts(tmp_path / "p.jsonl")
