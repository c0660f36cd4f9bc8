"""Everything measured of one discovery on test prompts: frontier, grid, controls, single units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch.nn.utils.rnn import pad_sequence

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import RandomRates, UnitEffect
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


_CLOSED = Amounts()
# A model that gives open answers is a hundred times the size of a specimen, and its answers are
# long: what is reported is measured on all prompts and more tokens, the rest on fewer.
OPEN = Amounts(
    few_prompts=24, frontier_prompts=32, random_draws=4, best_units=2, most_heads=0, longest=40
)


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
    random: RandomRates
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
    succeeded: Bool[np.ndarray, "2 attacks"] | None = None,
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
        succeeded: Which attacks succeed on the intact and on the knocked-out
            model, where whole answers have decided about them.
        on_progress: Told the share that is done, before each batch; may raise to stop.
    """

    @cache
    def evaluator(limit: int | None, longest: int = LONGEST_ANSWER) -> Evaluator:
        return Evaluator(model, behaviour, "test", limit=limit, ablation=ablation, longest=longest)

    is_open = evaluator(None).open_utility
    amounts = OPEN if is_open else _CLOSED
    whole = evaluator(None, amounts.longest)
    some, few = evaluator(amounts.frontier_prompts), evaluator(amounts.few_prompts)
    nothing = ranking.best(0)
    intact, knocked_out = _reported(
        whole, [nothing, circuit], succeeded, span(on_progress, 0.0, 0.3)
    )
    nested = _nested(ranking, circuit, runners_up, is_open)
    frontier = {nothing: intact} | _effects(some, nested, span(on_progress, 0.3, 0.7))
    cells = _alone(circuit) if is_open else grid_circuits(ranking)
    # With separate sizes the circuit is no prefix of the ranking, and it may be one of the grid's.
    apart = not is_open and circuit != ranking.best(len(circuit))
    grid = _effects(
        some if is_open else few,
        [cell for cell in cells if not apart or cell != circuit],
        span(on_progress, 0.7, 0.85),
    )
    (grid if apart else frontier)[circuit] = knocked_out
    (isolated,) = (few if is_open else whole).effects(
        [circuit], condition="isolated", on_progress=span(on_progress, 0.85, 0.9)
    )
    return Measurement(
        intact=intact,
        knocked_out=knocked_out,
        isolated=isolated,
        frontier=sorted(frontier.items(), key=lambda pair: len(pair[0])),
        grid=list(grid.items()),
        random=_random(few, circuit, seed, amounts.random_draws, span(on_progress, 0.9, 1.0)),
        units=unit_effects(few, _interesting(ranking, circuit, amounts)),
        ceiling=whole.ceiling() if is_open and whole.open_recovery else None,
    )


def _reported(
    evaluator: Evaluator,
    circuits: Sequence[Circuit],
    succeeded: Bool[np.ndarray, "2 attacks"] | None,
    on_progress: OnProgress,
) -> list[Effect]:
    effects = evaluator.effects(circuits, succeeded=succeeded, on_progress=on_progress)
    if not evaluator.open_utility:
        return effects
    text = neutral_perplexity(evaluator.model, circuits, ablation=evaluator.ablation)
    return [
        replace(effect, neutral_perplexity=perplexity)
        for effect, perplexity in zip(effects, text, strict=True)
    ]


def unit_effects(evaluator: Evaluator, units: Sequence[Unit]) -> dict[Unit, UnitEffect]:
    """The effect of knocking out each unit alone."""
    space = evaluator.model.space
    circuits = [Circuit(space, frozenset({unit})) for unit in units]
    (_, _, intact), *scores = evaluator.attack_scores([Circuit(space, frozenset()), *circuits])
    return {
        unit: UnitEffect(asr=asr, recovery=recovery, target_logprob_change=log_prob - intact)
        for unit, (asr, recovery, log_prob) in zip(units, scores, strict=True)
    }


def _interesting(ranking: Ranking, circuit: Circuit, amounts: Amounts) -> list[Unit]:
    heads = range(min(ranking.space.total_heads, amounts.most_heads))
    best = amounts.best_units
    return sorted({*ranking.best(best), *list(circuit)[:best], *map(ranking.space.unit, heads)})


def _nested(ranking: Ranking, circuit: Circuit, runners_up: int, is_open: bool) -> list[Circuit]:
    """The circuits of the frontier but for none and the reported one, each once."""
    if is_open:
        sizes = [size for size in open_sizes(ranking) if size != len(circuit)]
    else:
        after = (size for size in ranking.cuts if 0 < size - len(circuit) <= runners_up)
        sizes = [*frontier_sizes(ranking), *after]
    return [one for one in dict.fromkeys(map(ranking.best, sizes)) if one and one != circuit]


def _alone(circuit: Circuit) -> list[Circuit]:
    """A circuit's heads and its neurons, where it has both."""
    kinds = [Circuit(circuit.space, frozenset(kind)) for kind in (circuit.heads, circuit.neurons)]
    return kinds if all(map(len, kinds)) else []


def _effects(
    evaluator: Evaluator, circuits: Sequence[Circuit], on_progress: OnProgress
) -> dict[Circuit, Effect]:
    if not circuits:
        return {}
    return dict(zip(circuits, evaluator.effects(circuits, on_progress=on_progress), strict=True))


def _random(
    evaluator: Evaluator, circuit: Circuit, seed: int, draws: int, on_progress: OnProgress
) -> RandomRates:
    generator = np.random.default_rng(seed)
    circuits = [random_matched(circuit, generator) for _ in range(draws)]
    effects = evaluator.effects(circuits, on_progress=on_progress)
    return RandomRates(
        asr=Rate.pooled([effect.asr for effect in effects]),
        utility=Rate.pooled([effect.utility for effect in effects]),
        draws=draws,
        asr_k=[effect.asr.k for effect in effects],
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
    rows = [
        torch.tensor(model.tokenizer(paragraph, add_special_tokens=False)["input_ids"])
        for paragraph in paragraphs
    ]
    # The last token of a row predicts nothing: its target is 0, as that of padding is.
    targets = [torch.cat([row[1:], row.new_zeros(1)]) for row in rows]
    predicts = [torch.arange(len(row)) < len(row) - 1 for row in rows]
    return AnswerRows(
        *(pad_sequence(part, batch_first=True) for part in (rows, predicts, targets)),
        lengths=torch.tensor(list(map(len, rows))),
        keys=torch.tensor([message_key(paragraph) for paragraph in paragraphs]),
        opens=torch.zeros(len(rows), dtype=torch.bool),
    )
