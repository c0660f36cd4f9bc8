"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import Any

from circuitviz.files import json_text


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
