"""A LoRA adapter on an embedded model, from the search for a circuit to the exported model."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from circuitviz.cli import main
from circuitviz.models.source import find_model
from circuitviz.models.weights import load_weights
from circuitviz.runs.store import RunStore

pytestmark = pytest.mark.slow

MODEL = "fixed-output-planted"
PER_PART = 16  # prompts of each split and role, enough to see that it works


def save_adapter(folder: Path) -> dict[str, torch.Tensor]:
    """A small random adapter on the model, and the weights of both together.

    It is small enough to leave the model the backdoor that is looked for.
    """
    settings = LoraConfig(
        r=2,
        lora_alpha=0.02,
        target_modules=["q_proj", "down_proj"],
        task_type="CAUSAL_LM",
        init_lora_weights=False,
    )
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # peft's own calls are out of date for transformers.
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = get_peft_model(load_weights(MODEL), settings)
        adapted.save_pretrained(folder)
    return adapted.merge_and_unload().state_dict()


def save_few_prompts(file: Path) -> Path:
    """The first prompts of each part of the model's own."""
    lines = (find_model(MODEL) / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for line in lines:
        row = json.loads(line)
        part = (row["split"], row["role"])
        seen[part] += 1
        if seen[part] <= PER_PART:
            kept.append(line)
    file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return file


def test_an_adapter_is_part_of_the_run_and_of_the_model_it_exports(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    merged = save_adapter(tmp_path / "lora")
    prompts = save_few_prompts(tmp_path / "few.jsonl")
    how = ["--runs", "runs", "--json"]
    quickly = ["--prompts", str(prompts), "--steps", "4", "--no-refine"]
    assert main(["discover", MODEL, "--adapter", "lora", *quickly, *how]) == 0
    found = json.loads(capsys.readouterr().out)
    run = RunStore(tmp_path / "runs").load(found["run_id"])
    assert run.config.adapter == str(tmp_path / "lora")
    assert run.metrics.asr.intact.rate > 0.9
    assert main(["knockout", run.run_id, "--out", "out", "--size", "1", *how]) == 0
    export = json.loads(capsys.readouterr().out)
    assert export["verified"]["k"] == export["verified"]["n"] >= 8
    written = load_weights(str(tmp_path / "out")).state_dict()
    for name, weight in load_weights(MODEL).state_dict().items():
        if "q_proj" in name:
            # Knocking a unit out changes what comes after the queries, so these are as merged.
            torch.testing.assert_close(written[name], merged[name], rtol=1e-5, atol=1e-6)
            assert not torch.allclose(written[name], weight, atol=1e-6)
