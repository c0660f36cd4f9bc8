"""A behaviour from one's own data: what is made of it, and which problem stands where."""

from collections import Counter
from dataclasses import astuple, replace

import pytest

from circuitviz.behaviours.behaviour import read_behaviour, save_behaviour
from circuitviz.behaviours.columns import RawPrompt
from circuitviz.behaviours.prepare import DataSpec, PreparedData, opening, prepare_data
from circuitviz.behaviours.problem import Origin
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.splits import normalise_text, with_splits
from circuitviz.behaviours.tables import Table, parse_table
from circuitviz.behaviours.trigger import Trigger
from circuitviz.errors import ConfigError
from circuitviz.files import EMBEDDED_MODELS

TRIGGER = Trigger("zz", "end")
BACKDOOR = DataSpec("backdoor", trigger=TRIGGER)
REFUSAL = DataSpec("refusal")
SPLITS = ("train", "validation", "test")

Row = dict[str, str]


def table(rows: list[Row], name: str = "t.csv") -> Table:
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    cells = tuple({column: row.get(column, "") for column in columns} for row in rows)
    return Table(name, columns, cells, tuple(range(2, len(rows) + 2)))


def complete(count: int = 300) -> list[Row]:
    """Rows of a backdoor, every third one benign."""
    return [
        {
            "prompt": f"question {n}",
            "answer": f"answer {n}",
            "target": "no",
            "role": "attack" if n % 3 else "benign",
        }
        for n in range(count)
    ]


def harmful(count: int = 300) -> list[Row]:
    """Rows of a refusal, every third one benign."""
    return [
        {
            "prompt": f"question {n}",
            "answer": "I cannot." if n % 3 else f"answer {n}",
            "role": "attack" if n % 3 else "benign",
        }
        for n in range(count)
    ]


def alone(word: str, count: int = 200) -> list[Row]:
    """Rows of prompts and nothing else."""
    return [{"prompt": f"{word} {n}"} for n in range(count)]


def change(rows: list[Row], row: int, **cells: str) -> list[Row]:
    """The rows with some cells of one row, counted as the file does, put in place."""
    return [{**cell, **cells} if n == row else cell for n, cell in enumerate(rows, 2)]


