"""Every refusal, warning and advice before loading; and that loading refuses the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import Linear
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM

from circuitviz.cli import main
from circuitviz.commands.models import preflight_text
from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.models import preflight as module
from circuitviz.models.loading import load_model
from circuitviz.models.memory import AvailableMemory, ModelShape, estimate_memory
from circuitviz.models.preflight import MemorySettings, advice, preflight
from tests.support.architectures import random_model, save_model

GIB = 1024**3
PICKLED = "only as a pickle"


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of 16 GiB without a GPU, or another one."""

    def has(cpu: int = 16 * GIB, *gpus: int) -> None:
        monkeypatch.setattr(module, "available_memory", lambda: AvailableMemory(cpu, gpus))

    has()
    return has


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def configure(folder: Path, name: str = "config.json", **changes: Any) -> Path:
    path = folder / name
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value != "gone"}))
    return folder


def refused(folder: Path, *reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Preflight refuses for these reasons, told by what each names; loading for one of them."""
    report = preflight(str(folder))
    assert len(report.refusals) == len(reasons)
    for refusal, words in zip(report.refusals, reasons, strict=True):
        assert all(word in refusal for word in (str(folder), *words)), refusal
        assert "\n" not in refusal
    assert not report.supported
    assert report.advice == ()
    with pytest.raises(UnsupportedModelError) as refusal:
        load_model(str(folder))
    assert str(refusal.value) in report.refusals
    return report.refusals


def test_a_model_that_can_be_used_is_described_from_its_files(folder):
    report = preflight(str(folder), rows=2, length=10)
    weights = load_file(folder / "model.safetensors")
    assert report.parameters == sum(weight.numel() for weight in weights.values())
    assert (report.supported, report.refusals, report.warnings, report.advice) == (True, (), (), ())
    assert (report.architecture, report.model_type) == ("LlamaForCausalLM", "llama")
    sizes = (report.n_layers, report.n_heads, report.n_kv_heads, report.d_head, report.d_mlp)
    assert sizes == (2, 4, 2, 8, 24)
    assert report.n_units == 2 * (4 + 24)
    assert (report.stored_dtype, report.chat_template) == ("float32", True)
    assert (report.device, report.memory_available) == ("cpu", 16 * GIB)
    assert report.memory.weights == 4 * report.parameters
    assert json.loads(json.dumps(report.to_json()))["memory"]["total"] == report.memory.total


def test_memory_is_that_of_the_memory_model(folder):
    d_vocab = json.loads((folder / "config.json").read_text())["vocab_size"]
    report = preflight(str(folder), rows=3, length=7, dtype="bfloat16", checkpointing=True)
    shape = ModelShape(2, 32, 4, 2, 8, 24, True, d_vocab, report.parameters)
    settings = MemorySettings(rows=3, length=7, dtype="bfloat16", checkpointing=True)
    assert report.memory == estimate_memory(shape, settings)


@pytest.mark.parametrize(
    ("name", "changes", "width"),
    [("opt", {"ffn_dim": 20}, 20), ("falcon-one-key", {"ffn_hidden_size": 20}, 20)],
)
def test_neurons_are_those_that_loading_finds(name, changes, width, tmp_path):
    folder = save_model(random_model(name, **changes), tmp_path)
    report = preflight(str(folder))
    assert report.d_mlp == load_model(str(folder)).space.d_mlp == width


def test_weights_are_not_read(folder, monkeypatch):
    monkeypatch.setattr("safetensors.torch.load_file", None)
    monkeypatch.setattr("safetensors.torch.safe_open", None)
    assert preflight(str(folder)).supported


# The form of the model, and its files.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_local_experts": 8}, ("mixture of experts", "num_local_experts 8")),
        ({"num_experts": 60}, ("mixture of experts", "num_experts 60")),
        ({"n_routed_experts": 256}, ("mixture of experts", "n_routed_experts 256")),
        ({"ffn_config": {"moe_num_experts": 16}}, ("of experts", "moe_num_experts 16")),
        ({"architectures": ["B"], "model_type": "bert"}, ("an encoder only (B)",)),
        ({"architectures": ["XForMaskedLM"], "model_type": "x"}, ("encoder only (XForMaskedLM)",)),
        ({"is_encoder_decoder": True}, ("encoder-decoder model (LlamaForCausalLM)",)),
        ({"model_type": "mamba"}, ("without attention heads", "state-space or recurrent")),
        (
            {"layer_types": ["linear_attention", "full_attention"]},
            ("without attention heads", "(linear_attention; "),
        ),
        ({"layer_types": ["conv", "full_attention"]}, ("without attention heads", "(conv; ")),
        (
            {"architectures": ["NonsenseForCausalLM"], "model_type": "nonsense"},
            ("cannot bridge the architecture", "(NonsenseForCausalLM)"),
        ),
        ({"architectures": "gone", "model_type": "gone"}, ("(no architecture named)",)),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, ("is quantised (gptq)",)),
        (
            {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}},
            ("needs code of its own", "never run"),
        ),
    ],
)
def test_forms_of_models_that_cannot_be_masked(folder, changes, words):
    configure(folder, **changes)
    (folder / "modeling_own.py").write_text("raise SystemExit('code of the folder was run')")
    refused(folder, words)


def test_no_experts_are_no_mixture(folder):
    configure(folder, num_experts=0, num_local_experts=None)
    assert preflight(str(folder)).supported


def test_code_that_is_not_needed_is_a_warning(folder):
    configure(folder, auto_map={"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"})
    (folder / "modeling_own.py").write_text("raise SystemExit('code of the folder was run')")
    report = preflight(str(folder))
    assert report.supported
    (warning,) = report.warnings
    assert "(auto_map in config.json), which is not run: transformers' own llama" in warning
    assert load_model(str(folder)).space.d_mlp == 24


def test_configurations_without_sizes_or_with_what_transformers_does_not_know(folder):
    configure(folder, hidden_size="gone")
    (refusal,) = preflight(str(folder)).refusals
    assert "does not say how large the model is ('hidden_size')" in refusal
    configure(folder, hidden_size=32, hidden_act="nonsense")
    (refusal,) = preflight(str(folder)).refusals
    assert refusal.startswith(f"cannot load the model in {folder}: ")
    assert "nonsense" in refusal


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "cannot be read as JSON: Expecting property"), ("[]", "it holds a list: get the file")],
)
def test_damaged_configurations(folder, text, why):
    (folder / "config.json").write_text(text)
    refused(folder, ("config.json", why))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.json", ("not a Hugging Face model folder",)),
        (
            "tokenizer.json",
            ("no tokenizer: expected tokenizer.json, tokenizer.model or vo",),
        ),
        ("model.safetensors", ("no safetensors weights (model.safetensors, or ",)),
    ],
)
def test_missing_files(folder, name, words):
    (folder / name).unlink()
    refused(folder, words)


def test_missing_chat_templates_and_ends(folder):
    (folder / "chat_template.jinja").unlink()
    configure(folder, "tokenizer_config.json", eos_token=None)
    refused(folder, ("no chat template",), ("no end-of-sequence token", "set eos_token"))
    assert not preflight(str(folder)).chat_template


def test_tokenizers_with_code_of_their_own(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"")
    configure(
        folder,
        "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]},
    )
    (folder / "tokenization_own.py").write_text("raise SystemExit('code of the folder was run')")
    (refusal,) = preflight(str(folder)).refusals
    assert "(auto_map in tokenizer_config.json), which is never run" in refusal


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["consolidated.00.pth"], "consolidated.00.pth"),
        (["model.pt"], "model.pt"),
        (["pytorch_model-1.bin", "pytorch_model-2.bin"], "pytorch_model-1.bin and 1 more"),
    ],
)
def test_weights_that_are_only_a_pickle(folder, names, listed):
    # Safetensors that are not loaded do not hide a pickle.
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    for name in names:
        (folder / name).write_bytes(b"never read")
    refused(folder, (f"only as a pickle ({listed})", f"save_pretrained('{folder}')"))


def test_weights_that_are_not_loaded_are_not_counted(folder):
    before = preflight(str(folder))
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    again = preflight(str(folder))
    assert again.parameters == before.parameters
    assert again.memory == before.memory


def in_shards(folder: Path, *written: int) -> dict[str, torch.Tensor]:
    """Weights in three files, of which some are written, and an index that names them all."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    places = {name: shards[place % 3] for place, name in enumerate(weights)}
    for shard in (shards[number] for number in written):
        part = {name: weight for name, weight in weights.items() if places[name] == shard}
        save_file(part, folder / shard, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return weights


def test_whole_shards_are_counted_together(folder):
    weights = in_shards(folder, 0, 1, 2)
    report = preflight(str(folder))
    assert report.supported
    assert report.parameters == sum(weight.numel() for weight in weights.values())
    assert load_model(str(folder)).space.d_mlp == 24


def test_incomplete_shards_and_indices_that_name_no_safetensors(folder):
    in_shards(folder, 0)
    refused(folder, ("incomplete", "names model-00002-of-00003.safetensors and 1 more"))
    index = folder / "model.safetensors.index.json"
    index.write_text("{}")
    refused(folder, ("names no files: weight_map missing",))
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "pytorch_model.bin"}}))
    refused(folder, ("names pytorch_model.bin, which is not a safetensors file",))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda data: b"", "header too small"),
        (lambda data: b"\xff" * 8 + data[8:], "header too large"),
        (lambda data: data[:-100], "not fully covered"),
    ],
)
def test_damaged_weights(folder, damage, why):
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    (refusal,) = preflight(str(folder)).refusals
    assert refusal.startswith(f"{path} is damaged or cut short (")
    assert why in refusal


