"""Choose the smallest circuit that meets the target, on validation prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from circuitviz.errors import ConfigError
from circuitviz.evaluation.effect import Effect, Target
from circuitviz.units import Circuit, Ranking

# Effects of circuits, knocked out, in the order given.
Measure = Callable[[Sequence[Circuit]], list[Effect]]

# Share of its size to which the smallest circuit is found where each look is dear.
GRAIN = 0.07

# Below this share of the utility no larger circuit is tried.
LOST = 0.5
# Sums of what is missing that differ by no more than this are alike.
HARDLY_MORE = 0.01

# Circuits measured together before looking whether one is enough.
_GROUP = 4

# Sizes that are tried and measured of models that give open answers.
OPEN_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)

# Most heads and neurons in a grid of both.
GRID_HEADS, GRID_NEURONS = 32, 256


@dataclass(frozen=True)
class Selection:
    """The circuit chosen.

    Attributes:
        circuit: The units.
        reached: Whether it meets the target on validation prompts.
    """

    circuit: Circuit
    reached: bool


def frontier_sizes(ranking: Ranking) -> list[int]:
    """Sizes from the smallest circuit to everything, dense where circuits are small, ascending.

    Only sizes at which the ranking may be cut.
    """
    small = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    large = [4**power for power in range(5, 20)]
    last = len(ranking.cuts) - 1
    # Blocks are few and each is large: none is skipped where that is cheap.
    steps = range(1, last) if ranking.granularity == "layers" and last <= 16 else small + large
    return [ranking.cuts[step] for step in steps if step < last] + [ranking.cuts[last]]


def open_sizes(ranking: Ranking) -> list[int]:
    """Sizes to measure where each look is dear: small ones, and up to a twentieth of all units.

    Only sizes at which the ranking may be cut; all of `frontier_sizes` where a model is so small
    that there are none.
    """
    most = len(ranking.space) // 20
    few = sorted({*ranking.cuts} & {size for size in OPEN_SIZES if size <= most})
    return few or frontier_sizes(ranking)


def grid_sizes(units: int, most: int) -> list[int]:
    """0 and powers of two up to `most` of `units`, ascending."""
    return [0, *(2**power for power in range(40) if 2**power <= min(units, most))]


def grid_circuits(ranking: Ranking) -> list[Circuit]:
    """The best heads and the best neurons in every pair of sizes of a grid, from none upwards.

    A kind that may be in no circuit has the size 0 only; with `layers`, sizes are whole blocks.
    """
    space = ranking.space
    heads = grid_sizes(space.total_heads, GRID_HEADS)
    neurons = grid_sizes(space.total_neurons, GRID_NEURONS)
    match ranking.granularity:
        case "heads":
            neurons = [0]
        case "neurons":
            heads = [0]
        case "layers":
            blocks = grid_sizes(space.n_layers, space.n_layers)
            heads = [space.n_heads * count for count in blocks]
            neurons = [space.d_mlp * count for count in blocks]
    return [ranking.best_of_each(some, others) for some in heads for others in neurons]


def select_circuit(
    measure: Measure,
    ranking: Ranking,
    target: Target,
    *,
    separate: bool = False,
    sizes: Callable[[Ranking], list[int]] = frontier_sizes,
) -> Selection:
    """The smallest circuit of a ranking that meets the target.

    Circuits are tried upwards in groups until one meets it, or until half of the utility is lost;
    the gap to the next smaller one tried is then bisected.  Where none does, the best trade-off is
    taken: of those that miss the target by least in all (the sum of what is missing of each of its
    parts) and by hardly more, the smallest.

    Args:
        measure: Effects of circuits, knocked out, on validation prompts.
        ranking: Where circuits are cut from.
        target: What to meet.
        separate: Whether heads and neurons have a size each; only where both may be in a circuit.
        sizes: Which sizes of a ranking are tried.

    Raises:
        ConfigError: Separate sizes of a ranking of one kind, or of blocks.
    """
    if separate and ranking.granularity != "both":
        raise ConfigError(
            "separate sizes need the granularity both; "
            f"got {ranking.granularity}: choose one size for the circuit"
        )
    (intact,) = measure([ranking.best(0)])

    def meets(circuit: Circuit) -> bool:
        return target.met(measure([circuit])[0], intact)

    if separate:
        candidates = sorted((cell for cell in grid_circuits(ranking) if len(cell)), key=len)
    else:
        candidates = list(map(ranking.best, sizes(ranking)))
    seen: dict[Circuit, Effect] = {}
    for start in range(0, len(candidates), _GROUP):
        group = candidates[start : start + _GROUP]
        seen.update(zip(group, measure(group), strict=True))
        first = next((one for one in group if target.met(seen[one], intact)), None)
        if first is not None:
            shrink = _shrink_both if separate else partial(_shrink, sizes=sizes)
            return Selection(shrink(ranking, first, meets), True)
        if all(seen[one].retention(intact) < LOST for one in group):
            break
    regrets = {circuit: target.regret(effect, intact) for circuit, effect in seen.items()}
    least = min(regrets.values()) + HARDLY_MORE
    return Selection(min((one for one in seen if regrets[one] <= least), key=len), False)


def _shrink(
    ranking: Ranking,
    circuit: Circuit,
    meets: Callable[[Circuit], bool],
    sizes: Callable[[Ranking], list[int]],
) -> Circuit:
    """The smallest circuit that meets, between this one and the next smaller size tried."""
    cuts = ranking.cuts
    below = max((size for size in sizes(ranking) if size < len(circuit)), default=0)
    index = _bisect(
        lambda index: meets(ranking.best(cuts[index])),
        cuts.index(below),
        cuts.index(len(circuit)),
        # Of a large circuit some per cent of its size are not worth the looks.
        0.0 if sizes is frontier_sizes else GRAIN,
    )
    return ranking.best(cuts[index])


def _shrink_both(ranking: Ranking, circuit: Circuit, meets: Callable[[Circuit], bool]) -> Circuit:
    """The same with a size of each kind: first fewer neurons, then fewer heads."""
    heads, neurons = len(circuit.heads), len(circuit.neurons)
    neurons = _bisect(lambda n: meets(ranking.best_of_each(heads, n)), neurons // 2, neurons)
    heads = _bisect(lambda n: meets(ranking.best_of_each(n, neurons)), heads // 2, heads)
    return ranking.best_of_each(heads, neurons)


def _bisect(meets: Callable[[int], bool], low: int, high: int, grain: float = 0.0) -> int:
    """The smallest number in (low, high] that meets the target, `high` being known to.

    Or one that is above it by no more than the share `grain`.
    """
    while high - low > max(1, grain * high):
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high
