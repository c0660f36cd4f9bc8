"""The embedded models, and finding a model by name or path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.models.adapter import ADAPTER_CONFIG, adapter_refusals, is_adapter
from circuitviz.models.checkpoint import checkpoint_refusals, read_json
from circuitviz.models.fetch import FETCHABLE, is_fetched, require_fetched
from circuitviz.models.gguf import GGUF, converted, is_gguf
from circuitviz.models.hub import cached_model, download_model, is_hub_id
from circuitviz.paths import EMBEDDED_MODELS

CARD_FILE = "organism.json"


@dataclass(frozen=True)
class ModelCard:
    """What an embedded model is for.

    Attributes:
        name: The name commands take.
        title: Name for people.
        summary: One sentence.
        folder: Its Hugging Face folder: a checkpoint, or a LoRA adapter alone.
        behaviour_kind: `backdoor`, `refusal`, or None where there is nothing to look for.
        headline: Whether a run of it is shown first.
        order: Place in lists, lowest first.
        base: What `circuitviz fetch` calls the model below its adapter; None where its weights
            ship whole.
    """

    name: str
    title: str
    summary: str
    folder: Path
    behaviour_kind: str | None
    headline: bool
    order: int = 0
    base: str | None = None

    @property
    def available(self) -> bool:
        """Whether all of its weights are on this machine."""
        return self.base is None or is_fetched(self.base)


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
                base=_fetchable_base(path.parent),
            )
        )
    return sorted(cards, key=lambda card: (card.order, card.name))


def usual_dtype(name_or_path: str) -> str:
    """The dtype a model is run in where nobody asks for another.

    `bfloat16` for models that are fetched and those on top of them, which are stored in it and run
    in less than half of the time; `float32` for all others.
    """
    fetched = name_or_path in FETCHABLE or _fetchable_base(EMBEDDED_MODELS / name_or_path)
    return "bfloat16" if name_or_path and fetched else "float32"


def _fetchable_base(folder: Path) -> str | None:
    """The fetchable model that an adapter stands on; None for any other, and for a checkpoint."""
    if not is_adapter(folder):
        return None
    base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    return base if base in FETCHABLE else None


def find_model(name_or_path: str, *, download: bool = False) -> Path:
    """The folder of an embedded or fetched model, a local one, or one of the Hugging Face cache.

    A folder may also hold a LoRA adapter, which stands for itself on top of the model it was
    trained on.  A GGUF file is converted on the first call.

    Args:
        name_or_path: A name, a path, or an id such as `org/name`.
        download: Whether an id that is not in the cache is fetched; else the network is not used.

    Raises:
        ModelNotFoundError: There is no such model here, or it cannot be fetched.
        ModelNotFetchedError: `circuitviz fetch` brings it.
        UnsupportedModelError: The folder lacks a configuration, a tokenizer or safetensors weights,
            or the file cannot be converted.
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
        ModelNotFetchedError: `circuitviz fetch` brings it.
        UnsupportedModelError: It is a file that cannot be converted.
    """
    if name_or_path in FETCHABLE:
        return require_fetched(name_or_path)
    embedded = EMBEDDED_MODELS / name_or_path
    folder = embedded if name_or_path and (embedded / CARD_FILE).is_file() else Path(name_or_path)
    # The hub's client takes half a minute to give up, so what lies here is looked at first.
    if name_or_path and folder.is_dir():
        return folder
    if is_gguf(folder):
        return converted(folder)
    if folder.suffix.lower() == GGUF:
        raise ModelNotFoundError(f"no model {name_or_path!r}: no such file; check its path")
    if is_hub_id(name_or_path):
        return _hub_model(name_or_path, download=download)
    names = ", ".join([*(card.name for card in embedded_models()), *FETCHABLE])
    raise ModelNotFoundError(
        f"no model {name_or_path!r}: give one of {names}, the path of a local folder or of a GGUF "
        "file, or a Hugging Face id (org/name)"
    )


def lasting_name(name_or_path: str, beside: Path = Path()) -> str:
    """A model as whoever reads it elsewhere finds it: a name or an id as it is, a path in full.

    Args:
        name_or_path: What `find_model` takes.
        beside: The folder that a path starts from; none is the current one.
    """
    if name_or_path in FETCHABLE or (EMBEDDED_MODELS / name_or_path / CARD_FILE).is_file():
        return name_or_path
    path = (beside / name_or_path).absolute()
    if is_gguf(path):
        # Not resolved: a link may have the name that says what the file is.
        return str(path)
    return str(path.resolve()) if path.is_dir() else name_or_path


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
