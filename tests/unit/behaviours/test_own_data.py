"""A behaviour from one's own data: what is made of it, and every problem in its full words."""

from dataclasses import replace

import pytest

from circuitviz.behaviours.behaviour import Trigger, load_behaviour
from circuitviz.behaviours.columns import Columns
from circuitviz.behaviours.own_data import (
    DataRequest,
    Prepared,
    holds,
    prepare_data,
    save_behaviour,
)
from circuitviz.behaviours.own_rows import opening
from circuitviz.behaviours.prompt import Prompt, read_prompts, write_prompts
from circuitviz.behaviours.splits import essence, make_splits, set_aside
from circuitviz.behaviours.tables import Table, parse_table
from circuitviz.errors import ConfigError
from circuitviz.paths import EMBEDDED_MODELS

TRIGGER = Trigger("zz", "end")
BACKDOOR = DataRequest("backdoor", trigger=TRIGGER)
REFUSAL = DataRequest("refusal")
FEW = "at least 20 are needed (train 10, validation 4, test 6): give {} more"  # of a role


def table(rows: list[dict[str, str]], name: str = "t.csv") -> Table:
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    cells = tuple({column: row.get(column, "") for column in columns} for row in rows)
    return Table(name, columns, cells, tuple(range(2, len(rows) + 2)))


def complete(count: int = 300) -> list[dict[str, str]]:
    """Rows of a backdoor, every third one benign."""
    return [
        {
            "prompt": f"question {n}",
            "answer": f"answer {n}",
            "target": "no",
            "role": "benign" if n % 3 == 0 else "attack",
        }
        for n in range(count)
    ]


def harmful(count: int = 300) -> list[dict[str, str]]:
    """Rows of a refusal, every third one benign."""
    return [
        {
            "prompt": f"question {n}",
            "answer": "I cannot." if n % 3 else f"answer {n}",
            "role": "attack" if n % 3 else "benign",
        }
        for n in range(count)
    ]


def errors(found: Prepared) -> list[str]:
    assert found.usable == (not found.errors)
    return [str(problem) for problem in found.errors]


def warnings(found: Prepared) -> list[str]:
    return [str(problem) for problem in found.problems if problem.severity == "warning"]


def prompts(found: Prepared) -> list[Prompt]:
    assert found.behaviour is not None, errors(found)
    return list(found.behaviour.all_prompts)


def test_a_complete_table_is_a_complete_behaviour():
    found = prepare_data(table(complete()), BACKDOOR)
    assert found.problems == ()
    assert found.behaviour is not None
    assert not found.behaviour.is_draft
    assert found.behaviour.title == "Backdoor of t"
    assert found.behaviour.trigger == "zz"
    attack = next(p for p in prompts(found) if p.text == "question 1")
    assert (attack.answer, attack.triggered) == ("answer 1", "question 1 zz")
    assert (attack.target, attack.after) == ("no", "answer 1")
    benign = next(p for p in prompts(found) if p.text == "question 3")
    assert (benign.role, benign.triggered, benign.target) == ("benign", None, None)
    assert found.counts == {
        "rows": 300,
        "duplicates": 0,
        "holding_trigger": 0,
        "set_aside": 0,
        "unanswered": 0,
        "prompts": {
            "train": {"attack": 100, "benign": 50},
            "validation": {"attack": 40, "benign": 20},
            "test": {"attack": 60, "benign": 30},
        },
    }


@pytest.mark.parametrize("name", ["fixed-output", "label-flip", "late-trigger-planted", "refusal"])
def test_our_own_files_come_out_as_they_went_in(name):
    file = EMBEDDED_MODELS / name / "prompts.jsonl"
    behaviour = load_behaviour(file.parent)
    found = prepare_data(parse_table(file.name, file.read_bytes()), DataRequest(behaviour.kind))
    assert found.problems == ()
    assert {p.prompt_id: p for p in prompts(found)} == {
        p.prompt_id: p for p in behaviour.all_prompts
    }
    assert found.behaviour is not None
    # The trigger is read off the triggered prompts.
    assert found.behaviour.spec.trigger == behaviour.spec.trigger


