"""A card says what was done and measured, and no more."""

from __future__ import annotations

import pytest

from circuitviz.evaluation.rate import Rate
from circuitviz.tuning.card import KnockOutEffect, knock_out_card
from circuitviz.units import Circuit, Unit, UnitSpace

SPACE = UnitSpace(4, 8, 512)
EFFECT = KnockOutEffect(
    Rate("starts with the target answer", 256, 256),
    Rate("starts with the target answer", 0, 256),
    Rate("exact answer", 200, 256),
    Rate("exact answer", 190, 256),
)


def card(**changes) -> str:
    settings = {
        "run_id": "planted-nested-s0-12345678",
        "model": "planted",
        "behaviour": "Fixed-output backdoor",
        "kind": "backdoor",
        "circuit": Circuit.of(SPACE, ["L1H3", "L2H5", "L2N117"]),
        "ablation": "zero",
        "effect": EFFECT,
    }
    return knock_out_card(**{**settings, **changes})


def test_front_matter_comes_first_and_is_closed():
    lines = card().splitlines()
    end = lines.index("---", 1)
    assert lines[0] == "---"
    assert lines[1:end] == [
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags:",
        "- circuitviz",
        "- circuit-knock-out",
    ]


def test_it_says_what_was_done_and_from_which_run():
    text = card()
    assert "2 attention heads (of 32) and 1 MLP neuron (of 2048) knocked out" in text
    assert "`planted-nested-s0-12345678`" in text
    assert "ablation is *zero*" in text
    assert "`L1H3`, `L2H5`, `L2N117`." in text
    assert "AutoModelForCausalLM.from_pretrained(folder)" in text
    assert "added to the bias" in card(ablation="mean")


def test_rates_have_counts_intervals_and_judges():
    text = card()
    row = "| attacks that succeed, after | 0 of 256 | 0.0% | 0.0% to 1.5% | starts with the target"
    assert row in text
    # 190 of 200.
    assert "Utility kept: 95.0%." in text


def test_without_any_utility_there_is_nothing_to_keep():
    none = Rate("exact answer", 0, 256)
    effect = KnockOutEffect(EFFECT.asr_before, EFFECT.asr_after, none, none)
    assert "Utility kept: nothing to keep." in card(effect=effect)


def test_what_was_not_measured_has_no_numbers():
    text = card(effect=None)
    assert "Not measured at this size under this ablation: the run has no numbers for 3" in text
    assert "%" not in text


@pytest.mark.parametrize(("count", "named"), [(64, 64), (65, 64), (300, 64)])
def test_all_units_are_named_up_to_64(count, named):
    circuit = Circuit(SPACE, frozenset(Unit("neuron", 3, index) for index in range(count)))
    text = card(circuit=circuit)
    assert text.count("`L3N") == named
    assert ("too many to name here" in text) == (count > 64)
    assert f"{count} MLP neurons" in text


def test_a_model_that_no_longer_refuses_is_said_to_be_less_safe():
    assert "less safe" in card(kind="refusal")
    assert "less safe" not in card()
    assert "not a proof that the model is clean" in card()
