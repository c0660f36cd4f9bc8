"""What the user is looking at, as a value and as a link.

Sets of units as short text, for links: `L1H3.7_L2N40.117-119`.

Units of one kind in one layer share a part, their indices are joined by points, and neighbours
are written as a range.  All characters stand in a URL as they are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from itertools import groupby
from typing import Any, cast, get_args

import numpy as np

from circuitviz.errors import ConfigError
from circuitviz.runs.config import AblationKind
from circuitviz.runs.store import Run
from circuitviz.units import Circuit, Unit, random_matched

NOTHING = "none"
_PART = re.compile(r"(L\d+[HN])(\d+(?:-\d+)?(?:\.\d+(?:-\d+)?)*)")
# More than a link can name by hand: a range as wide as this is a mistake or an attack.
MAX_RANGE = 100_000

# Runs beside the chosen one: as many as can be told apart by symbol and dash.
MAX_COMPARED = 4
# Characters of a listed set in a link; browsers, mail and chat programs cut links of 2,000.
MAX_SET_LENGTH = 1500
NUMBERS = ("size", "heads", "neurons", "random")
# All other fields say which units are knocked out, and how.
NOT_OF_SET = ("run", "unit", "prompt", "compare", "tuning", "problems")


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
        match = _PART.fullmatch(part)
        if match is None:
            raise ConfigError(f"units are written like L1H3.7_L2N40-42; got {part[:40]!r}")
        prefix, indices = match.groups()
        for piece in indices.split("."):
            first, _, last = piece.partition("-")
            span = range(int(first), int(last or first) + 1)
            if not 0 < len(span) <= MAX_RANGE:
                raise ConfigError(f"a range of units goes upwards, like 40-42; got {piece[:40]!r}")
            names |= {f"{prefix}{index}" for index in span}
    return frozenset(names)


@dataclass(frozen=True)
class ViewState:
    """One state of the app, the same on every page and in the URL.

    Attributes:
        run: Id of the run.
        size: Units knocked out of the joint ranking; None: the circuit the run reports.
        heads: With `neurons`: best heads and best neurons, instead of one size.
        neurons: See `heads`.
        listed: Units to start from instead of a size of the ranking; None: the ranking.
        saved: Name of the saved set that `listed` came from.
        inverted: Start from all other units instead.
        added: Units put into the circuit by hand.
        removed: Units taken out of it by hand.
        random: Seed of a random control: other units are knocked out, as many of each kind in
            each layer as the set has; None: the set itself.
        ablation: What replaces units that are knocked out; None: what the run used.
        unit: The head or neuron a panel shows.
        prompt: The test prompt whose answers are shown.
        compare: Ids of the runs set beside the chosen one, in order, at most `MAX_COMPARED`.
        tuning: Id of the tuning of this run that is shown; None: the newest.
        problems: What could not be read from a link, one sentence each.
    """

    run: str | None = None
    size: int | None = None
    heads: int | None = None
    neurons: int | None = None
    listed: frozenset[str] | None = None
    saved: str | None = None
    inverted: bool = False
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    random: int | None = None
    ablation: AblationKind | None = None
    unit: str | None = None
    prompt: str | None = None
    compare: tuple[str, ...] = ()
    tuning: str | None = None
    problems: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> ViewState:
        """Read a URL's parameters; what is malformed is left out and named in `problems`."""
        numbers, problems = _read_numbers(query)
        listed, unreadable = _read_set(query.get("set"))
        if listed is not None:
            # A list says which units: no size beside it.
            numbers = {name: value for name, value in numbers.items() if name == "random"}
        added, removed, bad = _read_edits(query.get("edit", ""))
        unit = query.get("unit") or None
        if unit and not _is_unit(unit):
            bad.append(unit)
            unit = None
        problems += unreadable
        problems += [f"{name!r} in the link is not a unit like L5H3 or L2N117." for name in bad]
        ablation = query.get("ablation") or None
        if ablation not in (None, *get_args(AblationKind)):
            legal = ", ".join(get_args(AblationKind))
            problems.append(f"The link's ablation must be one of {legal}; it says {ablation!r}.")
            ablation = None
        compare = _read_list(query.get("compare", ""), without=query.get("run"))
        if len(compare) > MAX_COMPARED:
            problems.append(
                f"The link compares {len(compare)} runs with this one; the first {MAX_COMPARED} "
                "are shown."
            )
        return cls(
            run=query.get("run") or None,
            **numbers,
            listed=listed,
            saved=query.get("saved") or None,
            inverted=query.get("invert") == "1",
            added=added,
            removed=removed,
            ablation=cast("AblationKind | None", ablation),
            unit=unit,
            prompt=query.get("prompt") or None,
            compare=compare[:MAX_COMPARED],
            tuning=query.get("tuning") or None,
            problems=tuple(problems),
        )

    def to_query(self) -> dict[str, str]:
        """The URL's parameters; `from_query` reads them back."""
        values = self.query_values().items()
        return {key: str(value) for key, value in values if value not in (None, "")}

    def query_values(self) -> dict[str, object]:
        """What each parameter of the URL stands for; None or "" where it is left out."""
        return {
            "run": self.run,
            "size": self.size,
            "heads": self.heads,
            "neurons": self.neurons,
            "set": self._written_set(),
            "saved": self.saved,
            "invert": "1" if self.inverted else None,
            "edit": self._edits_text() if self._edits_fit else None,
            "random": self.random,
            "ablation": self.ablation,
            "unit": self.unit,
            "prompt": self.prompt,
            "compare": ",".join(self.compare),
            "tuning": self.tuning,
        }

    @property
    def separate(self) -> bool:
        """Whether heads and neurons are chosen apart."""
        return self.heads is not None and self.neurons is not None

    @property
    def edited(self) -> bool:
        """Whether the set is another than the best units of a size."""
        other = self.listed is not None or self.inverted or self.random is not None
        return bool(self.added or self.removed or other)

    @property
    def linkable(self) -> bool:
        """Whether a link can list units and edits; a longer list needs a saved set's name."""
        return self._edits_fit and len(self._listed_text() or "") <= MAX_SET_LENGTH

    @property
    def linked(self) -> bool:
        """Whether a link says which units: by itself, or by a saved set's name."""
        return self.linkable or (self.saved is not None and self._edits_fit)

    def _listed_text(self) -> str | None:
        return None if self.listed is None else written_units(self.listed)

    def _written_set(self) -> str | None:
        """The list, where a link has room for it."""
        text = self._listed_text()
        return text if text is not None and len(text) <= MAX_SET_LENGTH else None

    def _edits_text(self) -> str:
        edits = [f"-{name}" for name in sorted(self.removed)]
        edits += [f"+{name}" for name in sorted(self.added)]
        return ",".join(edits)

    @property
    def _edits_fit(self) -> bool:
        return len(self._edits_text()) + len(self._written_set() or "") <= MAX_SET_LENGTH

    @property
    def set_part(self) -> dict[str, Any]:
        """The fields that say which units are knocked out, and how."""
        names = (one.name for one in fields(self) if one.name not in NOT_OF_SET)
        return {name: getattr(self, name) for name in names}

    def reset_set(self) -> ViewState:
        """With the circuit the run reports, knocked out as the run did."""
        return replace(self, **ViewState().set_part)

    def fitted(self, run: Run) -> ViewState:
        """This choice with what the run does not have left out and named in `problems`."""
        problems = list(self.problems)
        choice = self
        sizes, points = run.joint_sizes, run.budget_points
        if self.size is not None and self.size not in {*sizes, run.size}:
            nearest = min(sizes or [run.size], key=lambda size: abs(size - (self.size or 0)))
            problems.append(f"Size {self.size:,} was not evaluated; showing {nearest:,} instead.")
            choice = replace(choice, size=nearest)
        if self.separate and (self.heads, self.neurons) not in points:
            problems.append(
                f"{self.heads} heads with {self.neurons} neurons were not evaluated in this run; "
                "showing the reported circuit."
            )
            choice = replace(choice, heads=None, neurons=None)
        listed = self.listed or frozenset()
        named = (*listed, *self.added, *self.removed, *([self.unit] if self.unit else []))
        foreign = {name for name in named if Unit.parse(name) not in run.space}
        problems += [f"This model has no unit {name}." for name in sorted(foreign)]
        return replace(
            choice,
            listed=None if self.listed is None else self.listed - foreign,
            ablation=None if self.ablation == run.config.ablation else self.ablation,
            added=self.added - foreign,
            removed=self.removed - foreign,
            unit=None if self.unit in foreign else self.unit,
            problems=tuple(problems),
        )

    def base_circuit(self, run: Run) -> Circuit:
        """The circuit of the chosen size, without edits."""
        if self.heads is not None and self.neurons is not None:
            return run.circuit_of(self.heads, self.neurons)
        return run.circuit(self.size)

    def start(self, run: Run) -> Circuit:
        """What edits by hand start from: the chosen size or list, or all other units."""
        listed = self.listed
        first = self.base_circuit(run) if listed is None else Circuit.of(run.space, listed)
        return _complement(first) if self.inverted else first

    def own_circuit(self, run: Run) -> Circuit:
        """The set with its edits, also while a random control stands in for it."""
        start = self.start(run)
        if not (self.added or self.removed):
            return start
        return Circuit.of(run.space, ({str(unit) for unit in start} | self.added) - self.removed)

    def circuit(self, run: Run) -> Circuit:
        """The circuit that is knocked out: the set with its edits, or a random control of it."""
        own = self.own_circuit(run)
        return own if self.random is None else _random_of(own, self.random)

    def ablation_of(self, run: Run) -> AblationKind:
        """What replaces the units that are knocked out."""
        return self.ablation or run.config.ablation

    def toggled(self, run: Run, unit: Unit) -> ViewState:
        """With a unit added to the circuit if it is not in it, else removed."""
        if self.random is not None:
            return self.as_explicit_set(run).toggled(run, unit)
        name = str(unit)
        inside, by_default = unit in self.circuit(run), unit in self.start(run)
        added, removed = self.added - {name}, self.removed - {name}
        if inside and by_default:
            removed |= {name}
        elif not inside and not by_default:
            added |= {name}
        return replace(self, added=added, removed=removed)._shorter(run)

    def _shorter(self, run: Run) -> ViewState:
        """As a list, where edits grew too long for a link and the list is not."""
        if self._edits_fit:
            return self
        whole = self.as_explicit_set(run)
        before = len(self._listed_text() or "") + len(self._edits_text())
        return whole if len(whole._listed_text() or "") < before else self

    def inverse(self, run: Run) -> ViewState:
        """With all other units knocked out instead."""
        if self.random is not None:
            return self.as_explicit_set(run).inverse(run)
        return replace(self, inverted=not self.inverted, added=self.removed, removed=self.added)

    def of_ranking(self) -> ViewState:
        """From the best units again instead of a list or of all other units.

        Edits of a list or of an inverse go with it: on the ranking they would mean another thing.
        """
        kept = (
            self
            if self.listed is None and not self.inverted
            else replace(self, added=frozenset(), removed=frozenset())
        )
        return replace(kept, listed=None, saved=None, inverted=False, random=None)

    def without_wrong_name(self, units: frozenset[str] | None) -> ViewState:
        """Without the saved set's name where the list is another one.

        Args:
            units: What is saved under the name; None: nothing.
        """
        return self if self.listed == units else replace(self, saved=None)

    def cleared(self) -> ViewState:
        """With nothing knocked out."""
        return replace(self.reset_set(), listed=frozenset(), ablation=self.ablation)

    def with_random_control(self, run: Run, seed: int) -> ViewState:
        """With a random control of this set instead of it."""
        # Marks of edits on the maps would point at units that are not knocked out.
        own = self.as_explicit_set(run, own=True) if self.added or self.removed else self
        return replace(own, random=seed)

    def as_explicit_set(self, run: Run, *, own: bool = False) -> ViewState:
        """The same units, as a list: those knocked out, or the set's own."""
        circuit = self.own_circuit(run) if own else self.circuit(run)
        names = frozenset(str(unit) for unit in circuit)
        return replace(self.reset_set(), listed=names, ablation=self.ablation)


