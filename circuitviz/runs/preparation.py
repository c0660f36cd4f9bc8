"""What a discovery needs before it learns: a model, prompts that suit it, a record of versions."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import torch

from circuitviz import __version__
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.loading import load_model
from circuitviz.models.model import LONGEST_ANSWER, GatedModel
from circuitviz.runs.config import DiscoveryConfig


def model_of(config: DiscoveryConfig) -> GatedModel:
    """Load the model.

    Raises:
        ModelNotFoundError: There is no such model.
        UnsupportedModelError: It cannot be loaded or gated.
        ConfigError: There is no such device.
    """
    return load_model(
        config.model,
        adapter=config.adapter,
        device=config.device,
        dtype=config.dtype,
        micro_batch=config.micro_batch,
        checkpointing=config.checkpointing,
    )


# Share of the given answers that must be the model's own words: utility is the share of answers
# that stay the same, so below this next to nothing could be lost.
MIN_OWN_SHARE = 0.5


def check_own_answers(model: str, given: Mapping[str, Rate]) -> None:
    """Refuse answers that are not the model's own.

    Args:
        model: What the model is called.
        given: By what the prompts are called, those that it answers exactly as given.

    Raises:
        ConfigError: It answers fewer than half of any kind like that.
    """
    if any(rate.rate < MIN_OWN_SHARE for rate in given.values()):
        counts = [f"{rate.k} of {rate.n} {name}" for name, rate in given.items()]
        raise ConfigError(
            f"{model} answers {' and '.join(counts)} as the data says, and at least half are "
            "needed: leave the column answer out, and the model is asked"
        )


def check_text(model: GatedModel, behaviour: Behaviour, max_length: int | None) -> None:
    """Refuse prompts that the model cannot read, before any of them is put to it.

    Args:
        model: The model.
        behaviour: Its prompts; answers that are missing count as long as they can get.
        max_length: Tokens the model was made for; None is no limit.

    Raises:
        ConfigError: A prompt has a token that the model does not embed, or is too long with its
            answer.
    """
    longest, name = 0, ""
    for prompt in behaviour.all_prompts:
        messages = [
            model.prompt_tokens(text) for text in dict.fromkeys((prompt.text, prompt.asked))
        ]
        answers = _answers(model, prompt)
        highest = max(max(tokens, default=0) for tokens in (*messages, *answers))
        if highest >= model.d_vocab:
            raise ConfigError(
                f"the tokenizer makes token {highest} of the prompt {prompt.prompt_id}, and "
                f"{model.name} embeds {model.d_vocab}, up to {model.d_vocab - 1}: the tokenizer "
                "is not this model's; put its own into its folder"
            )
        length = max(map(len, messages)) + max(map(len, answers), default=LONGEST_ANSWER)
        if length > longest:
            longest, name = length, prompt.prompt_id
    if max_length is not None and longest > max_length:
        raise ConfigError(
            f"the prompt {name} is {longest} tokens long with its answer, and {model.name} was "
            f"made for {max_length}; shorten it or leave it out"
        )


def _answers(model: GatedModel, prompt: Prompt) -> list[list[int]]:
    """Tokens of its answers, as many as count of them."""
    given = (prompt.answer, prompt.target, prompt.after)
    return [model.answer_tokens(text, longest=LONGEST_ANSWER) for text in given if text]


def versions() -> dict[str, str]:
    """Versions of circuitviz and of the libraries that compute, and how many threads do."""
    libraries = ("torch", "transformers", "transformer-lens")
    libraries_used = {name.replace("-", "_"): version(name) for name in libraries}
    # Sums in another order give other results, so the threads belong to the record.
    return {"circuitviz": __version__, **libraries_used, "threads": str(torch.get_num_threads())}
