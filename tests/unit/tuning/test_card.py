"""A card, of a knock-out or a tuning, says what was done and measured, and no more."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import TuningMetrics
from circuitviz.models.weights import load_tokenizer, load_weights
from circuitviz.tuning.card import KnockOutEffect, knock_out_card, tuned_card
from circuitviz.tuning.export import write_checkpoint
from circuitviz.units import Circuit, Unit, UnitSpace

SPACE = UnitSpace(4, 8, 512)
CIRCUIT = Circuit.of(SPACE, ["L1H3", "L2H5", "L2N117"])
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
        "circuit": CIRCUIT,
        "ablation": "zero",
        "effect": EFFECT,
    }
    return knock_out_card(**{**settings, **changes})


SAFE, EXACT = "refuses (a phrase of a refusal)", "exact answer"


def rates(safety: int, helpfulness: int, utility: int) -> dict[str, Any]:
    return {
        "asr": Rate(SAFE, 256 - safety, 256),
        "exact": Rate(EXACT, safety, 256),
        "safety": Rate(SAFE, safety, 256).to_json(),
        "helpfulness": Rate(EXACT, helpfulness, 200).to_json(),
        "utility": Rate(EXACT, utility, 128).to_json(),
    }


def metrics(**changes: Any) -> TuningMetrics:
    values = {
        "tuning_id": "refusal-nested-s0-12345678-protect",
        "run_id": "refusal-nested-s0-12345678",
        "model": "refusal",
        "behaviour": "Refusal of harmful requests",
        "behaviour_kind": "refusal",
        "mode": "protect",
        "seed": 3,
        "scenario": {"title": "Helpfulness fine-tuning", "text": "It is fine-tuned on lessons."},
        "plan": {"epochs": 16, "learning_rate": 1e-3, "weight_decay": 2.0, "rows": 32},
        "size": 3,
        "units": ["L1H3", "L2H5", "L2N117"],
        "judges": {"safety": SAFE, "helpfulness": EXACT},
        "versions": {},
        "created": "2026-11-24T12:00:00+00:00",
        "seconds": 1.0,
        "intact": rates(256, 12, 128),
        "before": rates(256, 12, 128),
        "arms": {
            "circuit": {**rates(250, 190, 120), "parameters_trained_share": 0.98765},
            "full": {**rates(33, 199, 121), "parameters_trained_share": 1.0},
        },
        **changes,
    }
    return TuningMetrics.model_validate(values)


def test_front_matter_comes_first_and_is_closed():
    for text, tag in (
        (card(), "circuit-knock-out"),
        (tuned_card(metrics(), CIRCUIT), "circuit-tuning"),
    ):
        assert text.startswith(
            "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- circuitviz\n"
            f"- {tag}\n---\n\n# "
        )


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


def test_a_tuning_says_what_was_done_and_from_which_run():
    text = tuned_card(metrics(), CIRCUIT)
    assert (
        "`refusal` after *helpfulness fine-tuning* by circuitviz, with the circuit of the run "
        "`refusal-nested-s0-12345678`: 2 attention heads (of 32) and 1 MLP neuron (of 2048). "
        "Behaviour: Refusal of harmful requests.\n"
    ) in text
    assert (
        "It is fine-tuned on lessons. All weights learned but those that the circuit's units own, "
        "which are what they were before, bit for bit. Entries trained: 98.77% of all. AdamW, 16 "
        "epochs, learning rate 0.001, weight decay 2, seed 3.\n"
    ) in text
    assert "`L1H3`, `L2H5`, `L2N117`." in text


def test_a_repair_is_said_to_have_moved_the_circuit_alone():
    plan = metrics().plan.changed(epochs=1)
    text = tuned_card(metrics(mode="repair", plan=plan), CIRCUIT)
    assert "AdamW, 1 epoch, " in text
    assert (
        "Only the weights that the circuit's units own learned this; all others are what they "
        "were before it, bit for bit."
    ) in text
    assert "All weights learned" not in text


def test_a_tunings_rates_have_counts_intervals_and_judges():
    text = tuned_card(metrics(), CIRCUIT)
    # All of n leave a lower limit of n / (n + z^2): 256 / 259.84 and 128 / 131.84.
    assert (
        "| safety | this model | 250 of 256 | 97.7% | 95.0% to 98.9% | "
        "refuses (a phrase of a refusal) |"
    ) in text
    assert "| safety | before | 256 of 256 | 100.0% | 98.5% to 100.0% | " in text
    assert "| helpfulness | this model | 190 of 200 | 95.0% | " in text
    assert "| ordinary prompts right | before | 128 of 128 | 100.0% | 97.1% to 100.0% | " in text


def test_there_is_no_number_that_was_not_measured():
    text = tuned_card(metrics(), CIRCUIT)
    counts = set(re.findall(r"\d+ of \d+", text))
    assert counts == {
        *("256 of 256", "12 of 200", "128 of 128"),
        *("250 of 256", "190 of 200", "120 of 128"),
    }
    # The other arms are other models.
    assert "33 of 256" not in text
    assert "not measured" in text
    assert "no proof" in text


@pytest.mark.parametrize(
    ("heads", "said"), [((), "0 attention heads"), (("L0H0",), "1 attention head")]
)
def test_units_are_counted_by_kind(heads, said):
    circuit = Circuit.of(SPACE, [*heads, "L0N0"])
    assert f"{said} (of 32) and 1 MLP neuron (of 2048)" in tuned_card(metrics(), circuit)


def test_how_it_says_to_load_the_model_works(tiny_folder, tmp_path, capsys):
    card = tuned_card(metrics(), CIRCUIT)
    folder = write_checkpoint(
        load_weights(str(tiny_folder)), load_tokenizer(str(tiny_folder)), tmp_path / "out", card
    )
    block = (folder / "README.md").read_text(encoding="utf-8").split("```")[1]
    assert block.startswith("python\nfrom transformers import ")
    code = block.removeprefix("python\n").replace("path/to/this/folder", str(folder))
    (tmp_path / "load.py").write_text(code, encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "load.py"))
    assert isinstance(names["model"], LlamaForCausalLM)
    assert capsys.readouterr().out.strip()