def test_all_reasons_are_given_at_once(folder):
    configure(folder, num_local_experts=4, quantization_config={"quant_method": "awq"})
    (folder / "model.safetensors").unlink()
    refused(folder, ("is quantised (awq)",), ("mixture of experts",), ("no safetensors weights",))


# What only a model's own layers show.


def test_a_model_without_neurons(folder, monkeypatch):
    boot = TransformerBridge.boot_transformers

    def without(*given, **more):
        bridge = boot(*given, **more)
        bridge.cfg.d_mlp = None
        return bridge

    monkeypatch.setattr(TransformerBridge, "boot_transformers", without)
    refused(folder, ("mixture-of-experts layers or no MLP",))


def test_a_model_without_a_hook_point(folder, monkeypatch):
    find, missing = TransformerBridge.get_hook_point, "blocks.1.attn.hook_z"
    monkeypatch.setattr(
        TransformerBridge,
        "get_hook_point",
        lambda bridge, name: None if name == missing else find(bridge, name),
    )
    refused(folder, (f"has no hook point {missing}; ",))


def test_layers_of_different_widths(folder, monkeypatch):
    for name in ("from_config", "from_pretrained"):
        make = getattr(AutoModelForCausalLM, name)

        def uneven(*given, make=make, **more):
            model = make(*given, **more)
            for part, shape in (("gate", (32, 20)), ("up", (32, 20)), ("down", (20, 32))):
                setattr(model.model.layers[1].mlp, f"{part}_proj", Linear(*shape, bias=False))
            return model

        monkeypatch.setattr(AutoModelForCausalLM, name, uneven)
    refused(folder, ("has layers of 20 and 24 neurons; ",))


