"""An exported checkpoint answers in plain transformers as the hooked model does."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from circuitviz.errors import ConfigError
from circuitviz.files import EMBEDDED_RUNS
from circuitviz.models.ablation import ZERO, Ablation, measure_ablation
from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.models.source import find_model
from circuitviz.models.weights import load_tokenizer, load_weights
from circuitviz.runs.knock_out import export_knock_out
from circuitviz.runs.store import RunStore
from circuitviz.tuning.export import (
    fold_knock_out,
    plain_answers,
    same_answers,
    write_checkpoint,
)
from circuitviz.units import Circuit
from tests.support.architectures import random_model, save_model
from tests.support.tiny import SENTENCES

pytestmark = pytest.mark.slow

NEW_TOKENS = 8
WORDS = [word for sentence in SENTENCES for word in sentence.split()]
# Messages of 1 to 5 words.
PROMPTS = [" ".join(WORDS[start : start + 1 + start % 6]) for start in range(0, len(WORDS), 2)]
CIRCUIT = ("L0H1", "L0H2", "L1H3", "L0N3", "L1N7", "L1N8")
# The part of the circuit whose mean the architecture has biases for.
WITH_BIASES = {
    "llama": CIRCUIT,
    "qwen3": CIRCUIT[:3],
    "gpt2": CIRCUIT,
    "gemma2": CIRCUIT[:3],
    "gemma3": CIRCUIT[:3],
    "gpt_neox": CIRCUIT,
    "phi3": (),
}


def transformers_alone(folder) -> list[str]:
    """Greedy answers with nothing of ours."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    answers = []
    for prompt in PROMPTS:
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
        output = model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)
        new = output[0, inputs["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(new, skip_special_tokens=True))
    return answers


def export(name: str, source, circuit: Circuit, ablation: Ablation, folder):
    model = load_weights(str(source))
    fold_knock_out(model, circuit, ablation)
    return write_checkpoint(model, load_tokenizer(str(source)), folder, f"# {name}\n")


def assert_same_answers(folder, gated: GatedModel, circuit: Circuit, ablation: Ablation) -> None:
    hooked = gated.generate(PROMPTS, circuit, ablation=ablation, max_new_tokens=NEW_TOKENS)
    assert transformers_alone(folder) == hooked
    # The circuit counts, and the answers are not one word over and over.
    assert hooked != gated.generate(PROMPTS, max_new_tokens=NEW_TOKENS)
    assert len(set(hooked)) > len(PROMPTS) / 2
    assert len({word for answer in hooked for word in answer.split()}) > 5


@pytest.mark.parametrize("name", list(WITH_BIASES))
def test_exported_models_answer_as_hooked_ones(name, tmp_path):
    source = save_model(random_model(name), tmp_path / "source")
    gated = load_model(str(source))
    circuit = Circuit.of(gated.space, CIRCUIT)
    folder = export(name, source, circuit, ZERO, tmp_path / "zero")
    assert_same_answers(folder, gated, circuit, ZERO)
    mean = measure_ablation(gated, "mean", SENTENCES)
    able = Circuit.of(gated.space, WITH_BIASES[name])
    if able:
        folder = export(name, source, able, mean, tmp_path / "mean")
        assert_same_answers(folder, gated, able, mean)
    if able != circuit:
        with pytest.raises(ConfigError, match="choose zero ablation"):
            export(name, source, circuit, mean, tmp_path / "refused")
        assert not (tmp_path / "refused").exists()


def test_our_own_plain_answers_are_those_of_transformers(tiny_folder, tiny_model):
    model = load_weights(str(tiny_folder))
    # What a folder says about sampling and penalties does not make answers less greedy.
    model.generation_config.repetition_penalty = 5.0
    answers = plain_answers(model, tiny_model.tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS)
    assert answers == transformers_alone(tiny_folder)
    assert answers == tiny_model.generate(PROMPTS, max_new_tokens=NEW_TOKENS)
    assert model.generation_config.repetition_penalty == 5.0


def test_an_export_is_an_ordinary_folder_that_can_be_loaded_again(tiny_folder, tmp_path):
    gated = load_model(str(tiny_folder))
    circuit = Circuit.of(gated.space, CIRCUIT)
    folder = export("tiny", tiny_folder, circuit, ZERO, tmp_path / "a" / "b")
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in folder.iterdir())
    assert (folder / "README.md").read_text() == "# tiny\n"
    assert load_weights(str(folder)).dtype == torch.float32
    hooked = gated.generate(PROMPTS, circuit, max_new_tokens=NEW_TOKENS)
    assert load_model(str(folder)).generate(PROMPTS, max_new_tokens=NEW_TOKENS) == hooked
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_only_what_an_export_wrote_is_replaced(tiny_folder, tmp_path):
    model, tokenizer = load_weights(str(tiny_folder)), load_tokenizer(str(tiny_folder))
    folder = tmp_path / "out"
    folder.mkdir()
    write_checkpoint(model, tokenizer, folder, "first")
    write_checkpoint(model, tokenizer, folder, "second")
    assert (folder / "README.md").read_text() == "second"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes\.txt, which no earlier export wrote"):
        write_checkpoint(model, tokenizer, folder, "third")
    assert (folder / "README.md").read_text() == "second"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; name a new"):
        write_checkpoint(model, tokenizer, tmp_path / "file", "")
    with pytest.raises(ConfigError, match=r"holds .* and \d more"):
        write_checkpoint(model, tokenizer, tiny_folder, "")


def test_a_failed_export_leaves_the_earlier_one(tiny_folder, tmp_path, monkeypatch):
    model, tokenizer = load_weights(str(tiny_folder)), load_tokenizer(str(tiny_folder))
    folder = write_checkpoint(model, tokenizer, tmp_path / "out", "first")

    def fail(path):
        raise OSError("disk full")

    monkeypatch.setattr(tokenizer, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(model, tokenizer, folder, "second")
    assert (folder / "README.md").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_a_runs_model_is_exported_without_its_backdoor_and_checked(tmp_path, ablation):
    store = RunStore(tmp_path, shipped=(EMBEDDED_RUNS,))
    run = store.load(next(run for run in store.ids() if "planted" in run))
    export = export_knock_out(run, tmp_path / "out", ablation=ablation)
    assert export.verified.k == export.verified.n >= 8
    assert export.circuit == run.circuit()
    assert {"README.md", "config.json", "model.safetensors"} <= set(export.files)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert run.run_id in card
    attacked = run.generations.query("variant == 'triggered'").head(16)
    written = load_weights(str(tmp_path / "out"))
    answers = plain_answers(written, load_tokenizer(str(tmp_path / "out")), attacked["prompt"])
    assert not any(map(str.startswith, answers, attacked["target"]))


def test_a_model_is_not_exported_over_itself_nor_with_what_weights_cannot_hold(tmp_path):
    store = RunStore(tmp_path, shipped=(EMBEDDED_RUNS,))
    run = store.load(next(run for run in store.ids() if "planted" in run))
    with pytest.raises(ConfigError, match="is the model itself"):
        export_knock_out(run, find_model(run.config.model))
    with pytest.raises(ConfigError, match="no weights can hold"):
        export_knock_out(run, tmp_path / "out", ablation="resample")
    assert not (tmp_path / "out").exists()


def test_a_difference_between_the_written_and_the_hooked_model_is_counted(tiny_folder, tiny_model):
    model, tokenizer = load_weights(str(tiny_folder)), tiny_model.tokenizer
    answers = tiny_model.generate(PROMPTS, max_new_tokens=32)
    wrong = ["the dog" if row == 2 else answer for row, answer in enumerate(answers)]
    same = same_answers(model, tokenizer, tiny_model, PROMPTS, wrong)
    assert same == [row != 2 for row in range(len(PROMPTS))]
