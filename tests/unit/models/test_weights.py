"""Weights with a LoRA adapter: merged exactly, found with their base, or refused."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.models.loading import load_model
from circuitviz.models.source import find_source
from circuitviz.models.weights import load_tokenizer, load_weights
from tests.support.architectures import random_model, save_model
from tests.support.tiny import tiny_tokenizer

TOKENS = torch.tensor([[1, 17, 9, 30, 12, 44]])


def save_adapter(name: str, base: Path, folder: Path) -> tuple[Path, torch.Tensor]:
    """A random adapter on a random model, as peft writes it, and the logits of both together."""
    settings = LoraConfig(
        r=2,
        lora_alpha=4,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        init_lora_weights=False,
        fan_in_fan_out=name == "gpt2",
    )
    with warnings.catch_warnings():
        # peft's own calls are out of date for transformers.
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = get_peft_model(random_model(name), settings)
        adapted.peft_config["default"].base_model_name_or_path = str(base)
        adapted.save_pretrained(folder)
    with torch.no_grad():
        return folder, adapted(TOKENS).logits


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Path, Path, torch.Tensor]:
    """Base, adapter, and the logits of both together."""
    root = tmp_path_factory.mktemp("adapted")
    base = save_model(random_model("llama"), root / "base")
    return base, *save_adapter("llama", base, root / "adapter")


@pytest.fixture
def adapter(saved, tmp_path) -> Path:
    return shutil.copytree(saved[1], tmp_path / "adapter")


def configure(adapter: Path, **changes: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_merged_model_gives_the_logits_of_model_and_adapter(name, tmp_path):
    base = save_model(random_model(name), tmp_path / "base")
    folder, logits = save_adapter(name, base, tmp_path / "adapter")
    merged = load_model(str(base), adapter=str(folder))
    torch.testing.assert_close(merged.logits(TOKENS), logits, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(load_model(str(base)).logits(TOKENS), logits, atol=0.1)
    assert not any(parameter.requires_grad for parameter in merged.bridge.parameters())


@torch.no_grad()
def test_an_adapters_folder_stands_for_itself_on_its_base(saved):
    base, adapter, logits = saved
    merged = load_model(str(adapter))
    torch.testing.assert_close(merged.logits(TOKENS), logits, rtol=1e-4, atol=1e-4)
    plain = load_weights(str(adapter))
    torch.testing.assert_close(plain(TOKENS).logits, logits, rtol=1e-4, atol=1e-4)
    assert set(plain.state_dict()) == set(load_weights(str(base)).state_dict())


def test_a_base_beside_the_adapter_is_found_by_its_relative_path(saved, adapter):
    shutil.copytree(saved[0], adapter.parent / "base")
    configure(adapter, base_model_name_or_path="../base")
    assert find_source(str(adapter)).base.resolve() == (adapter.parent / "base").resolve()


def test_a_tokenizer_saved_with_the_adapter_is_used(saved, adapter):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(adapter)
    assert load_tokenizer(str(saved[0]), adapter=str(adapter)).chat_template[:4] == "{{ m"
    assert load_model(str(adapter)).tokenizer.chat_template[:4] == "{{ m"
    assert find_source(str(saved[0]), str(saved[1])).tokenizer == saved[0]


def refused(name: str | Path, adapter: Path | str | None, *words: str) -> None:
    """Loading refuses in one line with these words."""
    with pytest.raises((UnsupportedModelError, ModelNotFoundError)) as refusal:
        load_model(str(name), adapter=str(adapter) if adapter else None)
    assert all(word in str(refusal.value) for word in words), refusal.value
    assert "\n" not in str(refusal.value)


def test_a_folder_without_an_adapter_is_refused(saved):
    refused(saved[0], "/no/such/adapter", "no adapter '/no/such/adapter': give the path")
    refused(saved[0], saved[0], "not an adapter's folder: adapter_config.json missing")


def test_weights_that_are_only_a_pickle_are_refused(saved, adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    refused(saved[0], adapter, "only as a pickle (adapter_model.bin)", "save_pretrained writes")
    (adapter / "adapter_model.bin").unlink()
    refused(saved[0], adapter, f"{adapter} has no adapter_model.safetensors; ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"auto_mapping": {"parent_library": "evil.code"}}, "own (auto_mapping: evil.code)"),
        ({"megatron_config": {"a": 1}, "megatron_core": "evil"}, "own (megatron_core: evil)"),
        ({"peft_type": "PREFIX_TUNING"}, "an adapter of kind PREFIX_TUNING; only LORA"),
    ],
)
def test_other_kinds_and_code_that_an_adapter_names_are_refused(saved, adapter, changes, words):
    configure(adapter, **changes)
    refused(saved[0], adapter, str(adapter), words)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("llama", {"hidden_size": 48}, "down_proj has 32 outputs, and this model's has 48"),
        ("llama", {"intermediate_size": 20}, "down_proj has 24 inputs, and this model's has 20"),
        ("gpt2", {}, "changes model.layers.0.mlp.down_proj, which GPT2LMHeadModel has not"),
    ],
)
def test_an_adapter_of_another_model_is_refused(saved, tmp_path, name, changes, words):
    base = save_model(random_model(name, **changes), tmp_path / "other")
    refused(base, saved[1], str(saved[1]), words)


def test_an_adapter_that_lacks_weights_is_refused(saved, adapter):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors.pop(next(name for name in tensors if "lora_B" in name))
    save_file(tensors, path)
    refused(saved[0], adapter, f"{adapter} is incomplete: adapter_model.safetensors lacks weights")


def test_an_adapter_whose_base_is_not_here_is_refused(adapter):
    configure(adapter, base_model_name_or_path="org/base")
    refused(adapter, None, f"{adapter} adapts 'org/base', which is not here; ", "--adapter")
    configure(adapter, base_model_name_or_path=None)
    refused(adapter, None, f"{adapter} does not say which model it adapts; ", "--adapter")


def test_an_adapter_on_an_adapter_is_refused(saved, adapter):
    refused(adapter, saved[1], f"{adapter} is an adapter itself")
    configure(adapter, base_model_name_or_path=str(saved[1]))
    refused(adapter, None, f"{adapter} adapts '{saved[1]}', which is an adapter as well")
