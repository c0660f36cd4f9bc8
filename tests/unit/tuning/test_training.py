"""Training by the epoch: what it minimises, draws, keeps and goes on from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from circuitviz.errors import JobCancelledError
from circuitviz.models.model import GatedModel
from circuitviz.tuning.training import Plan, Training, answer_loss, encode
from circuitviz.tuning.training_data import Example, TrainingData
from circuitviz.tuning.tunable import Entries, Tunable
from circuitviz.units import Circuit
from tests.support.synthetic_lessons import tiny_training_data

# 6 new lessons, so 12 rows an epoch: 3 steps.
PLAN = Plan(epochs=4, learning_rate=1e-2, weight_decay=0.1, rows=4)
UNITS = ("L0H0", "L0H1", "L1N7")


@pytest.fixture
def tunable(tiny_folder) -> Tunable:
    return Tunable.load(str(tiny_folder))


def circuit_entries(tunable: Tunable) -> Entries:
    return Entries(tunable.weights.entries(Circuit.of(tunable.gated.space, UNITS)))


def trained(
    folder: Path, *, seed: int = 0, data: TrainingData | None = None
) -> tuple[dict[str, Tensor], list[float]]:
    """Weights and the curve of losses after all epochs."""
    tunable = Tunable.load(str(folder))
    training = Training(
        tunable, data or tiny_training_data(), circuit_entries(tunable), PLAN, seed=seed
    )
    losses = []
    while not training.done:
        losses.append(training.run_epoch())
    return tunable.state(), losses


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def drawn(training: Training) -> Counter[str]:
    """Messages of the coming epoch, by how often."""
    messages: Counter[str] = Counter()
    for rows in training._loader():
        for tokens, length in zip(rows.tokens, rows.lengths, strict=True):
            text = training._model.gated.tokenizer.decode(tokens[:length])
            messages[text.split("<|user|>")[1].split("<|assistant|>")[0].strip()] += 1
    return messages


def given(logits: Tensor) -> GatedModel:
    """A model with these logits."""
    return cast("GatedModel", SimpleNamespace(logits=lambda tokens: logits))


def test_only_answer_tokens_count_and_each_counts_the_same(tiny_model):
    # Answers of 2 + end and of 1 + end tokens.
    examples = [
        Example("train", "", *pair) for pair in (("say hello", "the king"), ("is red", "red"))
    ]
    rows = encode(tiny_model, examples)
    assert rows.predicts.sum(1).tolist() == [3, 2]
    words = len(tiny_model.tokenizer)
    logits = torch.zeros((*rows.tokens.shape, words))
    # Sure of nonsense wherever no answer is predicted.
    logits[~rows.predicts] = torch.randn(int((~rows.predicts).sum()), words) * 50
    assert answer_loss(given(logits), rows).item() == pytest.approx(log(words), abs=1e-5)
    # The first answer's 3 tokens are sure, the second's 2 are uniform: 2 of 5 times log(words).
    logits[0].scatter_(1, rows.targets[0][:, None], 200.0)
    assert answer_loss(given(logits), rows).item() == pytest.approx(2 / 5 * log(words), abs=1e-5)


def test_the_loss_of_a_real_model_is_that_of_transformers(tunable, tiny_model):
    example = tiny_training_data().new[0]
    rows = encode(tunable.gated, [example])
    prompt = tiny_model.prompt_tokens(example.text)
    answer = tiny_model.answer_tokens(example.answer)
    with torch.no_grad():
        log_probs = tiny_model.logits(torch.tensor([prompt + answer])).log_softmax(-1)[0]
        # The token at position t is predicted at t - 1.
        before = enumerate(answer, len(prompt) - 1)
        by_hand = -sum(log_probs[at, token].item() for at, token in before) / len(answer)
        assert answer_loss(tunable.gated, rows).item() == pytest.approx(by_hand, rel=1e-5)


def test_training_moves_open_parameters_alone(tunable):
    entries = circuit_entries(tunable)
    before = tunable.state()
    training = Training(tunable, tiny_training_data(), entries, PLAN)
    training.run_epoch()
    assert training.finish()
    now = tunable.state()
    assert {name for name in now if not torch.equal(now[name], before[name])} == set(entries.open)


def test_what_is_taught_is_learned(tunable):
    plan = Plan(epochs=20, learning_rate=1e-2, weight_decay=0.0, rows=4)
    training = Training(tunable, tiny_training_data(), Entries.everything(tunable.parameters), plan)
    losses = []
    while not training.done:
        losses.append(training.run_epoch())
    assert len(losses) == training.epoch == 20
    assert losses[-1] < 0.2 * losses[0]
    new = tiny_training_data().new
    answers = tunable.gated.generate([lesson.text for lesson in new])
    assert answers == [lesson.answer for lesson in new]


@pytest.mark.parametrize("closed", ["the learning rate", "the masks"])
def test_a_training_that_may_move_nothing_changes_nothing(tunable, closed):
    before = tunable.state()
    # A decay is by the learning rate, too.
    plan, entries = (
        Plan(epochs=1, learning_rate=0.0, weight_decay=0.5, rows=4),
        dict.fromkeys(before),
    )
    if closed == "the masks":
        plan = PLAN
        entries = {
            name: torch.zeros_like(value, dtype=torch.bool) for name, value in before.items()
        }
    training = Training(tunable, tiny_training_data(), Entries(entries), plan)
    training.run_epoch()
    assert training.finish()
    assert same(tunable.state(), before)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(tiny_folder):
    state, losses = trained(tiny_folder)
    torch.manual_seed(17)  # of no interest
    again, same_losses = trained(tiny_folder)
    assert same(state, again)
    assert losses == same_losses
    other, other_losses = trained(tiny_folder, seed=1)
    assert not same(state, other)
    assert losses != other_losses


@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize("which", ["circuit", "everything"])
def test_a_training_that_goes_on_is_the_uninterrupted_one_bit_for_bit(
    tiny_folder, tmp_path, stop, which
):
    def begin() -> tuple[Tunable, Training]:
        tunable = Tunable.load(str(tiny_folder))
        entries = (
            circuit_entries(tunable)
            if which == "circuit"
            else Entries.everything(tunable.parameters)
        )
        return tunable, Training(tunable, tiny_training_data(), entries, PLAN, seed=3)

    whole, training = begin()
    curve = [training.run_epoch() for _ in range(PLAN.epochs)]
    _, first = begin()
    for _ in range(stop):
        loss = first.run_epoch()
        first.keep(tmp_path / "kept", {"loss": loss})
    # In another process nothing is left of the first.
    tunable, second = begin()
    assert second.resume(tmp_path / "kept") == {"loss": curve[stop - 1]}
    assert second.epoch == stop
    rest = []
    while not second.done:
        rest.append(second.run_epoch())
    assert rest == curve[stop:]
    assert same(tunable.state(), whole.state())
    assert second.finish()


def test_a_broken_off_epoch_leaves_the_one_before(tiny_folder, tmp_path, tunable):
    state, losses = trained(tiny_folder)
    training = Training(tunable, tiny_training_data(), circuit_entries(tunable), PLAN)
    training.run_epoch()
    training.keep(tmp_path / "kept", ["one"])

    def stop(step: int, loss: float) -> None:
        if step == 5:  # the second of the second epoch's three
            raise JobCancelledError("stopped")

    with pytest.raises(JobCancelledError):
        training.run_epoch(stop)
    fresh = Tunable.load(str(tiny_folder))
    again = Training(fresh, tiny_training_data(), circuit_entries(fresh), PLAN)
    assert again.resume(tmp_path / "kept") == ["one"]
    rest = [again.run_epoch() for _ in range(PLAN.epochs - 1)]
    assert rest == losses[1:]
    assert same(fresh.state(), state)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("change", ["data", "plan", "seed", "entries", "folder"])
def test_what_another_training_kept_is_left_alone(tunable, tmp_path, change):
    data, entries = tiny_training_data(), circuit_entries(tunable)
    before = tunable.state()
    first = Training(tunable, data, entries, PLAN)
    first.run_epoch()
    first.keep(tmp_path / "kept", [])
    first.finish()
    tunable.take(before)
    name, mask = next(iter(entries.open.items()))
    changed = {
        "data": TrainingData(data.new[1:], data.old),
        "entries": Entries({**entries.open, name: ~mask}),
        "plan": replace(PLAN, epochs=5),
        "seed": 1,
    }
    same_settings = {"data": data, "entries": entries, "plan": PLAN, "seed": 0}
    other = Training(
        tunable, **same_settings | {key: changed[key] for key in {change} & {*changed}}
    )
    assert other.resume(tmp_path / ("nowhere" if change == "folder" else "kept")) is None
    assert other.epoch == 0
    assert same(tunable.state(), before)


def test_every_step_is_reported_and_the_loss_of_an_epoch_is_the_mean_of_its_steps(tunable):
    training = Training(tunable, tiny_training_data(), circuit_entries(tunable), PLAN)
    steps: list[int] = []
    for _ in range(2):
        losses: list[float] = []

        def note(step: int, loss: float, losses: list[float] = losses) -> None:
            steps.append(step)
            losses.append(loss)

        assert training.run_epoch(note) == pytest.approx(sum(losses) / 3)
    assert training.steps_per_epoch == 3
    assert steps == [1, 2, 3, 4, 5, 6]


def test_half_of_the_rows_drawn_are_new_each_as_likely_as_the_other(tunable):
    data = TrainingData(tiny_training_data().new * 100, tiny_training_data().old)
    training = Training(tunable, data, circuit_entries(tunable), PLAN)
    counts = drawn(training)
    new = [counts[text] for text in {example.text for example in data.new}]
    old = [counts[text] for text in {example.text for example in data.old}]
    assert counts.total() == sum(new) + sum(old) == data.rows == 1200
    # A fair coin over 1200 rows stays within 5 of its standard deviations, 17.3; one of 6 new or
    # 10 old ones, within 5 of its own.
    assert abs(sum(new) - 600) < 5 * 17.3
    assert all(abs(count - 100) < 5 * 9.6 for count in new)
    assert all(abs(count - 60) < 5 * 7.6 for count in old)
    # Every epoch draws anew.
    training.epoch = 1
    assert drawn(training) != counts


def test_without_old_examples_an_epoch_is_as_long_as_the_new_ones(tunable):
    data = TrainingData(tiny_training_data().new, ())
    training = Training(tunable, data, circuit_entries(tunable), PLAN)
    counts = drawn(training)
    assert counts.total() == 6
    assert set(counts) <= {example.text for example in data.new}
    assert training.steps_per_epoch == 2
    training.run_epoch()


def test_the_learning_rate_warms_up_and_ends_at_nothing(tunable):
    # 30 steps, of which 3 warm up; then half a cosine.
    plan = Plan(epochs=10, learning_rate=1e-3, weight_decay=0.0, rows=4)
    training = Training(tunable, tiny_training_data(), circuit_entries(tunable), plan)
    rates: list[float] = [training._optimiser.param_groups[0]["lr"]]
    while not training.done:
        training.run_epoch(
            lambda step, loss: rates.append(training._optimiser.param_groups[0]["lr"])
        )
    assert rates[0] == 0.0
    assert rates[1] == pytest.approx(1e-3 / 3)
    assert rates[3] == pytest.approx(1e-3) == max(rates)
    assert rates[3 + 27 // 3] == pytest.approx(0.75e-3)
    assert rates[30] == pytest.approx(0.0, abs=1e-12)
