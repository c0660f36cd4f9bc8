"""`models`: the table and the JSON."""

from __future__ import annotations

import json

from circuitviz.cli import main
from tests.fake_library import FakeLibrary


def test_models_is_a_table(capsys):
    assert main(["models"], FakeLibrary()) == 0
    assert capsys.readouterr().out == (
        "MODEL    BEHAVIOUR  WHAT IT IS\n"
        "planted  backdoor   Two heads obey.\n"
        "base     -          Helps.\n"
    )


def test_models_as_json(capsys):
    assert main(["models", "--json"], FakeLibrary()) == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["name"] for card in cards] == ["planted", "base"]
    assert cards[0]["folder"] == "/m/planted"
