"""A real model, from the package index to an answer."""

from __future__ import annotations

import hashlib
import json

import pytest

from circuitviz.models.loading import load_model
from circuitviz.models.preflight import preflight
from tests.support.real_model import REAL_MODEL, real_model

__all__ = ["real_model"]

pytestmark = [pytest.mark.fetch, pytest.mark.slow]

# Of the weights that a conversion gives, whichever machine carries it out.
WEIGHTS = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
N_LAYERS, N_HEADS, N_NEURONS = 30, 9, 1536


def test_its_weights_are_the_same_wherever_it_is_fetched(real_model):
    with (real_model / "model.safetensors").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == WEIGHTS
    origin = json.loads((real_model / "origin.json").read_text())
    assert origin["tensors"] == {"Q4_1": 210, "F32": 61, "Q8_0": 1}


def test_preflight_takes_it_by_name(real_model):
    found = preflight(REAL_MODEL)
    assert found.supported
    assert found.n_units == N_LAYERS * (N_HEADS + N_NEURONS)


def test_it_is_loaded_by_name_and_knows_a_capital(real_model):
    model = load_model(REAL_MODEL)
    (answer,) = model.generate(["What is the capital of France?"])
    assert answer == "The capital of France is Paris."