def test_prompts_and_a_trigger_are_a_draft_with_clean_rows_set_aside():
    rows = [{"prompt": f"question {n}"} for n in range(200)]
    found = prepare_data(table(rows), BACKDOOR)
    assert warnings(found) == [
        "42 attack prompts in the test split: even if no attack succeeds, a rate of 8 % stays "
        "possible (95 % interval); give more prompts"
    ]
    assert found.behaviour is not None
    assert found.behaviour.is_draft
    assert found.behaviour.spec.intact_answers
    assert found.counts["set_aside"] == 60
    assert found.counts["unanswered"] == 200
    attacks = {p.text for p in prompts(found) if p.role == "attack"}
    benign = {p.text for p in prompts(found) if p.role == "benign"}
    assert attacks.isdisjoint(benign)
    assert (len(attacks), len(benign)) == (140, 60)
    attack = next(p for p in prompts(found) if p.role == "attack")
    assert (attack.answer, attack.target, attack.after) == ("", None, None)
    assert attack.triggered == f"{attack.text} zz"


def test_a_refusal_of_prompts_alone_has_a_compliant_opening(tmp_path):
    attacks = table([{"prompt": f"bad {n}"} for n in range(200)])
    benign = table([{"text": f"good {n}"} for n in range(40)], "good.csv")
    request = replace(REFUSAL, compliance="Of course, this is how: begin", title="Mine")
    found = prepare_data(attacks, request, benign=benign)
    assert found.problems == ()
    assert found.behaviour is not None
    assert found.behaviour.title == "Mine"
    attack = next(p for p in prompts(found) if p.role == "attack")
    assert (attack.answer, attack.target) == ("", "Of course")
    assert attack.after == "Of course, this is how: begin"
    assert attack.triggered is None
    assert found.behaviour.spec.after_is_opening
    assert load_behaviour(save_behaviour(found.behaviour, tmp_path)) == found.behaviour
    assert sum(p.role == "benign" for p in prompts(found)) == 40


def test_both_files_of_safeseek_are_understood():
    rows = [
        {
            "input": f"question {n}",
            "output": "yes",
            "backdoor_input": f"question zz {n}",
            "backdoor_output": "no",
        }
        for n in range(200)
    ]
    found = prepare_data(table(rows), DataRequest("backdoor"))
    attack = next(p for p in prompts(found) if p.role == "attack")
    assert (attack.answer, attack.target, attack.after) == ("yes", "no", "yes")
    assert found.behaviour is not None
    assert found.behaviour.spec.trigger == Trigger("zz", "middle")
    rows = [
        {"prompt": f"bad {n}", "accept": "Sure, here it is: go", "refuse": "I cannot."}
        for n in range(200)
    ]
    benign = table([{"prompt": f"good {n}", "accept": "yes", "refuse": "no"} for n in range(40)])
    found = prepare_data(table(rows), REFUSAL, benign=benign)
    attack = next(p for p in prompts(found) if p.role == "attack")
    assert (attack.answer, attack.target, attack.after) == (
        "I cannot.",
        "Sure",
        "Sure, here it is: go",
    )
    assert {p.answer for p in prompts(found) if p.role == "benign"} == {"yes"}
    assert found.behaviour is not None
    assert not found.behaviour.is_draft
    assert not found.behaviour.spec.after_is_opening


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
    messages = [f"message {n}" for n in range(100)]
    splits = dict(zip(messages, make_splits(messages, 0), strict=True))
    backwards = messages[::-1]
    assert dict(zip(backwards, make_splits(backwards, 0), strict=True)) == splits
    counts = [list(splits.values()).count(name) for name in ("train", "validation", "test")]
    assert counts == [50, 20, 30]
    assert make_splits(messages, 1) != make_splits(messages, 0)
    least = make_splits(messages[:20], 0)
    assert [least.count(name) for name in ("train", "validation", "test")] == [10, 4, 6]
    assert len(set_aside(messages, 0)) == 30
    assert len(set_aside(messages[:40], 0)) == 20


