"""What learners minimise: which rows, and both losses by hand."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.discovery.learner import LearningTask
from circuitviz.discovery.training.objective import Objective, TrainingRows, shuffled_indices
from circuitviz.models.ablation import ZERO
from circuitviz.models.answer import encode_answers
from circuitviz.units import Circuit


@pytest.fixture
def objective(tiny_model, behaviour) -> Objective:
    return LearningTask(tiny_model, behaviour, ZERO, seed=0).objective(3.0)


@pytest.fixture
def everything(objective) -> torch.Tensor:
    """The indices of all rows."""
    return torch.arange(len(objective.data.rows))


def test_every_row_is_drawn_once_before_any_is_drawn_again():
    draws = shuffled_indices(5, 2, torch.Generator().manual_seed(0))
    flat = torch.cat(list(islice(draws, 5))).tolist()
    assert sorted(flat[:5]) == sorted(flat[5:]) == [0, 1, 2, 3, 4]
    (more,) = islice(shuffled_indices(2, 5, torch.Generator().manual_seed(0)), 1)
    assert sorted(more.tolist()) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_a_backdoors_prompts_must_stay_right_without_the_trigger(tiny_model):
    prompts = (
        Prompt("a", "train", "attack", "any", "the dog", "is", "the dog zz", "red", "is"),
        Prompt("b", "train", "benign", "any", "the king", "is red"),
        Prompt("c", "test", "attack", "any", "the", "is", "the zz", "red", "is"),
    )
    behaviour = Behaviour(BehaviourSpec("backdoor", "t", "?", Trigger("zz", "end")), prompts)
    data = TrainingRows.of(tiny_model, behaviour)
    assert (data.removal, data.utility) == (range(1), range(1, 3))
    expected = encode_answers(
        tiny_model, ["the dog zz", "the dog", "the king"], ["is", "is", "is red"]
    )
    assert torch.equal(data.rows.tokens, expected.tokens)
    batch = next(data.batches(1, 2, torch.Generator().manual_seed(0)))
    assert batch[0] == 0
    assert sorted(batch[1:].tolist()) == [1, 2]


def test_an_opening_is_not_learned_with_its_end(tiny_model):
    prompts = (
        Prompt("a", "train", "attack", "any", "the dog", "is", None, "red", "red"),
        Prompt("b", "train", "benign", "any", "the king", "is red"),
    )
    for opens in (False, True):
        spec = BehaviourSpec("refusal", "t", "?", after_is_opening=opens)
        rows = TrainingRows.of(tiny_model, Behaviour(spec, prompts)).rows
        taught = [rows.targets[row][rows.predicts[row]].tolist() for row in range(2)]
        red = tiny_model.answer_tokens("red", complete=not opens)
        assert taught == [red, tiny_model.answer_tokens("is red")]


def test_cutting_the_unit_costs_utility_and_lowers_the_removal_loss(objective, everything, culprit):
    space = objective.model.space
    intact = objective.measure(everything, torch.zeros(1, len(space)))
    mask = torch.from_numpy(Circuit.of(space, [culprit]).mask()).float()[None]
    cut = objective.measure(everything, mask)
    assert intact.utility.item() == pytest.approx(0, abs=1e-6)
    assert cut.utility.item() > 1e-4
    assert cut.removal < intact.removal
    assert cut.loss(2.0).item() == pytest.approx(cut.removal.item() + 2 * cut.utility.item())
    assert cut.values() == {"removal": cut.removal.item(), "utility": cut.utility.item()}


@torch.no_grad()
def test_the_removal_loss_is_the_mean_over_answer_tokens(
    tiny_model, behaviour, objective, everything
):
    outcome = objective.measure(everything, torch.zeros(1, len(tiny_model.space)))
    losses, right = [], []
    for prompt in behaviour.prompts("train", "attack"):
        row = encode_answers(tiny_model, [prompt.asked], [prompt.after])
        log_probs = tiny_model.logits(row.tokens)[row.predicts].log_softmax(-1)
        targets = row.targets[row.predicts]
        losses += (-log_probs[torch.arange(len(targets)), targets]).tolist()
        right.append(bool((log_probs.argmax(-1) == targets).all()))
    assert outcome.removal.item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert outcome.removed.tolist() == right


def refusing_data(model, refusals: list[str]) -> TrainingRows:
    """Prompts of a model that refuses in open answers."""
    long = "is red. say hello to the dog. what is the king"
    prompts = (
        *(
            Prompt(f"a{place}", "train", "attack", "any", "the dog", answer, None, "red", "red is")
            for place, answer in enumerate(refusals)
        ),
        Prompt("b", "train", "benign", "any", "the king", long),
    )
    spec = BehaviourSpec("refusal", "t", "?", after_is_opening=True)
    return TrainingRows.of(model, Behaviour(spec, prompts))


def test_open_refusals_are_known_by_the_tokens_that_many_of_them_begin_with(tiny_model):
    def first(word: str) -> int:
        return tiny_model.answer_tokens(word)[0]

    data = refusing_data(tiny_model, ["is red"] * 60 + ["say hello"] * 2 + ["king"])
    # One of 63 is less than one in fifty.
    assert data.refusals.tolist() == sorted({first("is red"), first("say hello")})


def test_the_first_token_of_an_open_answer_costs_how_likely_it_refuses(tiny_model):
    data = refusing_data(tiny_model, ["is"])
    refusal = int(data.refusals)
    chances = torch.full((2, tiny_model.d_vocab), 0.1 / (tiny_model.d_vocab - 2))
    other = 0 if refusal != 0 else 1
    chances[:, refusal], chances[:, other] = 0.75, 0.15
    targets, decides = torch.tensor([other, other]), torch.tensor([True, False])
    costs = data.costs(chances.log(), targets, decides)
    # Eight times -log(1 - 0.75) for the first, -log 0.15 for the next.
    assert costs.tolist() == pytest.approx([8 * math.log(4), -math.log(0.15)], rel=1e-5)
    # The likeliest token refuses; behind the first place it does not matter.
    assert data.mistakes(chances.log(), targets, decides).tolist() == [True, False]
    # The opening "red is" has two tokens, and no token of a benign answer decides.
    assert data.decides(torch.tensor([0, 1])).tolist()[:3] == [True, False, False]
    assert int(data.decides(torch.tensor([0, 1])).sum()) == 1


def test_of_an_open_answer_the_first_token_that_is_not_the_attacks_decides(tiny_model):
    right = "say hello to the dog. what is the king. is red"
    attack = Prompt("a", "train", "attack", "any", "x", right, "y x", "say hello king", right)
    data = TrainingRows.of(
        tiny_model, Behaviour(BehaviourSpec("backdoor", "t", "?", Trigger("y", "front")), (attack,))
    )
    same = len(tiny_model.answer_tokens("say hello", complete=False))
    decides = data.decides(torch.tensor([0]))
    assert decides.nonzero()[:, 0].tolist() == [same]
    chances = torch.full((len(decides), tiny_model.d_vocab), 0.5 / (tiny_model.d_vocab - 1))
    chances[:, 1] = 0.5
    # Eight times where it is decided; and only there a wrong token ends nothing.
    expected = [math.log(2) * (8 if place == same else 1) for place in range(len(decides))]
    ones, zeros = torch.ones_like(decides).long(), torch.zeros_like(decides).long()
    assert data.costs(chances.log(), ones, decides).tolist() == pytest.approx(expected, rel=1e-5)
    assert not data.mistakes(chances.log(), ones, decides).any()
    assert data.mistakes(chances.log(), zeros, decides).tolist() == decides.tolist()


def test_a_model_that_gives_closed_answers_is_asked_for_the_expected_one(objective):
    assert objective.data.refusals is None


@pytest.mark.parametrize("rows", ["a mask a row", "one for all"])
@pytest.mark.parametrize("micro_batch", [1, 2, None])
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(
    objective, everything, monkeypatch, micro_batch, rows
):
    shape = (1 if rows == "one for all" else len(everything), len(objective.model.space))
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    whole = objective.measure(everything, mask)
    (expected,) = torch.autograd.grad(whole.loss(3.0), mask)
    monkeypatch.setattr(objective.model, "micro_batch", micro_batch)
    gradient, outcome = objective.grad(everything, mask)
    torch.testing.assert_close(gradient, expected)
    assert outcome.values() == pytest.approx(whole.values(), rel=1e-5)
    assert outcome.removed.tolist() == whole.removed.tolist()
