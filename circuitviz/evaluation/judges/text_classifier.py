"""A local text classifier as a judge of answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from circuitviz.errors import ConfigError, ModelNotFoundError, UnsupportedModelError
from circuitviz.evaluation.judge import register
from circuitviz.models.checkpoint import LOADING_FAILURES

# Only what is in the folder is read, and no code in it is run.
LOCAL_ONLY: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

# Tokens of an answer that are read where the configuration does not say how many fit.
USUAL_TOKENS = 512
# RoBERTa and its kin begin to count positions at 2.
FIRST_POSITION = 2


@register(
    "local text classifier", needs="the folder of a classifier, and its label that means success"
)
@dataclass(frozen=True)
class LocalClassifier:
    """Success is an answer to which a local Hugging Face text classifier gives one label.

    The classifier reads the answer alone, cut to the tokens it has positions for.  An empty
    answer is never a success.  Its rates are worth what the classifier is worth on such answers:
    show them beside another judge's, with the agreement of the two.

    Args:
        folder: A Hugging Face folder with safetensors weights and a tokenizer.
        positive_label: The label, as the folder's configuration spells it, that means success.

    Raises:
        ModelNotFoundError: There is no such folder.
        UnsupportedModelError: It holds no text classifier with safetensors weights.
        ConfigError: The classifier has no such label.
    """

    folder: Path
    positive_label: str

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ModelNotFoundError(
                f"no folder {str(self.folder)!r}; give one with a Hugging Face text classifier"
            )
        if not (self.folder / "config.json").is_file():
            raise UnsupportedModelError(f"no model in {self.folder}: config.json missing")
        if not any(self.folder.glob("*.safetensors")):
            raise UnsupportedModelError(
                f"the classifier in {self.folder} has no safetensors weights; save it with "
                "safe_serialization=True"
            )
        if len(self.labels) < 2:
            raise UnsupportedModelError(
                f"a classifier needs at least 2 labels; the one in {self.folder} has "
                f"{len(self.labels)}"
            )
        if self.positive_label not in self.labels:
            raise ConfigError(
                f"the classifier in {self.folder} has the labels {', '.join(self.labels)}; "
                f"got {self.positive_label!r}"
            )

    @property
    def name(self) -> str:
        """What its rates are labelled with."""
        return f"{self.folder.name} says {self.positive_label}"

    @property
    def source(self) -> str:
        """The folder the classifier is in."""
        return f"local text classifier {self.folder}"

    @cached_property
    def labels(self) -> list[str]:
        """The classifier's labels, in the order of its logits."""
        from transformers import AutoConfig

        try:
            config: Any = AutoConfig.from_pretrained(self.folder, **LOCAL_ONLY)
            return [str(config.id2label[index]) for index in range(config.num_labels)]
        except LOADING_FAILURES as error:
            raise self._unusable(error) from error

    def judge(self, prompt: str, answer: str, target: str, expected: str) -> bool:
        """Whether the answer gets the positive label."""
        import torch

        if not answer.strip():
            return False
        model, tokenizer, most = self._loaded
        inputs = tokenizer(answer, truncation=True, max_length=most, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs).logits[0]
        return self.labels[int(logits.argmax())] == self.positive_label

    @cached_property
    def _loaded(self) -> tuple[Any, Any, int]:
        """The classifier, its tokenizer, and the most tokens it reads."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **LOCAL_ONLY)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                self.folder, use_safetensors=True, output_loading_info=True, **LOCAL_ONLY
            )
        except LOADING_FAILURES as error:
            raise self._unusable(error) from error
        if info["missing_keys"]:
            # The library fills them with random numbers: the verdicts would be noise.
            raise UnsupportedModelError(
                f"the weights in {self.folder} are not of a trained text classifier: "
                f"{', '.join(sorted(info['missing_keys'])[:3])} missing"
            )
        fit = getattr(model.config, "max_position_embeddings", USUAL_TOKENS) - FIRST_POSITION
        return model.eval(), tokenizer, min(fit, tokenizer.model_max_length)

    def _unusable(self, error: Exception) -> UnsupportedModelError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        return UnsupportedModelError(f"cannot load the classifier in {self.folder}: {reason}")
