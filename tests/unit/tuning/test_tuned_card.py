"""The card of a tuned model says what was done and measured, and no more."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import TuningMetrics
from circuitviz.models.weights import load_tokenizer, load_weights
from circuitviz.tuning.card import tuned_card
from circuitviz.tuning.export import write_checkpoint
from circuitviz.units import Circuit, UnitSpace

SPACE = UnitSpace(4, 8, 512)
CIRCUIT = Circuit.of(SPACE, ["L1H3", "L2H5", "L2N117"])
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
    lines = tuned_card(metrics(), CIRCUIT).splitlines()
    end = lines.index("---", 1)
    assert lines[0] == "---"
    assert lines[1:end] == [
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags:",
        "- circuitviz",
        "- circuit-tuning",
    ]


def test_it_says_what_was_done_and_from_which_run():
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
    text = tuned_card(metrics(mode="repair"), CIRCUIT)
    assert (
        "Only the weights that the circuit's units own learned this; all others are what they "
        "were before it, bit for bit."
    ) in text
    assert "All weights learned" not in text


def test_one_epoch_is_one():
    plan = metrics().plan.changed(epochs=1)
    assert "AdamW, 1 epoch, " in tuned_card(metrics(plan=plan), CIRCUIT)


def test_rates_have_counts_intervals_and_judges():
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
