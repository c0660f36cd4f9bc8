"""The embedded models, and finding a model by name or path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.models.adapter import adapter_refusals, is_adapter
from circuitviz.models.checkpoint import checkpoint_refusals
from circuitviz.models.hub import cached_model, download_model, is_hub_id
from circuitviz.paths import EMBEDDED_MODELS

__all__ = ["CARD_FILE", "ModelCard", "embedded_models", "find_model", "locate_model"]

CARD_FILE = "organism.json"


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


def find_model(name_or_path: str, *, download: bool = False) -> Path:
    """The folder of an embedded model, a local folder, or a model of the Hugging Face cache.

    A folder may also hold a LoRA adapter, which stands for itself on top of the model it was
    trained on.

    Args:
        name_or_path: A name, a path, or an id such as `org/name`.
        download: Whether an id that is not in the cache is fetched; else the network is not used.

    Raises:
        ModelNotFoundError: There is no such model here, or it cannot be fetched.
        UnsupportedModelError: The folder lacks a configuration, a tokenizer or safetensors weights.
    """
    folder = locate_model(name_or_path, download=download)
    refusals = adapter_refusals(folder) if is_adapter(folder) else checkpoint_refusals(folder)
    if refusals:
        raise UnsupportedModelError(refusals[0])
    return folder


def locate_model(name_or_path: str, *, download: bool = False) -> Path:
    """The folder a name stands for, whatever it holds; see `find_model`.

    Raises:
        ModelNotFoundError: There is no such model here, or it cannot be fetched.
    """
    embedded = EMBEDDED_MODELS / name_or_path
    folder = embedded if name_or_path and (embedded / CARD_FILE).is_file() else Path(name_or_path)
    # The hub's client takes half a minute to give up, so what lies here is looked at first.
    if name_or_path and folder.is_dir():
        return folder
    if is_hub_id(name_or_path):
        return _hub_model(name_or_path, download=download)
    names = ", ".join(card.name for card in embedded_models())
    known = f"one of {names}, " if names else ""
    raise ModelNotFoundError(
        f"no model {name_or_path!r}: give {known}the path of a local folder, or a Hugging Face id "
        "(org/name)"
    )


def _hub_model(hub_id: str, *, download: bool) -> Path:
    if download:
        return download_model(hub_id)
    folder = cached_model(hub_id)
    if folder is None:
        raise ModelNotFoundError(
            f"no model {hub_id!r}: there is no such folder, and it is not in the Hugging Face "
            f"cache; `circuitviz preflight {hub_id} --download` fetches it"
        )
    return folder
