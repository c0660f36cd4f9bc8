"""Where models lie: by name, path or Hugging Face id, and which their files are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from circuitviz.errors import ModelNotFoundError
from circuitviz.models import source
from circuitviz.models.loading import load_model
from circuitviz.models.preflight import preflight
from circuitviz.models.source import (
    ModelSource,
    embedded_models,
    file_stamp,
    find_model,
    find_source,
    fingerprint,
    is_hub_id,
    lasting_name,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no way out to the network."""

    def fetch(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def keep(cache, hub_id: str, folder) -> None:
    """Put a model into the cache, laid out as the hub's client does."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)


def test_a_cached_model_is_found_and_loaded_without_the_network(cache, tiny_folder):
    keep(cache, "org/name", tiny_folder)
    assert find_model("org/name").name == COMMIT
    assert load_model("org/name").space.d_mlp == 24


def test_a_model_that_is_not_cached_is_refused_with_the_command_that_fetches_it(cache):
    with pytest.raises(ModelNotFoundError, match="`circuitviz preflight org/name --download`"):
        find_model("org/name")


def test_a_folder_is_taken_before_the_hub_is_thought_of(tiny_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_folder, tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(source, "cached_model", None)
    monkeypatch.setattr(source, "download_model", None)
    assert str(find_model("org/name", download=True)) == "org/name"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/name", True),
        ("Qwen/Qwen2.5-0.5B-Instruct", True),
        ("name", False),
        ("../name", False),
        ("/org/name", False),
        ("./name", False),
        ("a/b/c", False),
        ("~/name", False),
        ("", False),
    ],
)
def test_ids_are_told_from_paths(name, expected):
    assert is_hub_id(name) is expected


def test_a_model_is_fetched_when_asked_for(cache, tiny_folder, monkeypatch):
    asked = []

    def fetch(hub_id, **settings):
        asked.append((hub_id, settings))
        return str(tiny_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_model("org/name", download=True) == tiny_folder
    assert [hub_id for hub_id, _ in asked] == ["org/name"] * 2
    patterns = [settings["allow_patterns"] for _, settings in asked]
    # No weights that are pickles, and no code.
    assert patterns == [source.DESCRIPTION, [*source.WEIGHTS, "model.safetensors"]]
    assert not any(".bin" in name or ".py" in name for name in [*patterns[0], *patterns[1]])


def test_of_weights_only_those_files_are_fetched_that_are_loaded(cache, tmp_path, monkeypatch):
    folder, asked = tmp_path / "fetched", []
    folder.mkdir()

    def fetch(hub_id, allow_patterns, ignore_patterns):
        asked.append(allow_patterns)
        named = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
        index = {"weight_map": {**named, "c": "model-1-of-2.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert source.download_model("org/name") == folder
    shards = ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]
    assert asked == [source.DESCRIPTION, [*source.WEIGHTS, *shards]]


def test_nothing_is_fetched_where_the_user_forbids_it(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set; unset it"):
        find_model("org/name", download=True)


def error_of(kind):
    if issubclass(kind, errors.HfHubHTTPError):
        return kind("a page\nof text", response=SimpleNamespace(headers={}, request=None))
    return kind("Cannot reach the hub.\nTry something.")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (errors.GatedRepoError, "accepted first at https://huggingface.co/org/name; then"),
        (errors.RepositoryNotFoundError, "no model of that id, or it is private"),
        (errors.LocalEntryNotFoundError, "Cannot reach the hub; try again"),
        (errors.HTTPError, "Cannot reach the hub; try again"),
    ],
)
def test_what_the_hub_answers_is_one_line(cache, monkeypatch, kind, reason):
    def fetch(hub_id, **settings):
        raise error_of(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(ModelNotFoundError) as refusal:
        find_model("org/name", download=True)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_path_lasts_and_a_name_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "file.gguf").touch()
    (tmp_path / "smollm2").mkdir()
    assert lasting_name("model") == str(tmp_path.resolve() / "model")
    assert lasting_name("file.gguf") == str(Path.cwd() / "file.gguf")
    assert lasting_name("model", Path("/elsewhere")) == "model"
    assert [lasting_name(name) for name in ("smollm2", "refusal", "org/name")] == [
        "smollm2",
        "refusal",
        "org/name",
    ]


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


@pytest.mark.parametrize("find", [find_model, find_source, preflight])
@pytest.mark.parametrize("name", ["", "no-such-model", "/no/such/folder"])
def test_an_unknown_model_is_refused_with_the_names_there_are(find, name):
    names = ", ".join(card.name for card in embedded_models())
    with pytest.raises(ModelNotFoundError) as refusal:
        find(name)
    message = str(refusal.value)
    assert message.startswith(f"no model {name!r}: give one of {names}, smollm2, the path of ")
    assert "\n" not in message


def test_an_embedded_name_is_found():
    assert find_model("refusal").name == "refusal"


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_a_copy_is_the_same_model_and_its_date_does_not_count(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    os.utime(copy / "model.safetensors", (1, 1))
    first, second = ModelSource(folder), ModelSource(copy)
    assert fingerprint(first) == fingerprint(second)
    assert len(fingerprint(first)) == 12
    assert file_stamp(first) != file_stamp(second)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "chat_template.jinja"])
def test_one_other_byte_is_another_model(folder, name):
    before = fingerprint(ModelSource(folder))
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert fingerprint(ModelSource(folder)) != before


def test_what_is_not_loaded_does_not_count(folder):
    before = fingerprint(ModelSource(folder))
    (folder / "consolidated.safetensors").write_bytes(b"more")
    (folder / "README.md").write_text("more")
    assert fingerprint(ModelSource(folder)) == before
