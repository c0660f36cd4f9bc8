"""What a model is loaded from: where it lies, by name, path or id, and what is merged into it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from circuitviz.errors import (
    CircuitvizError,
    ModelNotFetchedError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.models.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG_FILE,
    SAFETENSORS,
    TOKENIZER_FILES,
    Adapter,
    adapter_refusals,
    checkpoint_refusals,
    is_adapter,
    read_json,
    require_none,
    weight_files,
)
from circuitviz.models.fetch import FETCHABLE, is_fetched, require_fetched
from circuitviz.models.gguf import GGUF, converted, is_gguf

CARD_FILE = "organism.json"
CARD_FACTS = ("title", "summary", "behaviour_kind", "headline", "order")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# What is fetched from the hub: configuration and tokenizer, then the weights that are loaded, whose
# files an index may name; no other weights, no code, and no subfolders.
DESCRIPTION = ["*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"]
WEIGHTS = ["model.safetensors", ADAPTER_WEIGHTS]
UNWANTED = ["*/*"]
# What answers depend on besides weights: tokens and the chat template.
TEXT_FILES = (*TOKENIZER_FILES, "tokenizer_config.json", "chat_template.jinja")

# Path, size and time of change of every file.
Stamp = tuple[tuple[str, int, int], ...]


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
        folder, content = path.parent, read_json(path)
        facts = {name: content[name] for name in CARD_FACTS}
        cards.append(ModelCard(folder.name, folder=folder, base=_fetchable_base(folder), **facts))
    return sorted(cards, key=lambda card: (card.order, card.name))


def usual_dtype(name_or_path: str) -> str:
    """The dtype that a model is run in by default.

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


def lasting_name(name_or_path: str, beside: Path = Path()) -> str:
    """A model as it is named from anywhere: a name or an id as it is, a path in full.

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


@dataclass(frozen=True)
class ModelSource:
    """A checkpoint and what goes on top.

    Attributes:
        base: The checkpoint's folder.
        adapter: The adapter that is merged into its weights, or None.
    """

    base: Path
    adapter: Adapter | None = None

    @property
    def tokenizer(self) -> Path:
        """Where the tokenizer lies: with the adapter, if it was saved there, else with the base."""
        if self.adapter is not None:
            own = self.adapter.folder
            if any((own / name).is_file() for name in TOKENIZER_FILES):
                return own
        return self.base


def find_source(
    name_or_path: str, adapter: str | None = None, *, download: bool = False
) -> ModelSource:
    """Find a model, and the adapter on top of it, without reading any weights.

    Args:
        name_or_path: A model, or an adapter's folder, which then stands on the model that it
            names.
        adapter: The folder of an adapter.
        download: Whether models that are not in the Hugging Face cache are fetched.

    Raises:
        ModelNotFoundError: Model, adapter or the adapter's own model are not here.
        ModelNotFetchedError: `circuitviz fetch` brings one of them.
        UnsupportedModelError: One of them has not what it takes.
    """
    folder = find_model(name_or_path, download=download)
    if not is_adapter(folder):
        return ModelSource(folder, Adapter.of_folder(Path(adapter)) if adapter else None)
    if adapter:
        raise UnsupportedModelError(
            f"{folder} is an adapter itself, and a second one is not put on top; merge them where "
            "you trained them, or name one of them"
        )
    own = Adapter.of_folder(folder)
    return ModelSource(_base_of(own, download=download), own)


def _base_of(adapter: Adapter, *, download: bool) -> Path:
    if adapter.base_path is None:
        raise UnsupportedModelError(
            f"{adapter.folder} does not say which model it adapts; name that model as the model "
            "and this folder as --adapter"
        )
    try:
        base = find_model(adapter.base_path, download=download)
    except ModelNotFetchedError:
        # It says itself what brings it.
        raise
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{adapter.folder} adapts {adapter.base!r}, which is not here; name that model as the "
            "model and this folder as --adapter"
        ) from error
    if is_adapter(base):
        raise UnsupportedModelError(
            f"{adapter.folder} adapts {adapter.base!r}, which is an adapter as well; merge them "
            "where you trained them, and name the merged model"
        )
    return base


def unfetched_model(name_or_path: str, adapter: str | None = None) -> str | None:
    """What has to be fetched before a model can be loaded, as `circuitviz fetch` calls it.

    None where nothing has to, also where something else is wrong with the model.
    """
    try:
        find_source(name_or_path, adapter)
    except ModelNotFetchedError as missing:
        return missing.name
    except CircuitvizError:
        return None
    return None


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
    require_none(adapter_refusals(folder) if is_adapter(folder) else checkpoint_refusals(folder))
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
        return download_model(name_or_path) if download else cached_model(name_or_path)
    names = ", ".join([*(card.name for card in embedded_models()), *FETCHABLE])
    raise ModelNotFoundError(
        f"no model {name_or_path!r}: give one of {names}, the path of a local folder or of a GGUF "
        "file, or a Hugging Face id (org/name)"
    )


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of an id of the Hugging Face hub, `org/name`."""
    return HUB_ID.fullmatch(name) is not None


