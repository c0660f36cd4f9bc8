"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from tqdm import tqdm

from circuitviz.files import json_text
from circuitviz.runs.progress import Progress


class Bar:
    """A progress bar on standard error, drawn once there is progress."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None
        self._stage = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None:
            if progress.fraction <= 0 and not progress.detail:
                return
            self._bar = tqdm(
                desc=progress.stage,
                total=1.0,
                initial=progress.resumed,
                # The time left by the mean pace: stages differ too much for that of a moment.
                smoothing=0,
                file=sys.stderr,
                bar_format="{desc:<8} {percentage:3.0f} % |{bar}| {elapsed}<{remaining}{postfix}",
            )
        losses = {name: f"{loss:.3f}" for name, loss in progress.losses.items()}
        self._bar.set_description_str(progress.stage, refresh=False)
        if progress.arm:
            losses = {"arm": progress.arm, **losses}
        if progress.detail:
            self._bar.set_postfix_str(progress.detail, refresh=False)
        else:
            self._bar.set_postfix(losses, refresh=False)
        self._bar.update(progress.fraction - self._bar.n)
        if progress.stage != self._stage:
            # Even a stage that is over in no time is seen.
            self._stage = progress.stage
            self._bar.refresh()


def on_terminal() -> bool:
    """Whether a person reads the results, not a file or a program."""
    return sys.stdout.isatty()


def say(text: str) -> None:
    """Print a result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print a result as JSON, null for numbers that are not finite."""
    say(json_text(value, indent=1))


def say_on_stderr(text: str) -> None:
    """Say in one line what is no result."""
    sys.stderr.write(f"circuitviz: {text}\n")
