"""What was knocked out before: undo and redo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

__all__ = ["MOST_STEPS", "History"]

# Steps that can be taken back; older ones are forgotten.
MOST_STEPS = 100

State = TypeVar("State")


@dataclass(frozen=True)
class History(Generic[State]):
    """States before and after the present one, the nearest last.

    Attributes:
        past: What undo goes back to, oldest first.
        future: What redo goes forward to, furthest first.
    """

    past: tuple[State, ...] = ()
    future: tuple[State, ...] = ()

    def record(self, present: State) -> History[State]:
        """The history after the present state was left for a new one."""
        return History(past=(*self.past, present)[-MOST_STEPS:])

    def undo(self, present: State) -> tuple[State, History[State]]:
        """The state before this one; the same one where there is none."""
        if not self.past:
            return present, self
        return self.past[-1], History(self.past[:-1], (*self.future, present))

    def redo(self, present: State) -> tuple[State, History[State]]:
        """The state that was undone last; the same one where there is none."""
        if not self.future:
            return present, self
        after = replace(self, past=(*self.past, present)[-MOST_STEPS:], future=self.future[:-1])
        return self.future[-1], after