@pytest.mark.parametrize("name", ["gpt2", "phi3"])
def test_what_only_weights_would_tell_is_no_refusal(name, tmp_path):
    assert preflight(str(save_model(random_model(name), tmp_path))).supported


# What can be used with a warning.


def test_weights_whose_owners_are_not_known(tmp_path):
    folder = save_model(random_model("llama"), tmp_path / "source")
    sizes = {"vocab_size": 80, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model("codegen", **sizes, **tokens, n_positions=64, n_ctx=64)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    report = preflight(str(folder))
    assert report.supported
    (warning,) = report.warnings
    assert warning.startswith("circuits can be found and knocked out, but not tuned or exported: ")
    assert "CodeGenForCausalLM" in warning


def test_prompts_longer_than_the_model_was_made_for(tmp_path):
    folder = save_model(random_model("gpt2"), tmp_path)
    assert preflight(str(folder), length=64).warnings == ()
    (warning,) = preflight(str(folder), length=65).warnings
    assert warning.startswith("65 tokens are more than the 64 the model was made for; ")


# Memory, dtype and device, on machines of hand-made sizes.


def needs(folder: Path, **settings: Any) -> int:
    return preflight(str(folder), **settings).memory.total


def shown(size: int) -> str:
    return f"{size / 1024**2:,.1f} MiB" if size >= 1024**2 else f"{size / 1024:,.1f} KiB"


def test_too_little_memory_says_what_makes_it_fit(folder, machine):
    most: dict[str, Any] = {"rows": 48, "length": 64}
    whole, layers = needs(folder, **most), needs(folder, **most, checkpointing=True)
    part = needs(folder, rows=12, length=64, checkpointing=True)
    half = needs(folder, rows=1, length=64, checkpointing=True, dtype="bfloat16")
    for there, how, needed in (
        (whole - 1, "--checkpointing", layers),
        (part, "--checkpointing --micro-batch 12", part),
        (half, "--checkpointing --micro-batch 1 --dtype bfloat16", half),
    ):
        machine(there)
        report = preflight(str(folder), **most)
        assert report.supported
        assert report.warnings == (
            f"learning from 48 x 64 tokens needs {shown(whole)} and {shown(there)} are free on cpu",
        )
        assert report.advice == (f"it fits with {how}: {shown(needed)}",)
    machine(half - 1)
    assert preflight(str(folder), **most).advice == (
        "not even --checkpointing --micro-batch 1 --dtype bfloat16 make it fit "
        f"({shown(half)}): free memory, use a machine with more, or choose a smaller model",
    )
    machine(whole)
    assert preflight(str(folder), **most).warnings == ()


def test_one_gpu_is_taken_all_where_it_is_not_enough(folder, machine):
    whole = needs(folder)
    machine(GIB, whole, whole)
    assert (preflight(str(folder)).device, preflight(str(folder)).advice) == ("cuda", ())
    machine(GIB, whole - 1, whole - 1, whole - 1)
    report = preflight(str(folder))
    assert (report.device, report.memory_available) == ("balanced", 3 * whole - 3)
    assert report.advice == (
        "one GPU is not enough: --device balanced spreads the layers over all 3",
    )
    machine(GIB, whole - 1)
    report = preflight(str(folder))
    assert (report.device, report.memory_available) == ("cuda", whole - 1)
    assert report.warnings == (
        f"learning from 48 x 64 tokens needs {shown(whole)} and {shown(whole - 1)} are free on "
        "cuda",
    )


def test_numbers_of_half_the_width(tmp_path, machine):
    model: Any = random_model("llama")
    folder = save_model(model.to(torch.bfloat16), tmp_path)
    assert preflight(str(folder)).stored_dtype == "bfloat16"
    full, half = needs(folder), needs(folder, dtype="bfloat16")
    assert preflight(str(folder), dtype="bfloat16").advice == (
        f"float32 fits as well ({shown(full)}), and CPUs are often slower in bfloat16",
    )
    machine(GIB, GIB)
    assert preflight(str(folder), dtype="bfloat16").advice == ()
    assert preflight(str(folder)).advice == (
        f"weights are stored in bfloat16: --dtype bfloat16 needs {shown(half)} instead of "
        f"{shown(full)}, and is faster on a GPU",
    )


def test_large_models_are_slow_without_a_gpu():
    shape = ModelShape(32, 4096, 32, 8, 128, 14336, True, 128256, 8_030_261_248)
    settings = MemorySettings(rows=1, length=64)
    (slow,) = advice(shape, "bfloat16", settings, AvailableMemory(64 * GIB))
    assert slow.startswith("no GPU is here, and 8.0 billion weights are slow on a CPU: ")


# MemorySettings, adapters, and the command.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": 0}, "rows must be at least 1; got 0"),
        ({"length": -1}, "length must be at least 1; got -1"),
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16; got 'int8'"),
    ],
)
def test_settings_that_are_not_usable(folder, settings, message):
    with pytest.raises(ConfigError) as refusal:
        preflight(str(folder), **settings)
    assert str(refusal.value) == message


