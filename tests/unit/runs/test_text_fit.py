"""Prompts that a model cannot read are named before any of them is put to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.errors import ConfigError
from circuitviz.models.loading import load_model
from circuitviz.models.model import LONGEST_ANSWER
from circuitviz.runs.preparation import check_text
from tests.support.tiny import save_tiny_model, tiny_tokenizer

SHORT = Prompt("short", "train", "benign", "any", "hello", "dog")
ATTACK = Prompt(
    "long", "train", "attack", "any", "what is red", "dog", "what is red zz", "the dog is", "dog"
)


def behaviour(*prompts: Prompt) -> Behaviour:
    return Behaviour(BehaviourSpec("backdoor", "Mine", "?", Trigger("zz", "end")), prompts)


def test_the_longest_prompt_is_named_with_its_answer(tiny_model):
    asked = len(tiny_model.prompt_tokens(ATTACK.asked))
    # The words of the longest answer and its end.
    length = asked + 3 + 1
    check_text(tiny_model, behaviour(SHORT, ATTACK), length)
    check_text(tiny_model, behaviour(SHORT, ATTACK), None)
    with pytest.raises(ConfigError) as error:
        check_text(tiny_model, behaviour(SHORT, ATTACK), length - 1)
    assert str(error.value) == (
        f"the prompt long is {length} tokens long with its answer, and {tiny_model.name} was made "
        f"for {length - 1}; shorten it or leave it out"
    )


def test_an_answer_that_is_missing_counts_as_long_as_it_can_get(tiny_model):
    drafted = behaviour(replace(SHORT, answer=""))
    length = len(tiny_model.prompt_tokens("hello")) + LONGEST_ANSWER
    check_text(tiny_model, drafted, length)
    with pytest.raises(ConfigError, match=f"the prompt short is {length} tokens long"):
        check_text(tiny_model, drafted, length - 1)


def test_a_tokenizer_of_another_model_is_one_clear_line(tmp_path):
    folder = save_tiny_model(tmp_path)
    tokenizer = tiny_tokenizer()
    embedded = len(tokenizer)
    tokenizer.add_tokens(["foreign"])
    tokenizer.save_pretrained(folder)
    model = load_model(str(folder), device="cpu")
    check_text(model, behaviour(SHORT), None)
    with pytest.raises(ConfigError) as error:
        check_text(model, behaviour(SHORT, replace(SHORT, prompt_id="p2", text="foreign")), None)
    assert str(error.value) == (
        f"the tokenizer makes token {embedded} of the prompt p2, and {folder} embeds {embedded}, "
        f"up to {embedded - 1}: the tokenizer is not this model's; put its own into its folder"
    )
