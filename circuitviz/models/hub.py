"""Models of the Hugging Face hub, by their id: from the local cache, or fetched when asked for."""

from __future__ import annotations

import re
from pathlib import Path

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.models.checkpoint import SAFETENSORS, weight_files

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# What is fetched: configuration and tokenizer, then the weights that are loaded, whose files an
# index may name; no other weights, no code, and no subfolders.
DESCRIPTION = ["*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"]
WEIGHTS = ["model.safetensors", "adapter_model.safetensors"]
UNWANTED = ["*/*"]


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of an id, `org/name`."""
    return HUB_ID.fullmatch(name) is not None


def cached_model(hub_id: str) -> Path | None:
    """The folder of a model in the local cache, or None; the network is not used."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("config.json", "adapter_config.json"):
        found = try_to_load_from_cache(hub_id, file)
        if isinstance(found, str):
            return Path(found).parent
    return None


def download_model(hub_id: str) -> Path:
    """Fetch a model into the local cache; its folder there.

    Raises:
        ModelNotFoundError: There is no such model, it is not open, or it cannot be reached.
    """
    from huggingface_hub import constants, errors

    # Of whichever HTTP library the hub's client uses.
    offline = errors.HTTPError  # pyright: ignore[reportPrivateImportUsage]
    failed = f"cannot fetch {hub_id} from the Hugging Face hub"
    if constants.is_offline_mode():
        raise ModelNotFoundError(
            f"{failed}: HF_HUB_OFFLINE is set; unset it, or name a local folder"
        )
    try:
        named = [path.name for path in weight_files(_fetched(hub_id, DESCRIPTION))]
        safe = [name for name in named if name.endswith(SAFETENSORS)]
        return _fetched(hub_id, [*WEIGHTS, *safe])
    except UnsupportedModelError as error:
        raise ModelNotFoundError(f"{failed}: {error}") from error
    except (offline, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, errors.GatedRepoError):
            reason = (
                f"its licence has to be accepted first at https://huggingface.co/{hub_id}; then "
                "set HF_TOKEN, or log in with `hf auth login`"
            )
        elif isinstance(error, errors.RepositoryNotFoundError):
            reason = (
                "the hub has no model of that id, or it is private: check the id, or set HF_TOKEN"
            )
        else:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            first = first.removeprefix("Got: ").rstrip(".")
            reason = f"{first}; try again, or name a local folder"
        raise ModelNotFoundError(f"{failed}: {reason}") from error


def _fetched(hub_id: str, wanted: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub_id, allow_patterns=wanted, ignore_patterns=UNWANTED))
