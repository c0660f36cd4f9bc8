from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from circuitviz.quiet import ENVIRONMENT, quiet_libraries, stdout_discarded


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


def test_what_libraries_print_is_dropped(capsys):
    with stdout_discarded():
        sys.stdout.write("a library talks")
    sys.stdout.write("a result")
    assert capsys.readouterr().out == "a result"
