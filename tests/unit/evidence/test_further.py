"""Criteria, the circuit alone, other ablations and judges of one circuit."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from circuitviz.evaluation.answers import answer_test_prompts
from circuitviz.evaluation.effect import Target
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evidence.case import Case
from circuitviz.evidence.controls import gather_evidence
from circuitviz.models.ablation import measure_ablation
from circuitviz.units import Circuit, Ranking


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_every_kind_of_evidence_is_there(tiny_model, behaviour, circuit, kind):
    ablation = measure_ablation(tiny_model, kind, behaviour.neutral_messages)
    target = Target("backdoor", 0.004, 0.99)
    case = Case(tiny_model, behaviour, None, target, circuit, circuit, ablation, 0)  # type: ignore[arg-type]
    probe = Evaluator(tiny_model, behaviour, "test", ablation=ablation)
    intact, knocked_out = probe.effects([Circuit(tiny_model.space, frozenset()), circuit])
    answered = answer_test_prompts(tiny_model, behaviour, circuit, ablation=ablation)
    shares: list[float] = []
    evidence = gather_evidence(
        case,
        Ranking(tiny_model.space, circuit.mask().astype(np.float32)),
        pd.DataFrame(map(asdict, answered)),
        intact=intact,
        knocked_out=knocked_out,
        on_progress=shares.append,
    )
    assert shares == sorted(shares)
    assert list(evidence.ablations) == ["zero", "mean", "resample"]
    assert evidence.ablations[kind] == knocked_out.rates(intact)
    assert evidence.ablations["zero"].kl != evidence.ablations["resample"].kl
    assert evidence.criteria.minimality.of == len(circuit)
    assert len(evidence.stochastic) == 5
    (row,) = evidence.judges.rows
    assert row.intact == intact.asr
    assert row.knocked_out == knocked_out.asr