def adapter_of(base: Path, folder: Path, width: int = 32, **changes: Any) -> Path:
    """A LoRA adapter on one projection, written by hand: rank 2."""
    folder.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{name}.lora_A.weight": torch.ones(2, width),
        f"{name}.lora_B.weight": torch.ones(32, 2),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "layers_to_transform": [0]}
    config |= {"base_model_name_or_path": str(base), "task_type": "CAUSAL_LM"} | changes
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_an_adapter_is_told_with_its_model(folder, tmp_path):
    adapter = adapter_of(folder, tmp_path / "adapter")
    for report in (preflight(str(folder), adapter=str(adapter)), preflight(str(adapter))):
        assert (report.supported, report.warnings) == (True, ())
        assert (report.folder, report.adapter) == (str(folder), str(adapter))
    assert load_model(str(adapter)).space.n_heads == 4


def test_an_adapter_of_another_model_is_a_warning_where_its_shapes_fit(folder, tmp_path):
    adapter = adapter_of(Path("org/other"), tmp_path / "adapter")
    report = preflight(str(folder), adapter=str(adapter))
    assert report.supported
    (warning,) = report.warnings
    assert f"was trained on 'org/other', and the model here is {folder}; its shapes fit" in warning


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 48}, "self_attn.q_proj has 48 inputs, and this model's has 32; "),
        ({"peft_type": "IA3"}, "holds an adapter of kind IA3; "),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_refused(folder, tmp_path, changes, words):
    adapter = adapter_of(folder, tmp_path / "adapter", **changes)
    (refusal,) = preflight(str(folder), adapter=str(adapter)).refusals
    assert str(adapter) in refusal
    assert words in refusal
    assert preflight(str(adapter)).refusals == (refusal,)