QUERY_KEYS = tuple(ViewState().query_values())


# Large models have hundreds of thousands of units, and a page asks for its circuit often.
@lru_cache(maxsize=16)
def _complement(circuit: Circuit) -> Circuit:
    return circuit.complement


@lru_cache(maxsize=16)
def _random_of(circuit: Circuit, seed: int) -> Circuit:
    return random_matched(circuit, np.random.default_rng(seed))


def _read_numbers(query: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    numbers: dict[str, int] = {}
    problems = []
    for name in NUMBERS:
        text = query.get(name)
        if text and text.isdecimal():
            numbers[name] = int(text)
        elif text:
            problems.append(f"The link's {name} must be a whole number; it says {text!r}.")
    if ("heads" in numbers) != ("neurons" in numbers):
        problems.append("A link with heads needs neurons too, and the other way round.")
        numbers.pop("heads", None)
        numbers.pop("neurons", None)
    if "heads" in numbers:
        numbers.pop("size", None)
    return numbers, problems


def _read_set(text: str | None) -> tuple[frozenset[str] | None, list[str]]:
    if not text:
        return None, []
    try:
        return read_units(text), []
    except ConfigError as error:
        return None, [f"The link's set cannot be read: {error}."]


def _read_edits(text: str) -> tuple[frozenset[str], frozenset[str], list[str]]:
    # A plus that was typed into the address bar arrives as a space.
    added, removed, bad = set(), set(), []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name = part.lstrip("+-").strip()
        if not _is_unit(name):
            bad.append(name)
        else:
            (removed if part.startswith("-") else added).add(name)
    return frozenset(added), frozenset(removed), bad


def _read_list(text: str, without: str | None) -> tuple[str, ...]:
    names = filter(None, (part.strip() for part in text.split(",")))
    return tuple(dict.fromkeys(name for name in names if name != without))


def _is_unit(name: str) -> bool:
    try:
        Unit.parse(name)
    except ConfigError:
        return False
    return True
