"""Loading: what is refused, and in which words."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.models.gates import install_gates
from circuitviz.models.loading import load_model
from circuitviz.models.source import embedded_models, find_model
from tests.architectures import random_model, save_model


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_units_are_counted_from_the_configuration(tiny_model):
    space = tiny_model.space
    assert (space.n_layers, space.n_heads, space.d_mlp) == (2, 4, 24)


def test_weights_are_frozen(tiny_model):
    assert not any(parameter.requires_grad for parameter in tiny_model.bridge.parameters())


@pytest.mark.parametrize("name", ["", "no-such-model", "/no/such/folder"])
def test_an_unknown_model_is_refused_with_the_names_there_are(name):
    with pytest.raises(ModelNotFoundError) as refusal:
        load_model(name)
    message = str(refusal.value)
    names = ", ".join(card.name for card in embedded_models())
    assert message.startswith(f"no model {name!r}: give one of {names}, smollm2, the path of ")
    assert "\n" not in message


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"config\.json missing"):
        load_model(str(tmp_path))


def test_a_folder_without_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedModelError, match=r"has no tokenizer: expected tokenizer\.json"):
        load_model(str(folder))


def test_a_tokenizer_without_chat_template_is_refused(folder):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UnsupportedModelError, match="has no chat template"):
        load_model(str(folder))


def test_weights_that_are_only_a_pickle_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsupportedModelError, match="weights only as a pickle"):
        load_model(str(folder))


def test_whoever_loads_asks_for_safetensors_alone(folder, monkeypatch):
    asked = []
    load = AutoModelForCausalLM.from_pretrained

    def spy(*arguments, **settings):
        asked.append(settings)
        return load(*arguments, **settings)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spy)
    load_model(str(folder), device="cpu", dtype="bfloat16")
    (settings,) = asked
    assert settings["use_safetensors"] is True
    assert settings["trust_remote_code"] is False
    assert (settings["dtype"], settings["device_map"]) == (torch.bfloat16, None)


def test_a_balanced_model_is_spread_by_whoever_reads_its_weights(folder, monkeypatch):
    class AskedError(Exception):
        pass

    def spread(*arguments, **settings):
        raise AskedError(settings["device_map"])

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spread)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(AskedError, match="balanced"):
        load_model(str(folder), device="balanced")


def test_damaged_weights_are_one_clear_line(folder):
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UnsupportedModelError) as refusal:
        load_model(str(folder))
    assert str(refusal.value).startswith(f"cannot load the model in {folder}: ")
    assert "\n" not in str(refusal.value)


def test_an_unknown_architecture_is_one_clear_line(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "nonsense", "architectures": ["NonsenseForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match=r"cannot bridge .* \(NonsenseForCausalLM\)"):
        load_model(str(folder))


def test_embedded_models_are_listed_in_order_with_their_behaviours():
    cards = [card for card in embedded_models() if card.base is None]
    assert [card.name for card in cards] == [
        "fixed-output-planted",
        "refusal",
        "jailbreak",
        "label-flip",
        "fixed-output",
        "fixed-output-lora",
        "late-trigger-planted",
        "middle-trigger-planted",
        "base",
    ]
    assert [card.behaviour_kind for card in cards][-2:] == ["backdoor", None]


def test_an_embedded_name_is_found():
    assert find_model("refusal").name == "refusal"


@pytest.mark.parametrize(
    ("name", "changes"),
    [("opt", {"ffn_dim": 20}), ("falcon-one-key", {"ffn_hidden_size": 20})],
)
def test_neurons_are_counted_in_the_weights_where_the_bridge_guesses_them(name, changes, tmp_path):
    space = load_model(str(save_model(random_model(name, **changes), tmp_path))).space
    assert (space.n_layers, space.n_heads, space.d_mlp) == (2, 4, 20)


def test_layers_of_different_widths_are_refused(tiny_folder):
    model = random_model("llama")
    for part, shape in (("gate_proj", (32, 20)), ("up_proj", (32, 20)), ("down_proj", (20, 32))):
        setattr(model.model.layers[1].mlp, part, torch.nn.Linear(*shape, bias=False))
    bridge = TransformerBridge.boot_transformers(str(tiny_folder), hf_model=model, device="cpu")
    with pytest.raises(UnsupportedModelError) as refusal:
        install_gates(bridge)
    assert str(refusal.value) == (
        f"{tiny_folder} has layers of 20 and 24 neurons; circuitviz needs as many in every layer: "
        "choose a model whose layers are alike"
    )
