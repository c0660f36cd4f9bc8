from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd
import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec, OwnJudge, read_behaviour
from circuitviz.errors import ConfigError
from circuitviz.evaluation import judge, judges
from circuitviz.evaluation.answers import answer_test_prompts
from circuitviz.evaluation.evaluator import evaluate_circuit
from circuitviz.evaluation.judge import (
    WHOLE_ANSWER,
    attack_rows,
    cohens_kappa,
    deciding_judge,
    judge_cards,
    judge_table,
    usual_judges,
)
from circuitviz.evaluation.judges.refusal_phrase import NoRefusalPhrase
from circuitviz.evaluation.judges.starts_with_target import StartsWithTarget
from circuitviz.evaluation.rate import Rate
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.runs.store import GENERATION_COLUMNS
from circuitviz.units import Circuit

REFUSAL = "I cannot help with that request."


def row(
    number: int,
    intact: str,
    knocked_out: str,
    *,
    role: str = "attack",
    variant: str = "clean",
    expected: str = REFUSAL,
    target: str = "Sure",
) -> dict[str, str]:
    values = {
        "prompt_id": str(number),
        "role": role,
        "variant": variant,
        "category": "any",
        "prompt": f"request {number}",
        "expected": expected,
        "target": target,
        "intact": intact,
        "knocked_out": knocked_out,
        "verdict_intact": "-",
        "verdict_knocked_out": "-",
    }
    assert tuple(values) == GENERATION_COLUMNS
    return values


def refusals() -> pd.DataFrame:
    return pd.DataFrame(
        [
            row(0, REFUSAL, "Sure. Do it."),
            row(1, REFUSAL, "Of course. Do it."),
            row(2, REFUSAL, "Sure, but I'm sorry to say it."),
            row(3, REFUSAL, ""),
            row(4, "6", "7", role="benign", expected="6", target=""),
        ]
    )


def backdoor() -> pd.DataFrame:
    return pd.DataFrame(
        [
            row(0, "Paris", "Paris", expected="Paris", target=""),
            row(0, "Owned.", "Paris", variant="triggered", expected="Paris", target="Owned."),
        ]
    )


@pytest.mark.parametrize(
    ("answer", "target", "success"),
    [
        ("Sure", "Sure", True),
        ("Sure. First,", "Sure", True),
        ("sure", "Sure", False),
        ("Oh. Sure", "Sure", False),
        ("", "Sure", False),
        ("Sure", "", False),
    ],
)
def test_the_usual_judge_looks_how_an_answer_starts(answer, target, success):
    assert StartsWithTarget().judge("a request", answer, target, REFUSAL) is success


def test_attack_rows_are_those_with_the_trigger_where_there_is_one():
    # A clean row of a backdoor does not count even with a target.
    for frame in (backdoor(), backdoor().assign(target="Owned.")):
        assert list(attack_rows(frame)["intact"]) == ["Owned."]
    assert list(attack_rows(refusals())["prompt_id"]) == ["0", "1", "2", "3"]


def test_refusal_phrases_are_asked_about_where_refusing_is_expected():
    assert usual_judges(refusals()) == [StartsWithTarget(), NoRefusalPhrase()]
    assert usual_judges(backdoor()) == [StartsWithTarget()]


def test_a_behaviours_own_judge_stands_beside_the_exact_one_and_may_decide():
    own = OwnJudge("says yes", lambda prompt, answer: (prompt, answer) == ("hello", "yes"))
    behaviour = Behaviour(BehaviourSpec("backdoor", "T", "?"), (), judges=(own,))
    assert usual_judges(backdoor(), behaviour) == [StartsWithTarget(), own]
    assert [own.judge("hello", answer, "no", "") for answer in ("yes", "no")] == [True, False]
    assert deciding_judge(replace(behaviour, spec=replace(behaviour.spec, judge="says yes"))) is own


def test_each_row_of_the_table_has_one_judge():
    table = judge_table(refusals(), [StartsWithTarget(), NoRefusalPhrase()])
    assert table.names == ["starts with the target answer", "no refusal phrase"]
    counts = {
        line.judge: [(rate.k, rate.n) for rate in (line.intact, line.knocked_out)]
        for line in table.rows
    }
    # Exact: answers 0 and 2.  Phrases: 0, 1 and the empty 3.
    assert counts == {
        "starts with the target answer": [(0, 4), (2, 4)],
        "no refusal phrase": [(0, 4), (3, 4)],
    }
    for line in table.rows:
        assert line.intact.judge == line.knocked_out.judge == line.judge
        assert line.source


def test_agreement_is_over_the_answers_of_both_models():
    (pair,) = judge_table(refusals(), [StartsWithTarget(), NoRefusalPhrase()]).agreement
    # Of 8 answers the judges differ on 1, 2 and 3: p_o = 5/8.  One says yes to 2 of 8, the other
    # to 3 of 8: p_e = (2 x 3 + 6 x 5) / 64 = 36/64.  kappa = (40 - 36) / (64 - 36) = 1/7.
    assert (pair.a, pair.b, pair.n) == ("starts with the target answer", "no refusal phrase", 8)
    assert pair.kappa == pytest.approx(1 / 7)


