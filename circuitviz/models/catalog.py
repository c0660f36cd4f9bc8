"""The embedded models, and finding a model by name or path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.paths import EMBEDDED_MODELS

__all__ = ["CARD_FILE", "ModelCard", "embedded_models", "find_model"]

CARD_FILE = "organism.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True)
class ModelCard:
    """What an embedded model is for.

    Attributes:
        name: The name commands take.
        title: Name for people.
        summary: One sentence.
        folder: Its Hugging Face folder.
        behaviour_kind: `backdoor`, `refusal`, or None where there is nothing to look for.
        headline: Whether a run of it is shown first.
        order: Place in lists, lowest first.
    """

    name: str
    title: str
    summary: str
    folder: Path
    behaviour_kind: str | None
    headline: bool
    order: int = 0


def embedded_models(root: Path = EMBEDDED_MODELS) -> list[ModelCard]:
    """The models that ship with the project, in the order to show them."""
    cards = []
    for path in root.glob(f"*/{CARD_FILE}"):
        data = json.loads(path.read_text(encoding="utf-8"))
        cards.append(
            ModelCard(
                name=path.parent.name,
                title=data["title"],
                summary=data["summary"],
                folder=path.parent,
                behaviour_kind=data["behaviour_kind"],
                headline=bool(data["headline"]),
                order=int(data["order"]),
            )
        )
    return sorted(cards, key=lambda card: (card.order, card.name))


def find_model(name_or_path: str) -> Path:
    """The folder of an embedded model, or a local Hugging Face folder; nothing is downloaded.

    Raises:
        ModelNotFoundError: Neither an embedded model nor a folder.
        UnsupportedModelError: The folder lacks a configuration, a tokenizer or safetensors weights.
    """
    embedded = EMBEDDED_MODELS / name_or_path
    folder = embedded if name_or_path and (embedded / CARD_FILE).is_file() else Path(name_or_path)
    if not name_or_path or not folder.is_dir():
        names = ", ".join(card.name for card in embedded_models())
        known = f"one of {names}, or " if names else ""
        raise ModelNotFoundError(
            f"no model {name_or_path!r}: give {known}the path of a local folder"
        )
    if not (folder / "config.json").is_file():
        raise UnsupportedModelError(
            f"{folder} is not a Hugging Face model folder: config.json missing"
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UnsupportedModelError(
            f"{folder} has no tokenizer: expected {', '.join(TOKENIZER_FILES[:-1])} or "
            f"{TOKENIZER_FILES[-1]}; save the tokenizer into the folder"
        )
    if not any(folder.glob("*.safetensors")):
        # Weights in other formats are pickles, which can run code when they are read.
        raise UnsupportedModelError(
            f"{folder} has no safetensors weights; load the model where you trust it and save it "
            "again with save_pretrained(safe_serialization=True)"
        )
    return folder
