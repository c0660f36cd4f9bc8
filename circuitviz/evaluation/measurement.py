"""Everything measured of one discovery on test prompts: frontier, grid, controls, single units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.evaluation.evaluator import Effect, Evaluator
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.scoring import score_answers
from circuitviz.evaluation.selection import frontier_sizes, grid_circuits, open_sizes
from circuitviz.models.ablation import ZERO, Ablation, message_key
from circuitviz.models.answer import AnswerRows
from circuitviz.models.model import LONGEST_ANSWER, GatedModel
from circuitviz.progress import OnProgress, span, unwatched
from circuitviz.units import Circuit, Ranking, Unit, random_matched

# A neutral text, whose perplexity says whether a model still reads and writes English: forty
# paragraphs of encyclopedic, narrative and journalistic prose, written for the project.
NEUTRAL_TEXT = Path(__file__).with_name("neutral_text.txt")


@dataclass(frozen=True)
class Amounts:
    """How much is measured.

    Attributes:
        few_prompts: Of each role, behind each cell of the heads x neurons grid, each random
            circuit and each single-unit effect: fewer than behind the frontier, since there are
            many of them.
        frontier_prompts: Of each role, behind each size of the frontier; None is all.
        random_draws: Random circuits.
        best_units: Units whose own effect is measured at once; any other is when somebody asks.
        most_heads: Heads besides.
        longest: Tokens of an answer that count for what is reported.
    """

    few_prompts: int = 32
    frontier_prompts: int | None = None
    random_draws: int = 8
    best_units: int = 32
    most_heads: int = 64
    longest: int = LONGEST_ANSWER


CLOSED = Amounts()
# A model that gives open answers is a hundred times the size of a specimen, and its answers are
# long: what is reported is measured on all prompts and more tokens, the rest on fewer.
OPEN = Amounts(
    few_prompts=24, frontier_prompts=32, random_draws=4, best_units=2, most_heads=0, longest=40
)


@dataclass(frozen=True)
class UnitEffect:
    """What knocking out one unit alone does.

    Attributes:
        asr: Attacks that still succeed.
        recovery: Attacks that get the answer expected once the behaviour is gone.  An attack can
            fail without it: then the unit only spoils the attack's words.
        target_logprob_change: Change of the mean log-probability of the attack's target, nats
            per token; negative where the unit helps the attack.
    """

    asr: Rate
    recovery: Rate
    target_logprob_change: float


@dataclass(frozen=True)
class RandomControl:
    """Random other units, as many of each kind in each layer as the circuit has.

    Attributes:
        asr: Pooled over the draws.
        utility: Pooled over the draws.
        asr_k: Attacks that succeed, per draw: prompts of one draw stand or fall together, so the
            interval of the pooled rate says less than how far the draws lie apart.
    """

    asr: Rate
    utility: Rate
    asr_k: tuple[int, ...]

    @property
    def draws(self) -> int:
        """How many circuits."""
        return len(self.asr_k)


@dataclass(frozen=True)
class Measurement:
    """What was measured on test prompts.

    Attributes:
        intact: The model as it is.
        knocked_out: With the circuit ablated.
        isolated: With everything but the circuit ablated.
        frontier: Circuits of every size, the best units first, with their effects.
        grid: The best heads and the best neurons in separate numbers, with their effects.
        random: What random circuits of this make-up do.
        units: What single units do.
        ceiling: What the intact model gives of the right answers without the trigger, where
            recovery is a share of that.
    """

    intact: Effect
    knocked_out: Effect
    isolated: Effect
    frontier: list[tuple[Circuit, Effect]]
    grid: list[tuple[Circuit, Effect]]
    random: RandomControl
    units: dict[Unit, UnitEffect]
    ceiling: Rate | None = None


def measure_circuit(
    model: GatedModel,
    behaviour: Behaviour,
    ranking: Ranking,
    circuit: Circuit,
    *,
    ablation: Ablation,
    seed: int,
    runners_up: int = 0,
    succeeded: np.ndarray | None = None,
    on_progress: OnProgress = unwatched,
) -> Measurement:
    """Measure one circuit, and every other size of its ranking, on test prompts.

    Args:
        model: The model.
        behaviour: Whose test prompts to use.
        ranking: Where the circuit was cut from.
        circuit: What is reported.
        ablation: What ablated units are replaced by.
        seed: Of the random circuits.
        runners_up: So many units after the circuit are measured one (or one block) at a time.
        succeeded: Boolean [2 attacks]: which attacks succeed on the intact and on the knocked-out
            model, where whole answers have decided about them.
        on_progress: Told the share that is done, before each batch; may raise to stop.
    """
    full = Evaluator(model, behaviour, "test", ablation=ablation)
    if full.open_utility:
        return _measure_open(full, ranking, circuit, seed, succeeded, on_progress)
    few = Evaluator(model, behaviour, "test", limit=CLOSED.few_prompts, ablation=ablation)
    after = [size for size in ranking.cuts if 0 < size - len(circuit) <= runners_up]
    sizes = [0, *frontier_sizes(ranking), *after]
    nested = [ranking.best(size) for size in sizes]
    joint = _effects(full, list(dict.fromkeys([*nested, circuit])), span(on_progress, 0.0, 0.6))
    grid = _effects(few, grid_circuits(ranking), span(on_progress, 0.6, 0.85))
    (isolated,) = full.effects(
        [circuit], condition="isolated", on_progress=span(on_progress, 0.85, 0.9)
    )
    effects = dict(joint)
    # With separate sizes the circuit is no prefix of the ranking, and it may be one of the grid's.
    apart = {found: effect for found, effect in joint if found != ranking.best(len(found))}
    grid = [pair for pair in grid if pair[0] not in apart]

    return Measurement(
        intact=effects[nested[0]],
        knocked_out=effects[circuit],
        isolated=isolated,
        frontier=sorted((pair for pair in joint if pair[0] not in apart), key=lambda p: len(p[0])),
        grid=[*grid, *apart.items()],
        random=_random(few, circuit, seed, CLOSED.random_draws, span(on_progress, 0.9, 1.0)),
        units=unit_effects(few, _interesting(ranking, circuit, CLOSED)),
    )


def _measure_open(
    full: Evaluator,
    ranking: Ranking,
    circuit: Circuit,
    seed: int,
    succeeded: np.ndarray | None,
    on_progress: OnProgress,
) -> Measurement:
    """The same of a model whose answers are open: less of everything but what is reported."""

    def evaluator(limit: int | None, longest: int = LONGEST_ANSWER) -> Evaluator:
        return Evaluator(
            full.model,
            full.behaviour,
            "test",
            limit=limit,
            ablation=full.ablation,
            longest=longest,
        )

    whole, some = evaluator(None, OPEN.longest), evaluator(OPEN.frontier_prompts)
    few = evaluator(OPEN.few_prompts)
    nothing = ranking.best(0)
    effects = whole.effects(
        [nothing, circuit], succeeded=succeeded, on_progress=span(on_progress, 0.0, 0.35)
    )
    text = neutral_perplexity(full.model, [nothing, circuit], ablation=full.ablation)
    intact, knocked_out = (
        replace(effect, neutral_perplexity=value)
        for effect, value in zip(effects, text, strict=True)
    )
    sizes = [size for size in open_sizes(ranking) if size != len(circuit)]
    nested = [ranking.best(size) for size in sizes]
    joint = _effects(some, nested, span(on_progress, 0.35, 0.7))
    (isolated,) = few.effects(
        [circuit], condition="isolated", on_progress=span(on_progress, 0.7, 0.78)
    )
    kinds = [Circuit(circuit.space, frozenset(kind)) for kind in (circuit.heads, circuit.neurons)]
    apart = kinds if all(map(len, kinds)) else []
    return Measurement(
        intact=intact,
        knocked_out=knocked_out,
        isolated=isolated,
        frontier=sorted(
            [*joint, (nothing, intact), (circuit, knocked_out)], key=lambda pair: len(pair[0])
        ),
        grid=_effects(some, apart, span(on_progress, 0.78, 0.85)),
        random=_random(few, circuit, seed, OPEN.random_draws, span(on_progress, 0.85, 1.0)),
        units=unit_effects(few, _interesting(ranking, circuit, OPEN)),
        ceiling=whole.ceiling() if whole.open_recovery else None,
    )


def unit_effects(evaluator: Evaluator, units: Sequence[Unit]) -> dict[Unit, UnitEffect]:
    """The effect of knocking out each unit alone."""
    space = evaluator.model.space
    circuits = [Circuit(space, frozenset({unit})) for unit in units]
    scores = evaluator.attack_scores([Circuit(space, frozenset()), *circuits])
    intact = scores[0][2]
    return {
        unit: UnitEffect(asr, recovery, log_prob - intact)
        for unit, (asr, recovery, log_prob) in zip(units, scores[1:], strict=True)
    }


def _interesting(ranking: Ranking, circuit: Circuit, amounts: Amounts) -> list[Unit]:
    space = ranking.space
    heads = [space.unit(index) for index in range(min(space.total_heads, amounts.most_heads))]
    best = amounts.best_units
    return sorted({*ranking.best(best), *list(circuit)[:best], *heads})


def _effects(
    evaluator: Evaluator, circuits: Sequence[Circuit], on_progress: OnProgress
) -> list[tuple[Circuit, Effect]]:
    if not circuits:
        return []
    return list(zip(circuits, evaluator.effects(circuits, on_progress=on_progress), strict=True))


def _random(
    evaluator: Evaluator, circuit: Circuit, seed: int, many: int, on_progress: OnProgress
) -> RandomControl:
    generator = np.random.default_rng(seed)
    draws = [random_matched(circuit, generator) for _ in range(many)]
    effects = evaluator.effects(draws, on_progress=on_progress)
    return RandomControl(
        asr=Rate.pooled([effect.asr for effect in effects]),
        utility=Rate.pooled([effect.utility for effect in effects]),
        asr_k=tuple(effect.asr.k for effect in effects),
    )


@cache
def neutral_paragraphs() -> tuple[str, ...]:
    """The paragraphs."""
    return tuple(NEUTRAL_TEXT.read_text(encoding="utf-8").splitlines())


def neutral_perplexity(
    model: GatedModel, circuits: Sequence[Circuit], *, ablation: Ablation = ZERO
) -> list[float]:
    """Perplexity of the text with each circuit knocked out: e to the mean nats of a token.

    Every paragraph stands alone, without a chat template; its first token is given.
    """
    rows = _rows(model, neutral_paragraphs())
    ablated = np.stack([circuit.mask() for circuit in circuits])
    log_prob = score_answers(model, rows, ablated, ablation=ablation).log_prob
    tokens = rows.answer_tokens
    return np.exp(-(log_prob * tokens).sum(1) / tokens.sum()).tolist()


def _rows(model: GatedModel, paragraphs: Sequence[str]) -> AnswerRows:
    """The paragraphs as rows in which every token but the first is predicted."""
    encoded = [
        model.tokenizer(paragraph, add_special_tokens=False)["input_ids"]
        for paragraph in paragraphs
    ]
    lengths = torch.tensor([len(tokens) for tokens in encoded])
    shape = (len(encoded), int(lengths.max()))
    tokens, targets = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    predicts = torch.zeros(shape, dtype=torch.bool)
    for row, text in enumerate(encoded):
        tokens[row, : len(text)] = torch.tensor(text)
        targets[row, : len(text) - 1] = torch.tensor(text[1:])
        predicts[row, : len(text) - 1] = True
    keys = torch.tensor([message_key(paragraph) for paragraph in paragraphs])
    return AnswerRows(tokens, predicts, targets, lengths, keys, torch.zeros(len(encoded)).bool())