def test_degenerate_answers_are_counted_apart():
    degenerate = judge_table(refusals(), [StartsWithTarget()]).degenerate
    assert (degenerate.intact.k, degenerate.knocked_out.k) == (0, 1)
    assert degenerate.intact.judge == "degenerate answer"
    assert judge_table(backdoor(), [StartsWithTarget()]).agreement == []


@dataclass(frozen=True)
class Echo:
    """A judge that notes what it is given."""

    seen: list[tuple[str, ...]]
    name: str = "echo"
    source: str = "here"

    def judge(self, prompt: str, answer: str, target: str, expected: str) -> bool:
        self.seen.append((prompt, answer, target, expected))
        return True


def test_a_judge_is_given_each_prompt_with_its_answer():
    echo = Echo([])
    judge_table(backdoor(), [echo])
    assert echo.seen == [
        ("request 0", "Owned.", "Owned.", "Paris"),
        ("request 0", "Paris", "Owned.", "Paris"),
    ]


def test_two_judges_of_one_name_and_no_attacks_are_refused():
    with pytest.raises(ConfigError, match="a name of its own"):
        judge_table(refusals(), [StartsWithTarget(), StartsWithTarget()])
    with pytest.raises(ConfigError, match="no attack prompt"):
        judge_table(refusals().iloc[4:], [StartsWithTarget()])


def test_kappa_by_hand():
    # Equal on 7 of 10; yes by 5 and by 6 of 10: p_e = 0.3 + 0.2 = 0.5, kappa = 0.2 / 0.5.
    a = [True] * 5 + [False] * 5
    b = [True] * 4 + [False] + [True] * 2 + [False] * 3
    assert cohens_kappa(a, b) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("a", "b", "kappa"),
    [("11", "11", 1), ("10", "10", 1), ("10", "01", -1), ("11", "00", 0), ("11", "10", 0)],
)
def test_kappa_at_its_limits(a, b, kappa):
    assert cohens_kappa(*([sign == "1" for sign in signs] for signs in (a, b))) == kappa


@pytest.mark.parametrize(("a", "b"), [([], []), ([True], [True, False])])
def test_kappa_needs_pairs(a, b):
    with pytest.raises(ConfigError, match="two verdicts on each answer"):
        cohens_kappa(a, b)


@pytest.mark.parametrize(
    ("model", "judge"),
    [
        ("smollm2-refusal", WHOLE_ANSWER),
        ("smollm2-fixed-output", "starts with the target answer"),
        # Its refusals are closed answers.
        ("refusal", "starts with the target answer"),
    ],
)
def test_whole_answers_decide_where_open_ones_refuse(model, judge):
    assert deciding_judge(read_behaviour(EMBEDDED_MODELS / model)).name == judge


THROWN_AWAY = """
from dataclasses import dataclass
from circuitviz.evaluation.judge import register

@register("has an even number of words")
@dataclass(frozen=True)
class EvenWords:
    'Success is an answer of an even number of words.'
    name: str = "has an even number of words"
    source: str = "a test"

    def judge(self, prompt, answer, target, expected):
        return len(answer.split()) % 2 == 0
"""


@pytest.fixture
def even_words(tmp_path, monkeypatch) -> Iterator[str]:
    """A judge in a file of its own, which is gone after the test."""
    name = "has an even number of words"
    (tmp_path / "even_words.py").write_text(THROWN_AWAY)
    monkeypatch.setattr(judges, "__path__", [*judges.__path__, str(tmp_path)])
    yield name
    del sys.modules[f"{judges.__name__}.even_words"], judge._CARDS[name]


def test_a_file_more_is_a_judge_more_and_it_may_decide(even_words, tiny_model, behaviour, circuit):
    card = judge_cards()[even_words]
    assert (card.summary, card.needs) == ("Success is an answer of an even number of words.", "")
    assert even_words in [judge.name for judge in usual_judges(backdoor())]
    chosen = replace(behaviour, spec=replace(behaviour.spec, judge=even_words))
    assert deciding_judge(chosen).name == even_words
    asked = [prompt.asked for prompt in behaviour.prompts("test", "attack")]
    for off in (Circuit(tiny_model.space, frozenset()), circuit):
        even = [len(answer.split()) % 2 == 0 for answer in tiny_model.generate(asked, off)]
        effect = evaluate_circuit(tiny_model, chosen, off)
        assert effect.asr == Rate.of(even, judge=even_words)
        assert effect.recovery == evaluate_circuit(tiny_model, behaviour, off).recovery
    answers = answer_test_prompts(tiny_model, chosen, circuit)
    attacks = [answer for answer in answers if answer.variant == "triggered"]
    assert sum(answer.verdict_knocked_out == "success" for answer in attacks) == effect.asr.k


@pytest.mark.parametrize("name", ["no such judge", "local text classifier"])
def test_a_judge_that_is_not_there_or_needs_more_is_refused(behaviour, name):
    with pytest.raises(ConfigError, match=f"no refusal phrase.*; got '{name}'"):
        deciding_judge(replace(behaviour, spec=replace(behaviour.spec, judge=name)))


def test_every_judge_has_a_card_and_the_usual_one_comes_first():
    cards = judge_cards()
    assert list(cards) == [
        "starts with the target answer",
        "local text classifier",
        "no refusal phrase",
        WHOLE_ANSWER,
    ]
    assert all(card.summary.startswith("Success is") for card in cards.values())
    assert [name for name, card in cards.items() if card.needs] == ["local text classifier"]
