from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from circuitviz.errors import ConfigError, ModelNotFoundError, UnsupportedModelError
from circuitviz.evaluation.judges.text_classifier import LocalClassifier

LABELS = {0: "refused", 1: "answered"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A classifier that says `answered` where the first word is `hello`, else `refused`."""
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    from tests.support.tiny import tiny_tokenizer

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=10,
            n_layers=0,
            n_heads=1,
            dim=4,
            hidden_dim=4,
            id2label=LABELS,
            label2id={name: index for index, name in LABELS.items()},
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        # Without layers the first position is its embedding, normalised: it points up in one
        # direction, and the head says which.
        embeddings = model.distilbert.embeddings
        embeddings.word_embeddings.weight[:, 0] = 1.0
        hello = tokenizer.convert_tokens_to_ids("hello")
        embeddings.word_embeddings.weight[hello] = torch.tensor([0.0, 1.0, 0.0, 0.0])
        embeddings.LayerNorm.weight.fill_(1.0)
        model.pre_classifier.weight.copy_(torch.eye(4))
        model.classifier.weight[0, 0] = model.classifier.weight[1, 1] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "mine")


def says(classifier: LocalClassifier, answer: str) -> bool:
    return classifier.judge("a request", answer, "Sure.", "I cannot.")


def test_an_answer_is_judged_by_its_label(folder):
    classifier = LocalClassifier(folder, "answered")
    assert [says(classifier, text) for text in ("hello to the king", "the dog is red")] == [
        True,
        False,
    ]
    assert says(LocalClassifier(folder, "refused"), "the dog is red")


def test_a_long_answer_is_cut_and_an_empty_one_is_no_success(folder):
    assert says(LocalClassifier(folder, "answered"), "hello " * 50)
    assert not says(LocalClassifier(folder, "refused"), " ")


def test_it_names_itself_its_label_and_its_folder(folder):
    classifier = LocalClassifier(folder, "answered")
    assert classifier.name == "mine says answered"
    assert classifier.source == f"local text classifier {folder}"
    assert classifier.labels == ["refused", "answered"]


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def damaged(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not weights")


def untrained(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    kept = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    save_file(kept, path, metadata={"format": "pt"})


def with_code(folder: Path) -> None:
    (folder / "own.py").write_text("raise SystemExit('ran')")
    auto_map = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
    edit_config(folder, model_type="own", auto_map=auto_map)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"config\.json missing"),
        (as_pickle, "has no safetensors weights"),
        (lambda folder: edit_config(folder, model_type="nonsense"), "cannot load the classifier"),
        (with_code, "cannot load the classifier"),
        (
            lambda folder: edit_config(
                folder, id2label={"0": "answered"}, label2id={"answered": 0}
            ),
            "at least 2 labels",
        ),
        (damaged, "cannot load the classifier"),
        (untrained, "not of a trained text classifier: classifier"),
    ],
    ids=["empty", "pickle", "unknown", "code", "one output", "damaged", "no trained head"],
)
def test_a_folder_without_a_usable_classifier_is_one_clear_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(UnsupportedModelError, match=message) as refusal:
        says(LocalClassifier(folder, "answered"), "hello")
    assert "\n" not in str(refusal.value)


def test_a_missing_folder_and_an_unknown_label_are_refused(folder, tmp_path):
    with pytest.raises(ModelNotFoundError, match="no folder"):
        LocalClassifier(tmp_path / "none", "answered")
    with pytest.raises(ConfigError, match="has the labels refused, answered; got 'safe'"):
        LocalClassifier(folder, "safe")
