"""`models`: the table and the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitviz.cli import main
from circuitviz.models.source import ModelCard
from tests.fake_library import FakeLibrary

SUMMARY = "A real language model of 135 million weights, as its makers published it."


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of models."""
    monkeypatch.setenv("CIRCUITVIZ_CACHE", str(tmp_path))
    return tmp_path / "models"


class WithAdapter(FakeLibrary):
    """One more model, which stands on SmolLM2."""

    def models(self) -> list[ModelCard]:
        card = ModelCard(
            "real", "Real", "Refuses.", Path("/m/real"), "refusal", False, 9, "smollm2"
        )
        return [*super().models(), card]


def test_models_is_a_table(capsys):
    assert main(["models"], FakeLibrary()) == 0
    assert capsys.readouterr().out == (
        "MODEL    BEHAVIOUR  WHAT IT IS\n"
        "planted  backdoor   Two heads obey.\n"
        "base     -          Helps.\n"
        f"smollm2  -          {SUMMARY} (needs: circuitviz fetch smollm2)\n"
    )


def test_models_whose_weights_are_not_here_say_what_brings_them(capsys):
    assert main(["models"], WithAdapter()) == 0
    line = capsys.readouterr().out.splitlines()[3]
    assert line == "real     refusal    Refuses. (needs: circuitviz fetch smollm2)"


def test_models_that_were_fetched_need_nothing(capsys, cache):
    (cache / "smollm2").mkdir(parents=True)
    (cache / "smollm2" / "origin.json").write_text("{}")
    assert main(["models"], WithAdapter()) == 0
    assert capsys.readouterr().out.splitlines()[3:] == [
        "real     refusal    Refuses.",
        f"smollm2  -          {SUMMARY}",
    ]


def test_models_as_json(capsys, cache):
    assert main(["models", "--json"], WithAdapter()) == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["name"] for card in cards] == ["planted", "base", "real", "smollm2"]
    assert cards[0]["folder"] == "/m/planted"
    assert [card["base"] for card in cards] == [None, None, "smollm2", "smollm2"]
    assert [card["available"] for card in cards] == [True, True, False, False]
    assert cards[3]["folder"] == str(cache / "smollm2")