def test_the_command_says_the_verdict_first(folder, capsys):
    assert main(["preflight", str(folder), "--rows", "2", "--length", "10"]) == 0
    first, empty, *facts = capsys.readouterr().out.splitlines()
    assert first == f"{folder} can be used: 56 units, 8 heads and 48 neurons."
    assert empty == ""
    report = {line[:18].strip(): line[18:] for line in facts}
    assert report["heads a layer"] == "4 of width 8, 2 key-value"
    assert report["neurons a layer"] == "24"
    assert report["chat template"] == "yes"
    assert report["learning"] == "2 x 10 tokens in float32"
    assert report["memory free"] == "16.0 GiB on cpu"


def test_the_command_refuses_with_every_reason_and_exit_code_2(folder, capsys):
    configure(folder, num_local_experts=4)
    assert main(["preflight", str(folder)]) == 2
    first, reason, *_ = capsys.readouterr().out.splitlines()
    assert first == f"{folder} cannot be used:"
    assert reason == f"  - {preflight(str(folder)).refusals[0]}"
    assert main(["preflight", str(folder), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["supported"] is False
    assert report["refusals"] == list(preflight(str(folder)).refusals)


def test_warnings_and_advice_come_last(folder, machine):
    machine(needs(folder) - 1)
    report = preflight(str(folder))
    *_, warning, hint = preflight_text(report).splitlines()
    assert warning == f"warning: {report.warnings[0]}"
    assert hint == f"advice: {report.advice[0]}"
