"""Answers token by token against answers at once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from circuitviz.models.ablation import measure_ablation
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit
from tests.support.tiny import SENTENCES

UNITS = [None, [], ["L0H0", "L1N3"], ["L1H1", "L1H2", "L0N1"]]


@pytest.mark.parametrize("units", UNITS)
def test_the_last_text_is_what_generate_says(tiny_model: GatedModel, units):
    circuit = None if units is None else Circuit.of(tiny_model.space, units)
    for prompt in SENTENCES:
        texts = list(tiny_model.stream(prompt, circuit, max_new_tokens=6))
        (whole,) = tiny_model.generate([prompt], circuit, max_new_tokens=6)
        assert texts[-1] == whole
        assert len(texts) <= 6
        assert all(later.startswith(text) for text, later in pairwise(texts))


def test_an_ablation_is_the_one_generate_uses(tiny_model: GatedModel):
    circuit = Circuit.of(tiny_model.space, ["L0H0", "L1N3"])
    ablation = measure_ablation(tiny_model, "resample", list(SENTENCES), seed=0)
    *_, last = tiny_model.stream(SENTENCES[0], circuit, ablation=ablation, max_new_tokens=5)
    (whole,) = tiny_model.generate([SENTENCES[0]], circuit, ablation=ablation, max_new_tokens=5)
    assert last == whole


def test_between_two_tokens_the_model_is_as_it_was(tiny_model: GatedModel):
    circuit = Circuit.of(tiny_model.space, ["L0H0", "L0H1", "L1H1"])
    (before,) = tiny_model.generate([SENTENCES[0]], None, max_new_tokens=4)
    texts = tiny_model.stream(SENTENCES[1], circuit, max_new_tokens=5)
    next(texts)
    texts.close()
    (after,) = tiny_model.generate([SENTENCES[0]], None, max_new_tokens=4)
    assert before == after