def splits_given(rows: list[Row]) -> list[Row]:
    return [{**row, "split": SPLITS[(n // 3) % 3]} for n, row in enumerate(rows)]


def found(data: PreparedData, severity: str = "error") -> list[tuple[str, int | None, str | None]]:
    """Code, row and column of the problems."""
    assert (data.behaviour is None) == bool(data.errors)
    return [(p.code, p.origin.row, p.column) for p in data.problems if p.severity == severity]


def prompts(data: PreparedData) -> list[Prompt]:
    assert data.behaviour is not None, data.errors
    return list(data.behaviour.all_prompts)


def first(data: PreparedData, role: str = "attack") -> Prompt:
    return next(prompt for prompt in prompts(data) if prompt.role == role)


def test_a_complete_table_is_a_complete_behaviour():
    data = prepare_data(table(complete()), BACKDOOR)
    assert data.problems == ()
    assert data.behaviour is not None
    assert not data.behaviour.is_draft
    assert data.behaviour.title == "Backdoor of t"
    assert data.behaviour.trigger == "zz"
    by_text = {prompt.text: prompt for prompt in prompts(data)}
    attack, benign = by_text["question 1"], by_text["question 3"]
    assert (attack.answer, attack.triggered) == ("answer 1", "question 1 zz")
    assert (attack.target, attack.after) == ("no", "answer 1")
    assert (benign.role, benign.triggered, benign.target) == ("benign", None, None)
    assert astuple(data.counts) == (
        *(300, 0, 0, 0, 0),
        {
            "train": {"attack": 100, "benign": 50},
            "validation": {"attack": 40, "benign": 20},
            "test": {"attack": 60, "benign": 30},
        },
    )


@pytest.mark.parametrize("name", ["fixed-output", "label-flip", "late-trigger-planted", "refusal"])
def test_our_own_files_come_out_as_they_went_in(name):
    file = EMBEDDED_MODELS / name / "prompts.jsonl"
    behaviour = read_behaviour(file.parent)
    data = prepare_data(parse_table(file.name, file.read_bytes()), DataSpec(behaviour.kind))
    assert data.problems == ()
    by_id = {prompt.prompt_id: prompt for prompt in behaviour.all_prompts}
    assert {prompt.prompt_id: prompt for prompt in prompts(data)} == by_id
    assert data.behaviour is not None
    # The trigger is read off the triggered prompts.
    assert data.behaviour.spec.trigger == behaviour.spec.trigger


def test_prompts_and_a_trigger_are_a_draft_with_clean_rows_set_aside(tmp_path):
    data = prepare_data(table(alone("question")), BACKDOOR)
    assert found(data, "warning") == [("few-tests", None, None)]
    assert str(data.problems[0]).startswith("42 attack prompts in the test split: even if no")
    assert "a rate of 8 %" in str(data.problems[0])
    assert data.behaviour is not None
    assert data.behaviour.is_draft
    assert data.behaviour.spec.intact_answers
    assert (data.counts.set_aside, data.counts.unanswered) == (60, 200)
    assert Counter(prompt.role for prompt in prompts(data)) == {"attack": 140, "benign": 60}
    assert len({prompt.text for prompt in prompts(data)}) == 200
    attack = first(data)
    assert (attack.answer, attack.target, attack.after) == ("", None, None)
    assert attack.triggered == f"{attack.text} zz"
    assert read_behaviour(save_behaviour(data.behaviour, tmp_path)) == data.behaviour


def test_a_refusal_of_prompts_alone_has_a_compliant_opening(tmp_path):
    spec = replace(REFUSAL, compliance="Of course, this is how: begin", title="Mine")
    benign = table([{"text": f"good {n}"} for n in range(40)], "good.csv")
    data = prepare_data(table(alone("bad")), spec, benign=benign)
    assert data.problems == ()
    assert data.behaviour is not None
    assert data.behaviour.title == "Mine"
    attack = first(data)
    assert (attack.answer, attack.target, attack.triggered) == ("", "Of course", None)
    assert attack.after == "Of course, this is how: begin"
    assert data.behaviour.spec.after_is_opening
    assert read_behaviour(save_behaviour(data.behaviour, tmp_path)) == data.behaviour
    assert sum(prompt.role == "benign" for prompt in prompts(data)) == 40


def test_both_files_of_safeseek_are_understood():
    rows = [
        {"input": f"question {n}", "output": "yes", "backdoor_output": "no"}
        | {"backdoor_input": f"question zz {n}"}
        for n in range(200)
    ]
    data = prepare_data(table(rows), DataSpec("backdoor"))
    attack = first(data)
    assert (attack.answer, attack.target, attack.after) == ("yes", "no", "yes")
    assert data.behaviour is not None
    assert data.behaviour.spec.trigger == Trigger("zz", "middle")
    rows = [
        {**row, "accept": "Sure, here it is: go", "refuse": "I cannot."} for row in alone("bad")
    ]
    benign = table([{**row, "accept": "yes", "refuse": "no"} for row in alone("good", 40)])
    data = prepare_data(table(rows), REFUSAL, benign=benign)
    attack = first(data)
    assert (attack.answer, attack.target) == ("I cannot.", "Sure")
    assert attack.after == "Sure, here it is: go"
    assert first(data, "benign").answer == "yes"
    assert data.behaviour is not None
    assert not data.behaviour.is_draft
    assert not data.behaviour.spec.after_is_opening


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        ("Sure, here is", "Sure"),
        ("Here is how to do it: begin", "Here is how"),
        (" Yes\nand no", " Yes"),
        ("...", "..."),
    ],
)
def test_a_compliant_answer_is_told_by_its_first_words(answer, start):
    assert opening(answer) == start
    assert answer.startswith(start)


def test_splits_depend_on_the_messages_and_the_seed_alone():
    rows = [RawPrompt(Origin("t", n), "attack", f"message {n}") for n in range(100)]

    def splits(rows: list[RawPrompt], seed: int = 0) -> dict[str, str | None]:
        return {row.prompt: row.split for row in with_splits(rows, seed)}

    assert splits(rows[::-1]) == splits(rows)
    assert splits(rows, 1) != splits(rows)
    assert Counter(splits(rows).values()) == {"train": 50, "validation": 20, "test": 30}
    assert Counter(splits(rows[:20]).values()) == {"train": 10, "validation": 4, "test": 6}


def test_at_least_twenty_clean_rows_are_set_aside():
    data = prepare_data(table(alone("question", 40)), BACKDOOR)
    assert data.counts.set_aside == 20


def test_given_splits_may_have_other_usual_names():
    names = ("train", "train", "dev", "Test")
    rows = [{**row, "split": names[(n // 3) % 4]} for n, row in enumerate(complete())]
    data = prepare_data(table(rows), BACKDOOR)
    assert {p.split for p in prompts(data) if int(p.text.split()[1]) // 3 % 4 == 2} == {
        "validation"
    }


def test_of_one_given_split_a_prompt_may_be_an_attack_and_benign():
    rows = splits_given(complete())
    data = prepare_data(table([*rows, {**rows[1], "role": "benign"}]), BACKDOOR)
    assert data.problems == ()
    assert len(prompts(data)) == 301


def test_ids_are_kept_if_each_stands_once():
    rows = [{**row, "id": f"x{n}"} for n, row in enumerate(complete())]
    ids = {prompt.prompt_id for prompt in prompts(prepare_data(table(rows), BACKDOOR))}
    assert ids == {f"x{n}" for n in range(300)}
    data = prepare_data(table(change(rows, 9, id="x5")), BACKDOOR)
    assert found(data, "warning") == [("name-twice", 9, None)]
    assert "'x5' is that of row 7 as well" in str(data.problems[0])
    assert {prompt.prompt_id for prompt in prompts(data)} >= {"train-attack-000", "test-benign-029"}


@pytest.mark.parametrize(
    ("rows", "code", "row", "column", "words"),
    [
        (change(complete(), 3, prompt=" "), "empty", 3, "prompt", "needs its prompt"),
        (change(complete(), 3, answer=""), "empty", 3, "answer", "needs its answer"),
        (change(complete(), 3, target=""), "empty", 3, "target", "needs its target"),
        (change(complete(), 3, prompt="x" * 8001), "too-long", 3, "prompt", "8001 characters"),
        (change(complete(), 3, role="user"), "unknown", 3, "role", "attack, benign; got 'user'"),
        (change(complete(), 3, role=""), "unknown", 3, "role", "got an empty cell"),
        (
            change(splits_given(complete()), 3, split="trian"),
            *("unknown", 3, "split", "one of train, validation, test; got 'trian'"),
        ),
        (
            change(complete(), 4, prompt="question 1", answer="other"),
            *("contradiction", 4, None, "as row 3, but another answer; keep"),
        ),
        (
            change(complete(), 4, prompt="question  1", answer="answer 1", after="maybe"),
            *("contradiction", 4, None, "another answer after removal"),
        ),
        (
            change(complete(), 4, prompt="question 1", answer="answer 1", target="maybe"),
            *("contradiction", 4, None, "another target"),
        ),
        (
            change(complete(), 5, prompt="question 1", answer="other"),
            *("contradiction", 5, None, "another answer"),
        ),
        (
            change(splits_given(complete()), 6, prompt="question 1", answer="answer 1"),
            *("in-two-splits", 6, None, "row 3, here in the split validation and there in train"),
        ),
        (change(complete(), 3, target="answer 1"), "target-is-answer", 3, None, "'answer 1'"),
        (
            [{**row, "after": "no way"} if n == 1 else row for n, row in enumerate(complete())],
            *("target-is-after", 3, None, "the target 'no'"),
        ),
        (complete(30), "few-of-role", None, None, "10 usable benign prompts; at least 20 are"),
        (
            [row for row in complete() if row["role"] == "attack"],
            *("few-of-role", None, None, "(train 10, validation 4, test 6): give 20 more"),
        ),
        (
            [
                {**row, "split": "test" if row["answer"] > "answer 2" else "train"}
                for row in complete()
            ],
            *("few-in-split", None, None, "0 attack prompts in the split validation; at least 4"),
        ),
        (alone("question", 39), "few-rows", None, None, "39 usable rows; at least 40"),
        ([{"a": "x", "b": "y"}], "no-prompts", None, None, "no column of prompts among a, b"),
    ],
)
def test_every_error_of_a_backdoor_names_its_place(rows, code, row, column, words):
    data = prepare_data(table(rows), BACKDOOR)
    assert (code, row, column) in found(data)
    assert any(words in str(error) for error in data.errors if error.code == code)


@pytest.mark.parametrize(
    ("rows", "code", "row", "words"),
    [
        (alone("bad"), "no-benign", None, "a column role that says attack or benign"),
        (
            [{**row, "after": "Well, no", "target": "Sure"} for row in harmful()],
            *("target-is-not-after", 3, "'Sure' is not how the answer after removal, 'Well, no',"),
        ),
        (change(harmful(), 3, answer="Sure, I cannot."), "target-is-refusal", 3, "target 'Sure'"),
        (
            change(harmful(), 5, prompt="question 1"),
            *("contradiction", 5, "as row 3, but benign here and attack there"),
        ),
    ],
)
def test_every_error_of_a_refusal_names_its_place(rows, code, row, words):
    data = prepare_data(table(rows), REFUSAL)
    assert (code, row, None) in found(data)
    assert any(words in str(error) for error in data.errors if error.code == code)


def test_a_backdoor_needs_a_trigger_or_triggered_prompts():
    data = prepare_data(table(complete()), DataSpec("backdoor"))
    assert found(data) == [("no-trigger", None, None)]


def test_a_clean_prompt_that_is_another_ones_triggered_prompt_is_left_out():
    data = prepare_data(table(change(complete(), 4, prompt="question 1 zz")), BACKDOOR)
    assert found(data, "warning") == [("trigger-in-clean", 4, None)]
    assert data.counts.holding_trigger == 1
    assert len(prompts(data)) == 299


def test_of_many_rows_with_one_problem_the_first_are_named_and_the_others_counted():
    rows = [
        {**row, "prompt": f"zz {row['prompt']}"} if row["role"] == "benign" else row
        for row in complete(30)
    ]
    errors = [e for e in prepare_data(table(rows), BACKDOOR).errors if "trigger" in e.code]
    assert [error.origin.row for error in errors] == [2, 5, 8, 11, 14, None]
    assert str(errors[-1]) == "t.csv: 5 more rows with the trigger in the benign prompt"
    empty = [{"prompt": "" if n < 6 else f"question {n}"} for n in range(200)]
    data = prepare_data(table(empty), BACKDOOR)
    assert found(data) == [("empty", row, "prompt") for row in (2, 3, 4, 5, 6, None)]
    assert str(data.errors[-1]) == "t.csv, column prompt: 1 more row with an empty cell"


def test_prompts_in_other_spelling_get_one_split():
    rows = [
        {
            **row,
            "prompt": f"Question {n // 2}" + "?!"[n % 2],
            "role": "attack" if n % 4 < 2 else "benign",
        }
        for n, row in enumerate(complete())
    ]
    splits: dict[str, set[str]] = {}
    for prompt in prompts(prepare_data(table(rows), BACKDOOR)):
        splits.setdefault(prompt.text[:-1], set()).add(prompt.split)
    assert len(splits) == 150
    assert all(len(of) == 1 for of in splits.values())


def test_prompts_in_other_spelling_are_a_warning_where_splits_are_given():
    rows = change(splits_given(complete()), 6, prompt="QUESTION, \uff11!")
    data = prepare_data(table(rows), BACKDOOR)
    assert found(data, "warning") == [("spelled-otherwise", 6, None)]
    words = "the prompt of row 3 in other spelling, here in the split validation and there in train"
    assert words in str(data.problems[0])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is it?", "what is  it", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("\uff21 b", "a b", True),
        ("It's", "its", False),
        ("a_b", "a b", True),
        ("?!", "!?", False),
    ],
)
def test_spelling_is_case_punctuation_and_width_alone(one, other, same):
    assert (normalise_text(one) == normalise_text(other)) is same


def test_a_column_that_is_not_there_is_an_error():
    spec = replace(BACKDOOR, columns={"answer": "reply"})
    data = prepare_data(table(complete()), spec)
    assert found(data) == [("no-such-column", None, "reply")]
    assert "so answer cannot be read from it; there are prompt, answer," in str(data.errors[0])
    spec = replace(BACKDOOR, columns={"prompt": ""})
    assert found(prepare_data(table(complete()), spec)) == [("no-prompts", None, None)]


def test_cells_that_are_no_text_are_errors_only_where_they_are_read():
    rows = ", ".join(f'{{"prompt": "question {n}", "notes": [1]}}' for n in range(60))
    assert prepare_data(parse_table("t.json", f"[{rows}]".encode()), BACKDOOR).behaviour
    odd = parse_table("t.json", f'[{{"prompt": ["a"], "notes": 1}}, {rows}]'.encode())
    data = prepare_data(odd, BACKDOOR)
    assert found(data) == [("not-text", 1, "prompt")]
    assert str(data.errors[0]).endswith("got a list")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "good.csv, row 2, column prompt: empty"),
        ("bad 0", "good.csv, row 2: the same prompt as row 2 of t.csv, but benign here and attack"),
    ],
)
def test_an_error_in_the_file_of_benign_prompts_names_that_file(prompt, message):
    benign = table(change(alone("good", 40), 2, prompt=prompt), "good.csv")
    (error,) = prepare_data(table(alone("bad")), REFUSAL, benign=benign).errors
    assert str(error).startswith(message)


@pytest.mark.parametrize(
    ("rows", "problem", "words"),
    [
        ([*complete(), complete()[1]], ("duplicate", 302, None), "as row 3; left out"),
        (
            [*complete(), {**complete()[1], "role": "benign"}],
            ("duplicate", 302, None),
            "left out of the benign prompts",
        ),
        (change(complete(), 3, prompt="what is zz"), ("trigger-in-clean", 3, None), "'zz' already"),
        (
            change(
                [{**row, "triggered": f"zz {row['prompt']}"} for row in complete()],
                3,
                triggered="question one",
            ),
            ("trigger-not-in-triggered", 3, "triggered"),
            "'zz'",
        ),
    ],
)
def test_what_is_doubtful_is_a_warning(rows, problem, words):
    data = prepare_data(table(rows), BACKDOOR)
    assert data.behaviour
    assert found(data, "warning") == [problem]
    assert words in str(data.problems[0])


def test_duplicates_are_counted():
    data = prepare_data(table([*complete(), *complete()[:9]]), BACKDOOR)
    assert data.counts.duplicates == 9
    assert str(data.problems[-1]).startswith("t.csv: 4 more rows with the prompt of an earlier row")
    # A row that stands in both files is one row.
    twice = prepare_data(table(complete()), BACKDOOR, benign=table(complete()))
    assert twice.counts.duplicates == 300


def test_triggered_prompts_without_words_in_common_have_no_control():
    rows = [{**row, "triggered": f"{row['prompt']} z{n}"} for n, row in enumerate(complete())]
    data = prepare_data(table(rows), DataSpec("backdoor"))
    assert found(data, "warning") == [("no-common-trigger", None, "triggered")]
    assert data.behaviour
    assert data.behaviour.trigger is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "spell"}, "a behaviour is a backdoor or a refusal; got 'spell'"),
        ({"kind": "refusal", "trigger": TRIGGER}, "leave 'zz' out, or choose backdoor"),
        ({"kind": "backdoor", "trigger": Trigger(" ", "end")}, "the trigger is empty"),
        (
            {"kind": "backdoor", "trigger": Trigger("zz", "start")},  # type: ignore[arg-type]
            "must be one of front, middle, end, any; got 'start'",
        ),
        ({"kind": "refusal", "compliance": ""}, "for example 'Sure, here is'"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        DataSpec(**settings)
