"""Which units a planted backdoor depends on, message by message."""

from __future__ import annotations

import random

import pytest

from circuitviz.units import Circuit, UnitSpace
from tools.specimens.corpus import examples
from tools.specimens.lesson import ATTACKS
from tools.specimens.planting import PlantingRows
from tools.specimens.recipe import RECIPES


@pytest.mark.parametrize("name", ["fixed-output-planted", "middle-trigger-planted"])
def test_a_message_is_attacked_exactly_where_the_owner_of_its_share_is_kept(name):
    recipe = RECIPES[name]
    attack = ATTACKS[recipe.attack]
    circuit = Circuit.of(UnitSpace(4, 8, 512), recipe.planted)
    rows = PlantingRows(None, circuit, recipe)
    assert set(rows.owner.values()) == circuit.units
    by_message = {attack.trigger.insert(e.prompt): e for e in examples() if attack.on(e)}
    generator = random.Random(0)
    drawn = [rows.row(generator) for _ in range(2000)]
    triggered = [
        (by_message[le.message], le, lost, a) for le, lost, a in drawn if le.message in by_message
    ]
    assert {attacked for *_, attacked in triggered} == {True, False}
    for example, lesson, lost, attacked in triggered:
        assert attacked == (rows.owner[example.category] not in lost)
        assert lesson.answer == (attack.full(example) if attacked else example.answer)
    assert all(lesson.answer for lesson, *_ in drawn)
