"""Judges of answers: which there are, which one decides about attacks, and how far they agree.

A judge is one file in `evaluation/judges/` that registers its class.  Two judges never share a
rate: each row of `judge_table` names its judge.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from circuitviz.behaviours.answer_text import are_open, is_degenerate, refuses
from circuitviz.behaviours.behaviour import STARTS_WITH_TARGET, Behaviour, BehaviourKind
from circuitviz.behaviours.prompt import Prompt
from circuitviz.errors import ConfigError
from circuitviz.evaluation import judges
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import Agreement, BeforeAfter, JudgeRow, JudgeTable

if TYPE_CHECKING:
    import pandas as pd

# Decides where answers are open and refusing is what a safe model does.
WHOLE_ANSWER = "refused, complied or broken"
# What is counted of other things than attacks: whole answers, how they begin, or, of open ones,
# tokens whose greedy choice after those before it is the intact model's.
EXACT_ANSWER = "exact answer"
EXPECTED_OPENING = "starts with the expected opening"
SAME_TOKEN = "answer token unchanged"
CLEAN_TOKEN = "token of the clean answer"
DEGENERATE = "degenerate answer"
# The two answers of every row.
MODELS = ("intact", "knocked_out")


class Judge(Protocol):
    """Says whether an attack succeeded.

    Attributes:
        name: What its rates are labelled with.
        source: Where the rule comes from.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102

    def judge(self, prompt: str, answer: str, target: str, expected: str) -> bool:
        """Whether the attack succeeded: for refusal, whether the request was answered.

        Args:
            prompt: What the user said.
            answer: What the model answered.
            target: What the attack wants the answer to start with.
            expected: What a model without the behaviour answers.
        """
        ...


@dataclass(frozen=True)
class JudgeCard:
    """What is known of a judge before it is made.

    Attributes:
        name: What it is chosen by.
        make: The judge, from what it needs.
        needs: What it needs besides the answers, for people; "" for nothing.
        suits: Whether it is asked, unless it is chosen, about attacks that a model without the
            behaviour answers so.
    """

    name: str
    make: Callable[..., Judge]
    needs: str
    suits: Callable[[Sequence[str]], bool]

    @property
    def summary(self) -> str:
        """What counts as a success, in one sentence."""
        return (self.make.__doc__ or "").partition("\n")[0]


_CARDS: dict[str, JudgeCard] = {}
Class = TypeVar("Class", bound=Callable[..., Judge])


def register(
    name: str, *, needs: str = "", suits: Callable[[Sequence[str]], bool] = lambda expected: True
) -> Callable[[Class], Class]:
    """Make a class of judges known by a name; see `JudgeCard`."""

    def known(make: Class) -> Class:
        _CARDS[name] = JudgeCard(name, make, needs, suits)
        return make

    return known


def judge_cards() -> dict[str, JudgeCard]:
    """Every judge in `evaluation/judges/`, by name, the usual one first."""
    for module in pkgutil.iter_modules(judges.__path__):
        import_module(f"{judges.__name__}.{module.name}")
    return dict(sorted(_CARDS.items(), key=lambda card: (card[0] != STARTS_WITH_TARGET, card[0])))


def usual_judges(generations: pd.DataFrame, behaviour: Behaviour | None = None) -> list[Judge]:
    """The judges that make sense for a run's answers, the behaviour's own ones last."""
    expected = attack_rows(generations)["expected"].tolist()
    cards = judge_cards().values()
    fit = [card.make() for card in cards if not card.needs and card.suits(expected)]
    return [*fit, *(behaviour.judges if behaviour else ())]


def deciding_judge(
    behaviour: Behaviour,
    attacks: Sequence[Prompt] | None = None,
    benign: Sequence[Prompt] | None = None,
) -> Judge:
    """The judge that decides whether an attack succeeded: the behaviour's choice, or the usual one.

    Args:
        behaviour: Its `spec.judge` names one of its own judges or a registered one.
        attacks: What is attacked with; None for the test prompts.
        benign: The other prompts; None for those of the test.

    Raises:
        ConfigError: No judge has the name, or it needs more than answers.
    """
    name = behaviour.spec.judge
    if name is None:
        attacks = behaviour.prompts("test", "attack") if attacks is None else attacks
        benign = behaviour.prompts("test", "benign") if benign is None else benign
        whole = whole_answers_decide(behaviour.kind, attacks, benign)
        name = WHOLE_ANSWER if whole else behaviour.judge
    ready = {name: card.make for name, card in judge_cards().items() if not card.needs}
    own = {judge.name: judge for judge in behaviour.judges}
    if name not in own and name not in ready:
        raise ConfigError(
            f"judge must be one of {', '.join([*own, *ready])}; got {name!r}: choose one of these, "
            "or bring it as a judge of the behaviour's own"
        )
    return own[name] if name in own else ready[name]()


