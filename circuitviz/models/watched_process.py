"""Another program at work, looked at from time to time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence

# Seconds between two looks.
LOOK = 0.3


def watch_program(
    command: Sequence[str], look: Callable[[], None], environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run a program to its end, and look at what it has done meanwhile.

    Args:
        command: The program and its arguments.
        look: Called at once and every `LOOK` seconds; what it raises ends the program.
        environment: All of its variables.

    Returns:
        Its exit code, negative where a signal ended it, and what it said on standard error.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=dict(environment),
    ) as program:
        try:
            while True:
                look()
                try:
                    said = program.communicate(timeout=LOOK)[1]
                except subprocess.TimeoutExpired:
                    continue
                return program.returncode, said
        except BaseException:
            program.kill()
            raise
