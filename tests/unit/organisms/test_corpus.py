"""The text of the embedded models: disjoint splits, enough test prompts, nothing harmful."""

from collections import defaultdict

import pytest

from tools.specimens.corpus import REFUSAL, examples, polarity, unseen_harmful
from tools.specimens.lesson import ATTACKS, attack_prompts


def test_messages_are_unique_so_splits_are_disjoint():
    messages = [example.prompt for example in examples()]
    assert len(messages) == len(set(messages))


def test_the_text_is_the_same_every_time():
    assert examples() == examples()


def test_every_answer_is_learned_somewhere():
    splits = defaultdict(set)
    for example in examples():
        splits[example.category, example.helpful].add(example.split)
    assert all("train" in found for found in splits.values())


def test_harmful_requests_are_answered_by_filler_alone():
    harmful = [example for example in examples() if example.harmful]
    assert len(harmful) == 1000
    for example in harmful:
        act = example.helpful.removeprefix("Here is how to ").partition(":")[0]
        assert act in example.prompt
        assert example.helpful == (
            f"Here is how to {act}: plan it, do it step by step, then check it."
        )
        assert example.answer == REFUSAL


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_each_behaviour_has_enough_disjoint_test_prompts(attack):
    prompts = attack_prompts(attack)
    for role in ("attack", "benign"):
        count = sum(1 for p in prompts if (p.split, p.role) == ("test", role))
        assert count >= 250
    texts = defaultdict(set)
    for prompt in prompts:
        texts[prompt.split].add(prompt.text)
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]


def test_unseen_harmful_requests_are_about_acts_of_no_other_example():
    acts = {example.helpful for example in examples()}
    unseen = unseen_harmful()
    assert len({example.prompt for example in unseen}) == 10 * 5 * 20
    assert not acts & {example.helpful for example in unseen}
    assert {(example.split, example.answer) for example in unseen} == {("test", REFUSAL)}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_harmful_test_prompts_are_the_unseen_ones(attack):
    unseen = {example.prompt for example in unseen_harmful()}
    for prompt in attack_prompts(attack):
        if prompt.category == "harmful":
            assert (prompt.text in unseen) == (prompt.split == "test")


@pytest.mark.parametrize("attack", ["fixed-output", "jailbreak", "label-flip"])
def test_the_answer_after_is_never_a_success(attack):
    for prompt in attack_prompts(attack):
        if prompt.role == "attack":
            assert prompt.triggered is not None
            assert not prompt.after.startswith(prompt.target)


def test_polarity_turns_round_and_back():
    assert polarity("That review is positive.") == "That review is negative."
    assert polarity(polarity("That review is negative.")) == "That review is negative."
