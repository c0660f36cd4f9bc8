"""Which models can be masked, by their configuration alone, and why others cannot."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from circuitviz.models.checkpoint import CONFIG_FILE, read_json

# Fields that count experts, in the configurations of different architectures.
EXPERT_FIELDS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
# Encoders, by `model_type`; some of them can be turned into decoders.
ENCODERS = frozenset(
    "albert bert camembert deberta deberta-v2 distilbert electra ernie esm longformer modernbert "
    "mpnet nomic_bert roberta xlm-roberta xlm-roberta-xl xlnet vit deit wav2vec2 hubert "
    "audio-spectrogram-transformer".split()
)
ENCODER_HEADS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
# State-space and recurrent models, and those that mix such layers with attention.
STATEFUL = frozenset(
    "bamba falcon_h1 falcon_mamba granitemoehybrid hyenadna jamba lfm2 lfm2_moe mamba mamba2 "
    "nemotron_h olmo_hybrid plamo2 qwen3_next recurrent_gemma rwkv rwkv7 xlstm zamba "
    "zamba2".split()
)
KNOWN = "Llama, Mistral, Qwen 2 and 3, Gemma, OLMo, Phi, GPT-2 and GPT-NeoX"


def config_refusals(folder: Path) -> tuple[str, ...]:
    """Every reason why a model's configuration rules it out; empty if it does not.

    Raises:
        UnsupportedModelError: The configuration cannot be read.
    """
    config = read_json(folder / CONFIG_FILE)
    # Late: slow to import.
    from transformers import CONFIG_MAPPING

    refusals = []
    own_code = bool(config.get("auto_map")) and config.get("model_type") not in CONFIG_MAPPING
    if own_code:
        refusals.append(
            f"{folder} needs code of its own (auto_map in {CONFIG_FILE}), which is never run; "
            "choose a model whose architecture transformers knows by itself"
        )
    quantisation = config.get("quantization_config")
    if quantisation:
        named = isinstance(quantisation, Mapping)
        method = quantisation.get("quant_method", "unknown") if named else quantisation
        refusals.append(
            f"{folder} is quantised ({method}), and gradients do not pass exactly through "
            "quantised weights; use the checkpoint it was made from, with dtype bfloat16 to save "
            "memory"
        )
    form = _encoder(folder, config) or _stateful(folder, config) or _experts(folder, config)
    if not form and not own_code:
        form = _unbridged(folder, config)
    return (*refusals, *([form] if form else []))


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that describes the language model."""
    return config.get("text_config") or config


def _encoder(folder: Path, config: Mapping[str, Any]) -> str | None:
    name = _name(config)
    if config.get("is_encoder_decoder"):
        return (
            f"{folder} is an encoder-decoder model ({name}); circuitviz masks models that only "
            f"decode: choose one, such as {KNOWN}"
        )
    encoder = config.get("model_type") in ENCODERS or name.endswith(ENCODER_HEADS)
    if encoder and not config.get("is_decoder"):
        return (
            f"{folder} is an encoder only ({name}), which writes no answers; choose a model that "
            f"decodes, such as {KNOWN}"
        )
    return None


def _stateful(folder: Path, config: Mapping[str, Any]) -> str | None:
    text = text_config(config)
    kinds = {str(kind) for kind in text.get("layer_types") or ()}
    other = sorted(kind for kind in kinds if "attention" not in kind or "linear" in kind)
    if not other and {config.get("model_type"), text.get("model_type")}.isdisjoint(STATEFUL):
        return None
    reason = ", ".join(other) or "state-space or recurrent"
    return (
        f"{folder} has layers without attention heads and MLP neurons ({reason}; {_name(config)}); "
        f"choose a model made of attention and dense MLPs alone, such as {KNOWN}"
    )


def _experts(folder: Path, config: Mapping[str, Any]) -> str | None:
    for part in (config, text_config(config), config.get("ffn_config") or {}):
        for field in EXPERT_FIELDS:
            count = part.get(field)
            if isinstance(count, int) and count > 0:
                return (
                    f"{folder} is a mixture of experts ({field} {count}; {_name(config)}): each "
                    "token passes only some of the experts, so that a layer has no one set of MLP "
                    f"neurons to mask; choose a model with dense MLPs, such as {KNOWN}"
                )
    return None


def _unbridged(folder: Path, config: Mapping[str, Any]) -> str | None:
    # Late: these import torch.
    from transformer_lens.model_bridge.sources._hf_format import (
        determine_architecture_from_hf_config,
    )

    named = {name: config[name] for name in ("architectures", "model_type") if config.get(name)}
    try:
        determine_architecture_from_hf_config(SimpleNamespace(**named))
    except ValueError:
        return (
            f"TransformerLens {version('transformer-lens')} cannot bridge the architecture of "
            f"{folder} ({_name(config)}); choose one that it can, such as {KNOWN}"
        )
    return None


def _name(config: Mapping[str, Any]) -> str:
    """What a configuration calls the model: its architecture, else its type."""
    names = config.get("architectures") or [config.get("model_type") or "no architecture named"]
    return str(names[0])
