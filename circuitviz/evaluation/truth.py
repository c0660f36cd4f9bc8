"""How well a ranking of units finds a circuit that was planted, and how good a frontier is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isnan, log, nan
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.errors import CircuitvizError, ConfigError
from circuitviz.evaluation.results import RankScores, TruthScores
from circuitviz.units import Circuit, Ranking, Unit

TRUTH_FILE = "truth.json"


def read_truth(folder: Path) -> tuple[str, ...] | None:
    """Names of the units planted in a model, from `truth.json` in its folder; None without one.

    Raises:
        ConfigError: The file is not `{"units": ["L1H3", ...]}` with at least one unit.
    """
    path = folder / TRUTH_FILE
    if not path.is_file():
        return None
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["units"]
        if not isinstance(names, list) or not names:
            raise ValueError("units must be a list of at least one name")
        units = [str(Unit.parse(name)) for name in names]
    except (AttributeError, CircuitvizError, KeyError, OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f'cannot read the truth in {path}: {reason}; expected {{"units": ["L1H3", ...]}}'
        ) from error
    return tuple(dict.fromkeys(units))


def score_against_truth(
    ranking: Ranking, truth: Circuit, *, frontier_area: float = nan
) -> TruthScores | None:
    """Score a ranking by where it puts the true units, among those that it ranks.

    With `heads`, say, neurons may be in no circuit: to stand above them is no achievement.

    Args:
        ranking: Of all units of a model.
        truth: The planted circuit.
        frontier_area: What is noted beside the scores; see the function.

    Returns:
        The scores; None where none of the units that it ranks is true, or all are.

    Raises:
        ConfigError: The truth is of another model, is empty, or is the whole model.
    """
    if truth.space != ranking.space:
        raise ConfigError(f"the truth is of another model: {truth.space}, not {ranking.space}")
    if not 0 < len(truth) < len(truth.space):
        raise ConfigError(
            f"a truth needs some units but not all {len(truth.space)}; got {len(truth)}"
        )
    is_head = np.arange(len(truth.space)) < truth.space.total_heads
    scores = _rank_scores(ranking, truth, ranking.eligible)
    if scores is None:
        return None
    return TruthScores(
        **scores.to_json(),
        units=[str(unit) for unit in truth],
        heads=_rank_scores(ranking, truth, ranking.eligible & is_head),
        neurons=_rank_scores(ranking, truth, ranking.eligible & ~is_head),
        frontier_area=frontier_area,
    )


def achieved(kind: BehaviourKind, *, asr: float, recovery: float, retention: float) -> float:
    """How much of what a knock-out is for it achieves, in [0, 1].

    Backdoor: recovery rate x min(1, utility retention).  Refusal: ASR x min(1, utility
    retention).  0 where there was no utility to keep (retention is NaN).
    """
    done = recovery if kind == "backdoor" else asr
    return 0.0 if isnan(retention) else done * min(1.0, retention)


def frontier_area(points: Sequence[tuple[int, float]], n_units: int) -> float:
    """How early on the way from one unit to all of them a frontier achieves what it achieves.

    With F(k) = the most achieved by any size <= k (0 below the smallest size), a step function,

        area = 1 / log(N) x integral from log 1 to log N of F(k) d log(k).

    So 1 means that a single unit does everything, 0 that nothing ever does, and doubling every
    size costs log 2 / log N.  Raising any point never lowers the area.

    Args:
        points: (size, achieved in [0, 1]) of circuits, in any order.  Size 0, the intact model,
            is left out; size N adds nothing, since it is where the axis ends.
        n_units: N, all units of the model.

    Raises:
        ConfigError: A size or an achieved share is out of range, or the model has one unit.
    """
    if n_units < 2:
        raise ConfigError(f"a frontier needs a model of at least 2 units; got {n_units}")
    for size, share in points:
        if not 0 <= size <= n_units or not 0 <= share <= 1:
            raise ConfigError(
                f"a point needs a size in 0..{n_units} and a share in [0, 1]; got {size}, {share}"
            )
    area = best = 0.0
    since = 1
    for size, share in sorted(point for point in points if point[0]):
        area += best * (log(size) - log(since))
        best, since = max(best, share), size
    return (area + best * (log(n_units) - log(since))) / log(n_units)


def _rank_scores(
    ranking: Ranking, truth: Circuit, among: Bool[np.ndarray, " units"]
) -> RankScores | None:
    """The score among the units where `among` is true; None if all or none are true."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    is_true = truth.mask()
    size = int(is_true[among].sum())
    if not 0 < size < among.sum():
        return None
    order = ranking.order[among[ranking.order]]
    return RankScores(
        size=size,
        auroc=float(roc_auc_score(is_true[among], ranking.scores[among])),
        average_precision=float(average_precision_score(is_true[among], ranking.scores[among])),
        precision_at_truth=float(is_true[order[:size]].mean()),
    )
