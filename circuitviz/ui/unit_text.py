"""Sets of units as short text, for links: `L1H3.7_L2N40.117-119`.

Units of one kind in one layer share a part, their indices are joined by points, and neighbours
are written as a range.  All characters stand in a URL as they are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby

from circuitviz.errors import ConfigError
from circuitviz.units import Unit

__all__ = ["read_units", "written_units"]

NOTHING = "none"
PART = re.compile(r"(L\d+[HN])(\d+(?:-\d+)?(?:\.\d+(?:-\d+)?)*)")
# More than a link can name by hand: a range as wide as this is a mistake or an attack.
WIDEST_RANGE = 100_000


def written_units(names: Iterable[str]) -> str:
    """The set as text; the empty set is `none`."""
    parts: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for unit in map(Unit.parse, names):
        prefix = str(unit).removesuffix(str(unit.index))
        parts[unit.kind, unit.layer, prefix].append(unit.index)
    return "_".join(
        prefix + ".".join(_ranges(sorted(indices)))
        for (_, _, prefix), indices in sorted(parts.items())
    ) or (NOTHING)


def _ranges(indices: list[int]) -> Iterator[str]:
    """Ascending numbers, neighbours joined: [1, 2, 3, 7] gives `1-3` and `7`."""
    for _, group in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        run = [index for _, index in group]
        yield str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"


def read_units(text: str) -> frozenset[str]:
    """The names of the units a text stands for.

    Raises:
        ConfigError: A part has another form.
    """
    if text == NOTHING:
        return frozenset()
    names: set[str] = set()
    for part in text.split("_"):
        match = PART.fullmatch(part)
        if match is None:
            raise ConfigError(f"units are written like L1H3.7_L2N40-42; got {part[:40]!r}")
        prefix, indices = match.groups()
        for piece in indices.split("."):
            first, _, last = piece.partition("-")
            span = range(int(first), int(last or first) + 1)
            if not 0 < len(span) <= WIDEST_RANGE:
                raise ConfigError(f"a range of units goes upwards, like 40-42; got {piece[:40]!r}")
            names |= {f"{prefix}{index}" for index in span}
    return frozenset(names)