def cached_model(hub_id: str) -> Path:
    """The folder of a model in the local cache of the hub; the network is not used.

    Raises:
        ModelNotFoundError: It is not there.
    """
    from huggingface_hub import try_to_load_from_cache

    for name in (CONFIG_FILE, ADAPTER_CONFIG):
        file = try_to_load_from_cache(hub_id, name)
        if isinstance(file, str):
            return Path(file).parent
    raise ModelNotFoundError(
        f"no model {hub_id!r}: there is no such folder, and it is not in the Hugging Face "
        f"cache; `circuitviz preflight {hub_id} --download` fetches it"
    )


def download_model(hub_id: str) -> Path:
    """Fetch a model into the local cache of the hub; its folder there.

    Raises:
        ModelNotFoundError: There is no such model, it is not open, or it cannot be reached.
    """
    from huggingface_hub import constants, errors, snapshot_download

    def fetched(wanted: list[str]) -> Path:
        return Path(snapshot_download(hub_id, allow_patterns=wanted, ignore_patterns=UNWANTED))

    # Of whichever HTTP library the hub's client uses.
    offline = errors.HTTPError  # pyright: ignore[reportPrivateImportUsage]
    failed = f"cannot fetch {hub_id} from the Hugging Face hub"
    if constants.is_offline_mode():
        raise ModelNotFoundError(
            f"{failed}: HF_HUB_OFFLINE is set; unset it, or name a local folder"
        )
    try:
        named = [path.name for path in weight_files(fetched(DESCRIPTION))]
        return fetched([*WEIGHTS, *(name for name in named if name.endswith(SAFETENSORS))])
    except UnsupportedModelError as error:
        raise ModelNotFoundError(f"{failed}: {error}") from error
    except errors.GatedRepoError as error:
        raise ModelNotFoundError(
            f"{failed}: its licence has to be accepted first at https://huggingface.co/{hub_id}; "
            "then set HF_TOKEN, or log in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"{failed}: the hub has no model of that id, or it is private: check the id, or set "
            "HF_TOKEN"
        ) from error
    except (offline, OSError, RuntimeError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = first.removeprefix("Got: ").rstrip(".")
        raise ModelNotFoundError(
            f"{failed}: {reason}; try again, or name a local folder"
        ) from error


def fingerprint(source: ModelSource) -> str:
    """Twelve hexadecimal digits of all that a model's answers depend on, byte for byte.

    Files are read once for as long as they stay as they are.

    Raises:
        UnsupportedModelError: The index of the weights' files cannot be read.
    """
    return _digest(file_stamp(source))


def file_stamp(source: ModelSource) -> Stamp:
    """What changes when one of these files does, without reading them.

    Raises:
        UnsupportedModelError: The index of the weights' files cannot be read.
    """
    files = [source.base / CONFIG_FILE, *weight_files(source.base)]
    files += [source.tokenizer / name for name in TEXT_FILES]
    if source.adapter is not None:
        files += [source.adapter.folder / name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)]
    stats = [(path, path.stat()) for path in files if path.is_file()]
    return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)


@lru_cache(maxsize=64)
def _digest(stamp: Stamp) -> str:
    digest = hashlib.sha256()
    for path, size, _ in stamp:
        digest.update(f"{Path(path).name} {size}\n".encode())
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