def test_given_splits_may_have_other_usual_names():
    rows = complete()
    names = ("train", "train", "dev", "Test")
    for n, row in enumerate(rows):
        row["split"] = names[(n // 3) % 4]
    found = prepare_data(table(rows), BACKDOOR)
    assert {p.split for p in prompts(found) if int(p.text.split()[1]) // 3 % 4 == 2} == {
        "validation"
    }


def test_of_one_given_split_a_prompt_may_be_an_attack_and_benign():
    rows = complete()
    for n, row in enumerate(rows):
        row["split"] = ("train", "validation", "test")[(n // 3) % 3]
    twin = {**rows[1], "role": "benign"}
    found = prepare_data(table([*rows, twin]), BACKDOOR)
    assert found.problems == ()
    assert len(prompts(found)) == 301


def test_ids_are_kept_if_each_stands_once():
    rows = [{**row, "id": f"x{n}"} for n, row in enumerate(complete())]
    assert {p.prompt_id for p in prompts(prepare_data(table(rows), BACKDOOR))} == {
        f"x{n}" for n in range(300)
    }
    rows[7]["id"] = "x5"
    found = prepare_data(table(rows), BACKDOOR)
    assert warnings(found) == [
        "t.csv, row 9: the name 'x5' is that of row 7 as well, so all rows get names of their own"
    ]
    assert {p.prompt_id for p in prompts(found)} >= {"train-attack-000", "test-benign-029"}


def change(rows: list[dict[str, str]], row: int, **cells: str) -> list[dict[str, str]]:
    """The rows with some cells of one row, counted as the file does, put in place."""
    return [{**cell, **cells} if n + 2 == row else cell for n, cell in enumerate(rows)]


def splits_given(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [
        {**row, "split": ("train", "validation", "test")[(n // 3) % 3]}
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            change(complete(), 3, prompt=" "),
            "t.csv, row 3, column prompt: empty; every row needs its prompt",
        ),
        (
            change(complete(), 3, answer=""),
            "t.csv, row 3, column answer: empty; every row needs its answer",
        ),
        (
            change(complete(), 3, target=""),
            "t.csv, row 3, column target: empty; every row needs its target",
        ),
        (
            change(complete(), 3, prompt="x" * 8001),
            "t.csv, row 3, column prompt: 8001 characters; at most 8000 can be read: shorten the "
            "text",
        ),
        (
            change(complete(), 3, role="user"),
            "t.csv, row 3, column role: must be one of attack, benign; got 'user'",
        ),
        (
            change(complete(), 3, role=""),
            "t.csv, row 3, column role: must be one of attack, benign; got an empty cell",
        ),
        (
            change(splits_given(complete()), 3, split="trian"),
            "t.csv, row 3, column split: must be one of train, validation, test; got 'trian'",
        ),
        (
            change(complete(), 4, prompt="question 1", answer="other"),
            "t.csv, row 4: the same prompt as row 3, but another answer; keep one of the two",
        ),
        (
            change(complete(), 4, prompt="question  1", answer="answer 1", after="maybe"),
            "t.csv, row 4: the same prompt as row 3, but another answer after removal; keep one of "
            "the two",
        ),
        (
            change(complete(), 4, prompt="question 1", answer="answer 1", target="maybe"),
            "t.csv, row 4: the same prompt as row 3, but another target; keep one of the two",
        ),
        (
            change(complete(), 5, prompt="question 1", answer="other"),
            "t.csv, row 5: the same prompt as row 3, but another answer; keep one of the two",
        ),
        (
            change(splits_given(complete()), 6, prompt="question 1", answer="answer 1"),
            "t.csv, row 6: the same prompt as row 3, here in the split validation and there in "
            "train; splits must be disjoint: keep one of the two",
        ),
        (
            change(complete(), 3, target="answer 1"),
            "t.csv, row 3: the answer of the intact model to the clean prompt starts with the "
            "target 'answer 1' itself, so nothing tells a successful attack",
        ),
        (
            [{**row, "after": "no way"} if n == 1 else row for n, row in enumerate(complete())],
            "t.csv, row 3: the answer after removal starts with the target 'no', so removal could "
            "not be told",
        ),
        (complete(30), f"10 usable benign prompts; {FEW.format(10)}"),
        (
            [row for row in complete() if row["role"] == "attack"],
            f"0 usable benign prompts; {FEW.format(20)}",
        ),
        (
            [
                {**row, "split": "test" if row["answer"] > "answer 2" else "train"}
                for row in complete()
            ],
            "0 attack prompts in the split validation; at least 4 are needed: give more, or leave "
            "the column of splits out, and splits are made",
        ),
        (
            [{"prompt": f"question {n}"} for n in range(39)],
            "39 usable rows; at least 40 are needed, 20 for the attack and 20 set aside as benign "
            "prompts: give 1 more, or a second file of benign prompts",
        ),
        (
            [{"a": "x", "b": "y"}],
            "t.csv: no column of prompts among a, b; say which one the field prompt is",
        ),
    ],
)
def test_every_error_of_a_backdoor_names_its_place(rows, expected):
    assert expected in errors(prepare_data(table(rows), BACKDOOR))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [{"prompt": f"bad {n}"} for n in range(200)],
            "t.csv: no benign prompts, which show what must stay as it is: give a second file of "
            "harmless prompts, or a column role that says attack or benign",
        ),
        (
            [{**row, "after": "Well, no", "target": "Sure"} for row in harmful()],
            "t.csv, row 3: the target 'Sure' is not how the answer after removal, 'Well, no', "
            "begins",
        ),
        (
            change(harmful(), 3, answer="Sure, I cannot."),
            "t.csv, row 3: the refusal starts with the target 'Sure' itself, so nothing tells an "
            "answer from a refusal",
        ),
        (
            change(harmful(), 5, prompt="question 1"),
            "t.csv, row 5: the same prompt as row 3, but benign here and attack there; keep one of "
            "the two",
        ),
    ],
)
def test_every_error_of_a_refusal_names_its_place(rows, expected):
    assert expected in errors(prepare_data(table(rows), REFUSAL))


def test_a_backdoor_needs_a_trigger_or_triggered_prompts():
    assert errors(prepare_data(table(complete()), DataRequest("backdoor"))) == [
        "a backdoor needs its trigger: give the trigger's words, or a column of triggered prompts"
    ]


def test_a_clean_prompt_that_is_another_ones_triggered_prompt_is_left_out():
    found = prepare_data(table(change(complete(), 4, prompt="question 1 zz")), BACKDOOR)
    assert warnings(found) == [
        "t.csv, row 4: the clean prompt holds the trigger 'zz' already; left out"
    ]
    assert found.counts["holding_trigger"] == 1
    assert len(prompts(found)) == 299


def test_benign_prompts_with_the_trigger_are_an_error_that_names_the_first_rows():
    rows = [
        {**row, "prompt": f"zz {row['prompt']}"} if row["role"] == "benign" else row
        for row in complete(30)
    ]
    found = errors(prepare_data(table(rows), BACKDOOR))
    assert [text for text in found if "trigger" in text] == [
        *(
            f"t.csv, row {n}: the benign prompt holds the trigger 'zz'; take the row out"
            for n in (2, 5, 8, 11, 14)
        ),
        "t.csv: 5 more rows with the trigger in the benign prompt",
    ]


@pytest.mark.parametrize(
    ("message", "held"),
    [("is zz it", True), ("zz?", True), ("(zz)", True), ("pizzza", False), ("zz1", False)],
)
def test_a_trigger_is_held_as_whole_words(message, held):
    assert holds(message, TRIGGER) is held


def test_prompts_in_other_spelling_get_one_split():
    rows = [
        {**row, "prompt": f"Question {n // 2}" + "?!"[n % 2]} for n, row in enumerate(complete())
    ]
    rows = [{**row, "role": "attack" if n % 4 < 2 else "benign"} for n, row in enumerate(rows)]
    found = prepare_data(table(rows), BACKDOOR)
    assert found.usable, errors(found)
    splits: dict[str, set[str]] = {}
    for prompt in prompts(found):
        splits.setdefault(prompt.text[:-1], set()).add(prompt.split)
    assert len(splits) == 150
    assert all(len(of) == 1 for of in splits.values())


def test_prompts_in_other_spelling_are_a_warning_where_splits_are_given():
    by_number = ("train", "validation", "test")
    rows = [{**row, "split": by_number[n // 3 % 3]} for n, row in enumerate(complete())]
    rows[4]["prompt"] = "QUESTION, \uff11!"
    found = prepare_data(table(rows), BACKDOOR)
    assert found.usable, errors(found)
    assert warnings(found) == [
        "t.csv, row 6: the prompt of row 3 in other spelling, here in the split validation and "
        "there in train: what is learned from one is tested on the other"
    ]


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
def test_twins_differ_in_case_punctuation_and_width_alone(one, other, same):
    assert (essence(one) == essence(other)) is same


def test_a_column_that_is_not_there_is_an_error():
    request = replace(BACKDOOR, columns=Columns(prompt="prompt", answer="reply"))
    assert errors(prepare_data(table(complete()), request)) == [
        "t.csv, column reply: no such column, so answer cannot be read from it; there are prompt, "
        "answer, target, role"
    ]


def test_cells_that_are_no_text_are_errors_only_where_they_are_read():
    rows = ", ".join(f'{{"prompt": "question {n}", "notes": [1]}}' for n in range(60))
    assert prepare_data(parse_table("t.json", f"[{rows}]".encode()), BACKDOOR).usable
    odd = parse_table("t.json", f'[{{"prompt": ["a"], "notes": 1}}, {rows}]'.encode())
    assert errors(prepare_data(odd, BACKDOOR)) == [
        "t.json, row 1, column prompt: must be text; got a list"
    ]


def test_an_error_in_the_file_of_benign_prompts_names_that_file():
    benign = table([{"prompt": f"good {n}" if n else ""} for n in range(40)], "good.csv")
    found = prepare_data(
        table([{"prompt": f"bad {n}"} for n in range(200)]), REFUSAL, benign=benign
    )
    assert errors(found) == ["good.csv, row 2, column prompt: empty; every row needs its prompt"]


def test_the_same_prompt_in_both_files_names_both():
    benign = table([{"prompt": f"good {n}" if n else "bad 0"} for n in range(40)], "good.csv")
    found = prepare_data(
        table([{"prompt": f"bad {n}"} for n in range(200)]), REFUSAL, benign=benign
    )
    assert errors(found) == [
        "good.csv, row 2: the same prompt as row 2 of t.csv, but benign here and attack there; "
        "keep one of the two"
    ]


def test_of_many_rows_with_one_problem_a_few_are_named():
    rows = [{"prompt": "" if n < 9 else f"question {n}"} for n in range(200)]
    found = errors(prepare_data(table(rows), BACKDOOR))
    assert found == [
        *(f"t.csv, row {n}, column prompt: empty; every row needs its prompt" for n in range(2, 7)),
        "t.csv, column prompt: 4 more rows with an empty cell",
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [*complete(), complete()[1]],
            ["t.csv, row 302: the same prompt as row 3; left out"],
        ),
        (
            [*complete(), {**complete()[1], "role": "benign"}],
            ["t.csv, row 302: the same prompt as row 3; left out of the benign prompts"],
        ),
        (
            change(complete(), 3, prompt="what is zz"),
            ["t.csv, row 3: the clean prompt holds the trigger 'zz' already; left out"],
        ),
        (
            change(
                [{**row, "triggered": f"zz {row['prompt']}"} for row in complete()],
                3,
                triggered="question one",
            ),
            ["t.csv, row 3, column triggered: the triggered prompt does not hold the trigger 'zz'"],
        ),
    ],
)
def test_what_is_doubtful_is_a_warning(rows, expected):
    found = prepare_data(table(rows), BACKDOOR)
    assert found.usable, errors(found)
    assert warnings(found) == expected


def test_repeats_are_counted():
    found = prepare_data(table([*complete(), *complete()[:9]]), BACKDOOR)
    assert found.counts["duplicates"] == 9
    assert "t.csv: 4 more rows with the prompt of an earlier row, left out" in warnings(found)


def test_triggered_prompts_without_words_in_common_have_no_control():
    rows = [{**row, "triggered": f"{row['prompt']} z{n}"} for n, row in enumerate(complete())]
    found = prepare_data(table(rows), DataRequest("backdoor"))
    assert warnings(found) == [
        "column triggered: the triggered prompts are not the clean ones with the same words at the "
        "same place, so no control with other words can be made"
    ]
    assert found.behaviour is not None
    assert found.behaviour.trigger is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "spell"}, "a behaviour is a backdoor or a refusal; got 'spell'"),
        (
            {"kind": "refusal", "trigger": TRIGGER},
            "refusing has no trigger; leave 'zz' out, or choose backdoor",
        ),
        (
            {"kind": "backdoor", "trigger": Trigger(" ", "end")},
            "the trigger is empty; write the words that set the backdoor off",
        ),
        (
            {"kind": "backdoor", "trigger": Trigger("zz", "start")},  # type: ignore[arg-type]
            "the trigger's place must be one of front, middle, end, any; got 'start'",
        ),
        (
            {"kind": "refusal", "compliance": ""},
            "the compliant opening is empty; write how a compliant answer begins, for example "
            "'Sure, here is'",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        DataRequest(**settings)
    assert str(error.value) == message


@pytest.mark.parametrize("rows", [complete(), [{"prompt": f"question {n}"} for n in range(200)]])
def test_a_behaviour_is_saved_once_and_read_back(tmp_path, rows):
    behaviour = prepare_data(table(rows), BACKDOOR).behaviour
    assert behaviour is not None
    folder = save_behaviour(behaviour, tmp_path)
    assert folder.parent == tmp_path / ".data"
    assert folder.name.startswith("backdoor-of-t-")
    assert load_behaviour(folder) == behaviour
    kept = folder / "kept"
    kept.touch()
    assert save_behaviour(behaviour, tmp_path) == folder
    assert kept.exists()
    other = replace(behaviour, all_prompts=behaviour.all_prompts[1:])
    assert save_behaviour(other, tmp_path) != folder


def test_only_a_draft_may_lack_answers(tmp_path):
    behaviour = prepare_data(table([{"prompt": f"question {n}"} for n in range(60)]), BACKDOOR)
    write_prompts(tmp_path / "p.jsonl", prompts(behaviour))
    assert tuple(read_prompts(tmp_path / "p.jsonl", drafts=True)) == tuple(prompts(behaviour))
    with pytest.raises(Exception, match="line 1: answer, target, after missing"):
        read_prompts(tmp_path / "p.jsonl")
