from __future__ import annotations

import logging
import os
import sys
import warnings
from types import SimpleNamespace

import pytest

from circuitviz.quiet import ENVIRONMENT, libraries_quiet, quiet_libraries, stdout_discarded


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    monkeypatch.setattr(os, "environ", {"TRANSFORMERS_VERBOSITY": "debug"})
    levels = {name: logging.getLogger(name).level for name in ("transformers", "huggingface_hub")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_libraries_are_told_to_be_quiet_and_offline_but_the_users_wish_counts():
    with warnings.catch_warnings():
        quiet_libraries()
        warnings.warn("a library complains", stacklevel=1)
    expected = {**ENVIRONMENT, "TRANSFORMERS_VERBOSITY": "debug"}
    assert {name: os.environ[name] for name in ENVIRONMENT} == expected
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert not logging.getLogger("transformers").isEnabledFor(logging.WARNING)
    assert logging.getLogger("transformers").isEnabledFor(logging.ERROR)


def test_bars_of_a_library_that_is_there_already_are_gone_for_a_while(monkeypatch):
    shown = [True]
    library = SimpleNamespace(
        is_progress_bar_enabled=lambda: shown[-1],
        disable_progress_bar=lambda: shown.append(False),
        enable_progress_bar=lambda: shown.append(True),
    )
    monkeypatch.setitem(sys.modules, "transformers.utils.logging", library)
    with libraries_quiet():
        assert shown == [True, False]
        with libraries_quiet():
            assert shown == [True, False]
        # Whoever began ends it.
        assert shown == [True, False]
    assert shown == [True, False, True]


def test_what_libraries_print_is_dropped(capsys):
    with stdout_discarded():
        sys.stdout.write("a library talks")
    sys.stdout.write("a result")
    assert capsys.readouterr().out == "a result"
