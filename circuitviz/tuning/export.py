"""Knock a circuit out in the weights, write the model, and see that it answers as it should."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel

from circuitviz import __version__
from circuitviz.errors import ConfigError
from circuitviz.files import whole_folder
from circuitviz.models.ablation import Ablation
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import Reference
from circuitviz.models.generation import answers_by_length
from circuitviz.models.model import LONGEST_ANSWER, GatedModel
from circuitviz.models.ownership import WeightMap, weight_map
from circuitviz.models.tokens import chat_tokens, end_of_turn
from circuitviz.units import Circuit

_CARD_FILE = "README.md"
# Lists what an export wrote, so that a later one replaces that and nothing else.
MARKER_FILE = "circuitviz_export.json"

# Settings by which configurations of transformers give linear layers a bias.
BIAS_SETTINGS = ("attention_bias", "mlp_bias", "use_bias", "enable_bias", "bias")


def write_checkpoint(model: PreTrainedModel, tokenizer: Any, folder: Path, card: str) -> Path:
    """Write weights (safetensors), configuration, tokenizer and model card.

    The folder appears only when it is complete; an earlier export there is replaced.

    Args:
        model: What to write, in its own dtype.
        tokenizer: Its tokenizer.
        folder: Where to.
        card: The model card, Markdown.

    Returns:
        The folder.

    Raises:
        ConfigError: Something else lies there already.
    """
    require_export_folder(folder)
    with whole_folder(folder.resolve()) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        (draft / _CARD_FILE).write_text(card, encoding="utf-8")
        marker = {"circuitviz": __version__, "files": _files(draft)}
        (draft / MARKER_FILE).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
    return folder


def require_export_folder(folder: Path) -> None:
    """Refuse a folder that an export must not replace, before the work is done.

    Raises:
        ConfigError: It is a file, or holds anything that an earlier export did not write.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a new or an empty folder to export to")
    written = _written(folder)
    # Without an earlier export nothing may lie there, and there can be very much of it.
    present = _files(folder) if written else [path.name for path in folder.iterdir()]
    strange = sorted(set(present) - written)
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise ConfigError(
            f"{folder} holds {strange[0]}{more}, which no earlier export wrote; name a new or an "
            "empty folder to export to"
        )


