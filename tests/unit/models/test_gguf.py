"""GGUF files: converted once, weights as they are, and refused in one line where they cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from circuitviz.errors import ConfigError, ModelNotFoundError, UnsupportedModelError
from circuitviz.models import gguf
from circuitviz.models.gguf import convert
from circuitviz.models.source import find_model
from tests.support.tiny_gguf import CHAT_TEMPLATE, TENSORS, save_tiny_gguf

# Heads are four wide; llama.cpp turns pairs of neighbours, transformers pairs of halves.
ORDER = [0, 2, 1, 3]
PLACES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
    "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
    "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
    "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
    "blk.0.ffn_gate.weight": "model.layers.0.mlp.gate_proj.weight",
    "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
    "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of a tiny model."""
    return save_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def folder(file: Path) -> Path:
    """The same model, converted."""
    convert(file, file.parent / "converted", {"package": "tiny==1"})
    return file.parent / "converted"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of models."""
    monkeypatch.setenv("CIRCUITVIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.mark.slow
def test_the_folder_holds_the_files_weights(folder):
    from safetensors.torch import load_file

    stored = load_file(folder / "model.safetensors")
    weights = {name: value.float().numpy() for name, value in stored.items()}
    for name, place in PLACES.items():
        assert (weights.pop(place) == TENSORS[name]).all(), name
    key = weights.pop("model.layers.0.self_attn.k_proj.weight")
    assert (key == TENSORS["blk.0.attn_k.weight"][ORDER]).all()
    query = weights.pop("model.layers.0.self_attn.q_proj.weight")
    both = [*ORDER, *(4 + row for row in ORDER)]
    assert (query == TENSORS["blk.0.attn_q.weight"][both]).all()
    assert not weights


@pytest.mark.slow
def test_the_folder_says_where_it_comes_from_and_how_it_was_quantised(folder):
    origin = json.loads((folder / "origin.json").read_text())
    assert len(origin.pop("sha256")) == 64
    assert origin == {
        "file": "tiny.gguf",
        "tensors": {"F32": 10, "Q8_0": 1},
        "dtype": "bfloat16",
        "package": "tiny==1",
    }


@pytest.mark.slow
def test_the_folder_is_a_model_like_any_other(folder):
    from circuitviz.models.loading import load_model

    model = load_model(str(folder))
    assert len(model.space) == 2 + 32
    # A beginning, "ab" and "c": the first of the merges that apply.
    assert model.tokenizer("abc")["input_ids"] == [6, 3, 2]
    assert model.tokenizer.chat_template == CHAT_TEMPLATE


@pytest.mark.slow
def test_a_file_is_converted_once_and_again_when_it_has_changed(file, cache, tmp_path, capfd):
    path = tmp_path / "model.gguf"
    shutil.copy(file, path)
    folder = find_model(str(path))
    (folder / "seen").touch()
    assert find_model(str(path)) == folder
    assert (folder / "seen").exists()
    with path.open("ab") as more:
        more.write(b"\0")
    assert find_model(str(path)) != folder
    assert len(list(cache.iterdir())) == 2
    # Libraries draw bars where people read results.
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("size", [30, 700, 3000])
def test_a_file_that_is_cut_short_is_one_clear_line(size, file, cache, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UnsupportedModelError) as refusal:
        find_model(str(path))
    said = str(refusal.value)
    assert said.startswith(f"cannot convert {path}: it is damaged or cut short (")
    assert said.endswith("); get the file again")
    assert "\n" not in said
    assert list(cache.iterdir()) == []


def test_a_refused_file_is_not_read_again_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF")
    read = []

    def watch(*given):
        read.append(given)
        return 2, "it is damaged\n"

    monkeypatch.setattr(gguf, "watch_program", watch)
    for count in (1, 1, 2):
        if count == 2:
            path.write_bytes(b"GGUF2")
        with pytest.raises(
            UnsupportedModelError, match=r"cannot convert .*cut.gguf: it is damaged"
        ):
            find_model(str(path))
        assert len(read) == count


def test_what_memory_did_not_suffice_for_is_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "large.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(gguf, "watch_program", lambda *given: (-9, ""))
    for _ in range(2):
        with pytest.raises(ConfigError, match="lack of memory"):
            find_model(str(path))
    monkeypatch.setattr(gguf, "watch_program", lambda *given: (1, ""))
    with pytest.raises(UnsupportedModelError, match="the converter ended with exit code 1"):
        find_model(str(path))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("text.gguf", b"hello", r"text.gguf is not a GGUF file: .* b'hell'"),
        ("big-00001-of-00003.gguf", b"GGUF", "llama-gguf-split --merge"),
    ],
)
def test_other_files_are_refused_before_anything_is_read(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnsupportedModelError, match=message):
        find_model(str(tmp_path / name))


def test_a_file_that_is_not_there_is_no_id_of_the_hub():
    with pytest.raises(ModelNotFoundError, match=r"no model 'some/where\.gguf': no such"):
        find_model("some/where.gguf")


def test_a_folder_of_gguf_files_names_the_first_of_them(tmp_path):
    (tmp_path / "q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnsupportedModelError, match=r"the GGUF file in it instead: .*q4\.gguf"):
        find_model(str(tmp_path))


def test_whoever_stops_it_finds_nothing_behind(tmp_path):
    path = tmp_path / "whole.gguf"
    path.write_bytes(b"GGUF")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(path, tmp_path / "out" / "model", look=stop)
    assert list((tmp_path / "out").iterdir()) == []
