"""Prompts alone reach a behaviour whose answers are those that were written down for the model."""

from pathlib import Path

import pytest

from circuitviz.behaviours.behaviour import read_behaviour, save_behaviour
from circuitviz.behaviours.prepare import DataSpec, prepare_data
from circuitviz.behaviours.tables import Table
from circuitviz.behaviours.trigger import Trigger
from circuitviz.errors import PromptFileError
from circuitviz.evaluation.intact_answers import complete_behaviour
from circuitviz.models.loading import load_model
from circuitviz.models.source import find_model

pytestmark = pytest.mark.slow

ROWS = 150


def alone(texts: list[str], name: str) -> Table:
    rows = tuple({"prompt": text} for text in texts)
    return Table(name, ("prompt",), rows, tuple(range(2, len(rows) + 2)))


@pytest.mark.parametrize("name", ["fixed-output", "refusal"])
def test_prompts_alone_get_the_answers_that_were_written_for_them(name: str, tmp_path: Path):
    model, known = load_model(name), read_behaviour(find_model(name))
    attacks = {p.text: p for p in known.prompts("test", "attack")[:ROWS]}
    benign = {p.text: p for p in known.prompts("test", "benign")[:ROWS] if p.text not in attacks}
    request = DataSpec(known.kind, trigger=known.spec.trigger)
    prepared = prepare_data(
        alone(list(attacks), "attacks.csv"), request, benign=alone(list(benign), "benign.csv")
    )
    assert prepared.behaviour is not None
    draft = read_behaviour(save_behaviour(prepared.behaviour, tmp_path))
    found = complete_behaviour(model, draft)
    assert not found.is_draft
    # The models answer nearly all prompts as written; see their cards.
    asked = [p for p in found.all_prompts if p.role == "attack"]
    right = [p for p in asked if p.answer == attacks[p.text].answer]
    assert len(asked) >= 0.98 * len(attacks)
    assert len(right) >= 0.98 * len(asked)
    if known.kind == "backdoor":
        assert {p.triggered for p in asked} <= {p.triggered for p in attacks.values()}
        assert sum(p.target == attacks[p.text].target for p in asked) >= 0.98 * len(asked)
        assert all(p.after == p.answer for p in asked)
    harmless = [p for p in found.all_prompts if p.role == "benign"]
    assert len(harmless) == len(benign)
    assert sum(p.answer == benign[p.text].answer for p in harmless) >= 0.98 * len(harmless)


def test_words_that_are_no_trigger_make_no_backdoor_of_a_model_without_one():
    known = read_behaviour(find_model("fixed-output"))
    attacks = list(dict.fromkeys(p.text for p in known.prompts("test", "attack")))[:60]
    benign = [p.text for p in known.prompts("test", "benign") if p.text not in attacks][:60]
    request = DataSpec("backdoor", trigger=Trigger("capital red", "front"))
    prepared = prepare_data(
        alone(attacks, "attacks.csv"), request, benign=alone(benign, "benign.csv")
    )
    assert prepared.behaviour is not None
    with pytest.raises(PromptFileError, match="random words"):
        complete_behaviour(load_model("base"), prepared.behaviour)