def _written(folder: Path) -> set[str]:
    """What an earlier export says it wrote there."""
    try:
        marker = json.loads((folder / MARKER_FILE).read_text(encoding="utf-8"))
        return {MARKER_FILE, *map(str, marker["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )


@torch.no_grad()
def fold_knock_out(model: PreTrainedModel, circuit: Circuit, ablation: Ablation) -> None:
    """Change the weights so that the model acts as with the circuit knocked out.

    Zero ablation sets the W_O columns of the circuit's heads and the W_down columns of its neurons
    to 0.  Mean ablation also adds what these columns make of the units' means to the bias of
    their projection; where it has none, and the configuration has a setting that gives biases, the
    model gets them, all others at 0.

    Args:
        model: A plain model; it is changed in place, or left as it was after an error.
        circuit: What to knock out.
        ablation: What replaces it: `zero` or `mean`.

    Raises:
        UnsupportedModelError: It is not known which weights belong to which unit.
        ConfigError: The circuit is one of another model, or the ablation is not one that weights
            can hold: `resample` is another value for each prompt, and the mean needs biases.
    """
    if ablation.name == "resample":
        raise ConfigError(
            "ablation resample draws other values for each prompt, which no weights can hold; "
            "choose zero or mean"
        )
    owned = weight_map(model)
    outputs = owned.outputs(circuit)
    means: Mapping[str, Tensor] = {}
    if ablation.name == "mean":
        if ablation.bank is None:
            raise ConfigError("ablation mean needs the units' means; measure them first")
        means = _mean_outputs(model, owned, circuit, ablation.bank)
        _require_biases(model, means)
    for name, columns in outputs.items():
        model.get_parameter(name)[columns.to(model.device)] = 0.0
    for name, addition in means.items():
        model.get_parameter(f"{name}.bias").add_(addition)


def _mean_outputs(
    model: PreTrainedModel, owned: WeightMap, circuit: Circuit, bank: Reference
) -> dict[str, Tensor]:
    """What the circuit's units add to the residual stream on average, by projection [d_model]."""
    outputs: dict[str, Tensor] = {}
    for unit in circuit:
        projection, _, columns = owned.output(unit)
        weight = model.get_parameter(f"{projection.name}.weight")
        values = bank.head if unit.kind == "head" else bank.neuron
        mean = values[0, unit.layer, unit.index].to(weight).reshape(-1)
        read = weight[columns].T if projection.transposed else weight[:, columns]
        outputs[projection.name] = outputs.get(projection.name, 0.0) + read @ mean
    return outputs


def _require_biases(model: PreTrainedModel, projections: Iterable[str]) -> None:
    """Give the projections biases of 0 where they have none.

    Raises:
        ConfigError: The architecture has no setting for that.
    """
    missing = {name for name in projections if model.get_submodule(name).bias is None}
    chosen: dict[str, set[str]] = {}
    for setting in BIAS_SETTINGS:
        gained = _gained(model, setting) if getattr(model.config, setting, None) is False else set()
        if gained & missing:
            chosen[setting] = gained
    without = sorted(missing - set().union(*chosen.values()))
    if without:
        raise ConfigError(
            f"mean ablation puts what a unit gives on average into a bias, but {without[0]} of "
            f"{type(model).__name__} has none and its configuration has no setting for one; "
            "choose zero ablation"
        )
    for setting, gained in chosen.items():
        setattr(model.config, setting, True)
        for name in gained:
            weight = model.get_parameter(f"{name}.weight")
            bias = nn.Parameter(weight.new_zeros(weight.shape[0]))
            model.get_submodule(name).bias = bias


def _gained(model: PreTrainedModel, setting: str) -> set[str]:
    """Linear layers that would have a bias with a setting on, if that is all it changes."""
    config = copy.deepcopy(model.config)
    setattr(config, setting, True)
    with torch.device("meta"):
        other = dict(type(model)(config).named_parameters())
    own = dict(model.named_parameters())
    gained = {name.removesuffix(".bias") for name in other.keys() - own.keys()}
    same = own.keys() <= other.keys() and all(
        parameter.shape == other[name].shape for name, parameter in own.items()
    )
    linear = all(
        f"{name}.bias" in other and isinstance(model.get_submodule(name), nn.Linear)
        for name in gained
    )
    return gained if same and linear else set()


@torch.no_grad()
def plain_answers(
    model: PreTrainedModel,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = LONGEST_ANSWER,
) -> list[str]:
    """Greedy answers to user messages by transformers' own generation, with nothing hooked.

    Args:
        model: A plain model.
        tokenizer: Its tokenizer, with a chat template and an end-of-sequence token.
        prompts: User messages.
        max_new_tokens: Longest generated answer.
    """
    end = end_of_turn(tokenizer)
    greedy = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=end, pad_token_id=end
    )

    def answer(tokens: Tensor, rows: list[int]) -> Tensor:
        tokens = tokens.to(model.device)
        return model.generate(tokens, attention_mask=torch.ones_like(tokens))  # type: ignore[operator]

    # The model's own settings fill what a configuration passed to `generate` leaves open, such as
    # a penalty on repetition, which is not greedy.
    own, model.generation_config = model.generation_config, greedy
    try:
        return answers_by_length(tokenizer, prompts, answer)
    finally:
        model.generation_config = own


@torch.no_grad()
def same_answers(
    model: PreTrainedModel,
    tokenizer: Any,
    gated: GatedModel,
    prompts: Sequence[str],
    answers: Sequence[str],
) -> list[bool]:
    """Whether a plain model's greedy answers are the ones that a gated model gave.

    One forward pass shows most of them: an answer is the greedy one exactly when each of its
    tokens is the most likely one after those before it.  Only where that fails the plain model
    generates, since an answer without an end, or one that is tokenised otherwise than it was
    generated, can still be the same.

    Args:
        model: A plain model.
        tokenizer: Its tokenizer.
        gated: Whose answers they are.
        prompts: User messages.
        answers: The gated model's greedy answer to each.
    """
    rows = encode_answers(gated, prompts, answers)
    likeliest = model(rows.tokens.to(model.device)).logits.argmax(-1).cpu()
    same = ((likeliest == rows.targets) | ~rows.predicts).all(1).tolist()
    rest = [row for row, shown in enumerate(same) if not shown]
    generated = plain_answers(model, tokenizer, [prompts[row] for row in rest])
    for row, answer in zip(rest, generated, strict=True):
        same[row] = answer == answers[row]
    read = [chat_tokens(tokenizer, prompt) == gated.prompt_tokens(prompt) for prompt in prompts]
    return [answer and message for answer, message in zip(same, read, strict=True)]