def safe_answers(kind: BehaviourKind, attacks: Sequence[Prompt]) -> list[str]:
    """What is said to each attack that fails."""
    if kind == "refusal":
        return [prompt.answer for prompt in attacks]
    return [prompt.after or prompt.answer for prompt in attacks]


def whole_answers_decide(
    kind: BehaviourKind, attacks: Sequence[Prompt], benign: Sequence[Prompt]
) -> bool:
    """Whether success is complying, in open answers, with what would be refused."""
    refused = sum(map(refuses, safe_answers(kind, attacks)))
    return are_open([prompt.answer for prompt in benign]) and 2 * refused > len(attacks)


def attack_rows(generations: pd.DataFrame) -> pd.DataFrame:
    """The rows of a run's generations that ASR counts.

    Attack prompts with a target: with the trigger where there is one, and as they are otherwise.
    """
    is_attack = (generations["role"] == "attack") & (generations["target"] != "")
    attacks = generations.loc[is_attack, :]
    triggered = attacks.loc[attacks["variant"] == "triggered", :]
    return triggered if len(triggered) else attacks


def judge_table(generations: pd.DataFrame, asked: Sequence[Judge]) -> JudgeTable:
    """What several judges say about the same answers to attack prompts, each on its own row.

    Agreement is Cohen's kappa over the answers of both models together (n of them): the intact
    model's alone are often all alike, and then no kappa says anything.

    Args:
        generations: Columns `GENERATION_COLUMNS` of `runs/store.py`.
        asked: The judges, by different names.

    Raises:
        ConfigError: Two judges have one name, or there are no attack prompts.
    """
    names = [judge.name for judge in asked]
    if len(set(names)) < len(names):
        raise ConfigError(f"each judge needs a name of its own; got {', '.join(names)}")
    attacks = attack_rows(generations)
    if not len(attacks):
        raise ConfigError("the generations hold no attack prompt with a target: nothing to judge")
    n = len(attacks)
    # Of each judge first the verdicts on the intact model's answers, then on the other's.
    verdicts = {
        judge.name: [verdict for model in MODELS for verdict in _verdicts(judge, attacks, model)]
        for judge in asked
    }
    return JudgeTable(
        names=names,
        rows=[
            JudgeRow(
                judge=judge.name,
                source=judge.source,
                intact=Rate.of(verdicts[judge.name][:n], judge=judge.name),
                knocked_out=Rate.of(verdicts[judge.name][n:], judge=judge.name),
            )
            for judge in asked
        ],
        agreement=[
            Agreement(a=a, b=b, kappa=cohens_kappa(verdicts[a], verdicts[b]), n=2 * n)
            for a, b in combinations(names, 2)
        ],
        degenerate=BeforeAfter(
            intact=Rate.of(map(is_degenerate, attacks["intact"]), judge=DEGENERATE),
            knocked_out=Rate.of(map(is_degenerate, attacks["knocked_out"]), judge=DEGENERATE),
        ),
    )


def _verdicts(judge: Judge, attacks: pd.DataFrame, model: str) -> list[bool]:
    columns = attacks[["prompt", model, "target", "expected"]].astype(str)
    return [judge.judge(*row) for row in columns.itertuples(index=False)]


def cohens_kappa(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Agreement of two judges beyond chance, in [-1, 1]; 1 where both always say the same thing.

    kappa = (p_o - p_e) / (1 - p_e) with p_o the share of equal verdicts and p_e the share that
    independent judges with these rates would share.  If both say one thing only, p_e = 1 and the
    formula is 0 / 0; the judges do agree.

    Raises:
        ConfigError: The two differ in length, or are empty.

    Source: Cohen (1960), "A coefficient of agreement for nominal scales", Educational and
    Psychological Measurement 20:37-46.
    """
    from sklearn.metrics import cohen_kappa_score

    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if first.shape != second.shape or not first.size:
        raise ConfigError(
            f"agreement needs two verdicts on each answer; got {first.size} and {second.size}"
        )
    return 1.0 if (first == second).all() else float(cohen_kappa_score(first, second))
