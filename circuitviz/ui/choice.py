"""What the user is looking at, as a value and as a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from circuitviz.errors import ConfigError
from circuitviz.plots.frame import budget_points, joint_sizes
from circuitviz.runs.store import Run
from circuitviz.units import Circuit, Unit

__all__ = ["MOST_COMPARED", "QUERY_KEYS", "Choice"]

QUERY_KEYS = ("run", "size", "heads", "neurons", "edit", "unit", "prompt", "compare", "tuning")
# Runs beside the chosen one: as many as can be told apart by symbol and dash.
MOST_COMPARED = 4
NUMBERS = ("size", "heads", "neurons")


@dataclass(frozen=True)
class Choice:
    """One state of the app, the same on every page and in the URL.

    Attributes:
        run: Id of the run.
        size: Units knocked out of the joint ranking; None: the circuit the run reports.
        heads: With `neurons`: best heads and best neurons, instead of one size.
        neurons: See `heads`.
        added: Units put into the circuit by hand.
        removed: Units taken out of it by hand.
        unit: The head or neuron a panel shows.
        prompt: The test prompt whose answers are shown.
        compare: Ids of the runs set beside the chosen one, in order, at most `MOST_COMPARED`.
        tuning: Id of the tuning of this run that is shown; None: the newest.
        problems: What could not be read from a link, one sentence each.
    """

    run: str | None = None
    size: int | None = None
    heads: int | None = None
    neurons: int | None = None
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    unit: str | None = None
    prompt: str | None = None
    compare: tuple[str, ...] = ()
    tuning: str | None = None
    problems: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Choice:
        """Read a URL's parameters; what is malformed is left out and named in `problems`."""
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
        added, removed, bad = _read_edits(query.get("edit", ""))
        unit = query.get("unit") or None
        if unit and not _is_unit(unit):
            bad.append(unit)
            unit = None
        problems += [f"{name!r} in the link is not a unit like L5H3 or L2N117." for name in bad]
        compare = _read_list(query.get("compare", ""), without=query.get("run"))
        if len(compare) > MOST_COMPARED:
            problems.append(
                f"The link compares {len(compare)} runs with this one; the first {MOST_COMPARED} "
                "are shown."
            )
        return cls(
            run=query.get("run") or None,
            **numbers,
            added=added,
            removed=removed,
            unit=unit,
            prompt=query.get("prompt") or None,
            compare=compare[:MOST_COMPARED],
            tuning=query.get("tuning") or None,
            problems=tuple(problems),
        )

    def to_query(self) -> dict[str, str]:
        """The URL's parameters; `from_query` reads them back."""
        edits = [f"-{name}" for name in sorted(self.removed)]
        edits += [f"+{name}" for name in sorted(self.added)]
        values = {
            "run": self.run,
            "size": self.size,
            "heads": self.heads,
            "neurons": self.neurons,
            "edit": ",".join(edits),
            "unit": self.unit,
            "prompt": self.prompt,
            "compare": ",".join(self.compare),
            "tuning": self.tuning,
        }
        return {key: str(value) for key, value in values.items() if value not in (None, "")}

    @property
    def separate(self) -> bool:
        """Whether heads and neurons are chosen apart."""
        return self.heads is not None and self.neurons is not None

    @property
    def edited(self) -> bool:
        """Whether units were added or removed by hand."""
        return bool(self.added or self.removed)

    def fitted(self, run: Run) -> Choice:
        """This choice with what the run does not have left out and named in `problems`."""
        problems = list(self.problems)
        choice = self
        sizes, points = joint_sizes(run), budget_points(run)
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
        named = (*self.added, *self.removed, *([self.unit] if self.unit else []))
        foreign = {name for name in named if Unit.parse(name) not in run.space}
        problems += [f"This model has no unit {name}." for name in sorted(foreign)]
        return replace(
            choice,
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

    def circuit(self, run: Run) -> Circuit:
        """The circuit that is knocked out: the chosen size with the edits."""
        names = {str(unit) for unit in self.base_circuit(run)}
        return Circuit.of(run.space, (names | self.added) - self.removed)

    def toggled(self, run: Run, unit: Unit) -> Choice:
        """With a unit added to the circuit if it is not in it, else removed."""
        name = str(unit)
        inside, by_default = unit in self.circuit(run), unit in self.base_circuit(run)
        added, removed = self.added - {name}, self.removed - {name}
        if inside and by_default:
            removed |= {name}
        elif not inside and not by_default:
            added |= {name}
        return replace(self, added=added, removed=removed)


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
