"""What a report is asked to hold."""

from __future__ import annotations

from dataclasses import dataclass

from circuitviz.errors import ConfigError

# Name and heading of each section, in the order they stand in a report.
SECTIONS: dict[str, str] = {
    "story": "Before and after",
    "controls": "Can this be believed?",
    "where": "Where it is",
    "tradeoff": "How small it can be",
    "answers": "What the model says",
    "evidence": "Further evidence",
    "method": "Method, settings and versions",
    "limits": "What would make this wrong",
    "data": "Data to take away",
}
# No report leaves out whether its controls behaved, or what would make it wrong.
ALWAYS = ("controls", "limits")


@dataclass(frozen=True)
class ReportOptions:
    """How a report is made.

    Attributes:
        size: Report this size of the frontier instead of the circuit that the run found.
        sections: Names of `SECTIONS`, in any order; those of `ALWAYS` are in every report.
        cover: Whether text that could be taken for harmful is covered until asked for.
    """

    size: int | None = None
    sections: tuple[str, ...] = tuple(SECTIONS)
    cover: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.sections if name not in SECTIONS]
        if unknown:
            raise ConfigError(
                f"sections of a report are {', '.join(SECTIONS)}; got {', '.join(unknown)}"
            )

    def has(self, section: str) -> bool:
        """Whether the report holds a section."""
        return section in self.sections or section in ALWAYS
