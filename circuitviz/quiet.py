"""The one place that keeps other libraries from talking to our users."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

# Read by the libraries when they are imported; a value the user has set stays.
SILENCE = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "WANDB_MODE": "disabled",
}
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # models are local folders: nothing is ever fetched
    **SILENCE,
}
LOGGERS = ("accelerate", "datasets", "huggingface_hub", "torch", "transformer_lens", "transformers")


def quiet_libraries() -> None:
    """Silence warnings, log messages and progress bars of libraries; errors still show.

    Call it before the libraries are imported.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


@contextlib.contextmanager
def libraries_quiet() -> Iterator[None]:
    """The same for a while, in a process that is not ours: its own warnings and network stay."""
    for name, value in SILENCE.items():
        os.environ.setdefault(name, value)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), _without_bars():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of a transformers that was imported before anybody told it to be quiet."""
    imported = sys.modules.get("transformers.utils.logging")
    if imported is None or not imported.is_progress_bar_enabled():
        yield
        return
    imported.disable_progress_bar()
    try:
        yield
    finally:
        imported.enable_progress_bar()


def stdout_discarded() -> contextlib.redirect_stdout[TextIO]:
    """Drop what libraries print while inside: standard output is for results."""
    return contextlib.redirect_stdout(io.StringIO())
