"""Training by the epoch: what it minimises, draws, keeps and goes on from."""

from __future__ import annotations

from collections import Counter
from math import log
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from circuitviz.errors import JobCancelledError
from circuitviz.models.model import GatedModel
from circuitviz.tuning.lesson import Course, Lesson
from circuitviz.tuning.training import Plan, Training, answer_loss, encode
from circuitviz.tuning.tunable import Entries, Tunable
from circuitviz.units import Circuit
from tests.synthetic_lessons import tiny_course

# 6 new lessons, so 12 rows an epoch: 3 steps.
PLAN = Plan(epochs=4, learning_rate=1e-2, weight_decay=0.1, rows=4)
UNITS = ("L0H0", "L0H1", "L1N7")


@pytest.fixture
def tunable(tiny_folder) -> Tunable:
    return Tunable.load(str(tiny_folder))


def circuit_entries(tunable: Tunable) -> Entries:
    return Entries.only(tunable.weights.entries(Circuit.of(tunable.gated.space, UNITS)))


def trained(
    folder: Path, *, seed: int = 0, course: Course | None = None
) -> tuple[dict[str, Tensor], list[float]]:
    """Weights and the curve of losses after all epochs."""
    tunable = Tunable.load(str(folder))
    course = tiny_course() if course is None else course
    training = Training(tunable, course, circuit_entries(tunable), PLAN, seed=seed)
    losses = []
    while not training.done:
        losses.append(training.run_epoch())
    return tunable.state(), losses


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def drawn(training: Training) -> Counter[str]:
    """Messages of the coming epoch, by how often."""
    found: Counter[str] = Counter()
    for rows in training._loader():
        for tokens, length in zip(rows.tokens, rows.lengths, strict=True):
            text = training._model.gated.tokenizer.decode(tokens[:length])
            found[text.split("<|user|>")[1].split("<|assistant|>")[0].strip()] += 1
    return found


class Uniform:
    """A model that finds each of its words equally likely."""

    def __init__(self, model: GatedModel, words: int) -> None:
        self.prompt_tokens, self.answer_tokens = model.prompt_tokens, model.answer_tokens
        self._words = words

    def logits(self, tokens: Tensor) -> Tensor:
        return torch.full((*tokens.shape, self._words), 3.0)


class Given(Uniform):
    """A model with the logits it is given."""

    def __init__(self, model: GatedModel, logits: Tensor) -> None:
        super().__init__(model, logits.shape[-1])
        self._logits = logits

    def logits(self, tokens: Tensor) -> Tensor:
        return self._logits


def test_the_loss_of_uniform_logits_is_log_of_the_vocabulary(tiny_model):
    lessons = tiny_course().new
    rows = encode(tiny_model, lessons)
    model = cast("GatedModel", Uniform(tiny_model, 85))
    assert answer_loss(model, rows).item() == pytest.approx(log(85), abs=1e-5)


def test_only_answer_tokens_count_and_each_counts_the_same(tiny_model):
    # Answers of 2 + end and of 1 + end tokens.
    lessons = [Lesson("train", "", "say hello", "the king"), Lesson("train", "", "is red", "red")]
    rows = encode(tiny_model, lessons)
    assert rows.predicts.sum(1).tolist() == [3, 2]
    words = len(tiny_model.tokenizer)
    logits = torch.zeros((*rows.tokens.shape, words))
    # Sure of nonsense wherever no answer is predicted.
    logits[~rows.predicts] = torch.randn(int((~rows.predicts).sum()), words) * 50
    assert answer_loss(cast("GatedModel", Given(tiny_model, logits)), rows).item() == (
        pytest.approx(log(words), abs=1e-5)
    )
    # The first answer's 3 tokens are sure, the second's 2 are uniform: 2 of 5 times log(words).
    logits[0].scatter_(1, rows.targets[0][:, None], 200.0)
    assert answer_loss(cast("GatedModel", Given(tiny_model, logits)), rows).item() == (
        pytest.approx(2 / 5 * log(words), abs=1e-5)
    )


def test_the_loss_of_a_real_model_is_that_of_transformers(tunable, tiny_model):
    lesson = tiny_course().new[0]
    rows = encode(tunable.gated, [lesson])
    prompt = tiny_model.prompt_tokens(lesson.text)
    answer = tiny_model.answer_tokens(lesson.answer)
    with torch.no_grad():
        log_probs = tiny_model.logits(torch.tensor([prompt + answer])).log_softmax(-1)[0]
        # The token at place t is predicted at t - 1.
        places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
        by_hand = -sum(
            log_probs[place, token].item() for place, token in zip(places, answer, strict=True)
        ) / len(answer)
        assert answer_loss(tunable.gated, rows).item() == pytest.approx(by_hand, rel=1e-5)


def test_training_moves_open_parameters_alone(tunable):
    entries = circuit_entries(tunable)
    before = tunable.state()
    training = Training(tunable, tiny_course(), entries, PLAN)
    training.run_epoch()
    assert training.finish()
    now = tunable.state()
    assert {name for name in now if not torch.equal(now[name], before[name])} == set(entries.open)


def test_what_is_taught_is_learned(tunable):
    plan = Plan(epochs=20, learning_rate=1e-2, weight_decay=0.0, rows=4)
    training = Training(tunable, tiny_course(), Entries.everything(tunable.parameters), plan)
    losses = []
    while not training.done:
        losses.append(training.run_epoch())
    assert len(losses) == training.epoch == 20
    assert losses[-1] < 0.2 * losses[0]
    new = tiny_course().new
    answers = tunable.gated.generate([lesson.text for lesson in new])
    assert answers == [lesson.answer for lesson in new]


def test_a_learning_rate_of_nothing_changes_nothing(tunable):
    # A decay is by the learning rate, too.
    before = tunable.state()
    plan = Plan(epochs=1, learning_rate=0.0, weight_decay=0.5, rows=4)
    training = Training(tunable, tiny_course(), Entries.everything(tunable.parameters), plan)
    training.run_epoch()
    assert same(tunable.state(), before)


def test_masks_without_an_open_entry_change_nothing(tunable):
    before = tunable.state()
    closed: dict[str, Tensor | None] = {
        name: torch.zeros_like(value, dtype=torch.bool) for name, value in before.items()
    }
    training = Training(tunable, tiny_course(), Entries(closed), PLAN)
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


@pytest.mark.parametrize("stop", [1, 3])
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
        return tunable, Training(tunable, tiny_course(), entries, PLAN, seed=3)

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


def test_what_is_kept_of_a_finished_training_is_its_end(tiny_folder, tmp_path, tunable):
    state, _ = trained(tiny_folder)
    training = Training(tunable, tiny_course(), circuit_entries(tunable), PLAN)
    while not training.done:
        training.run_epoch()
    training.keep(tmp_path / "kept", [])
    fresh = Tunable.load(str(tiny_folder))
    again = Training(fresh, tiny_course(), circuit_entries(fresh), PLAN)
    assert again.resume(tmp_path / "kept") == []
    assert again.done
    assert same(fresh.state(), state)


def test_a_broken_off_epoch_leaves_the_one_before(tiny_folder, tmp_path, tunable):
    state, losses = trained(tiny_folder)
    training = Training(tunable, tiny_course(), circuit_entries(tunable), PLAN)
    training.run_epoch()
    training.keep(tmp_path / "kept", ["one"])

    def stop(step: int, loss: float) -> None:
        if step == 5:  # the second of the second epoch's three
            raise JobCancelledError("stopped")

    with pytest.raises(JobCancelledError):
        training.run_epoch(stop)
    fresh = Tunable.load(str(tiny_folder))
    again = Training(fresh, tiny_course(), circuit_entries(fresh), PLAN)
    assert again.resume(tmp_path / "kept") == ["one"]
    rest = [again.run_epoch() for _ in range(PLAN.epochs - 1)]
    assert rest == losses[1:]
    assert same(fresh.state(), state)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_nothing_kept_is_a_training_from_the_start(tunable, tmp_path):
    training = Training(tunable, tiny_course(), circuit_entries(tunable), PLAN)
    assert training.resume(tmp_path / "nowhere") is None
    assert training.epoch == 0


def _other_lessons(settings: dict[str, Any]) -> None:
    course = tiny_course()
    settings["course"] = Course(course.new[1:], course.old)


def _other_plan(settings: dict[str, Any]) -> None:
    settings["plan"] = Plan(epochs=5, learning_rate=1e-2, weight_decay=0.1, rows=4)


def _other_seed(settings: dict[str, Any]) -> None:
    settings["seed"] = 1


def _other_entries(settings: dict[str, Any]) -> None:
    entries = dict(settings["entries"].open)
    name = next(iter(entries))
    settings["entries"] = Entries({**entries, name: ~entries[name]})


@pytest.mark.parametrize("change", [_other_lessons, _other_plan, _other_seed, _other_entries])
def test_what_another_training_kept_is_left_alone(tunable, tmp_path, change):
    settings = {"course": tiny_course(), "entries": circuit_entries(tunable), "plan": PLAN}
    before = tunable.state()
    first = Training(tunable, **settings)
    first.run_epoch()
    first.keep(tmp_path / "kept", [])
    first.finish()
    tunable.take(before)
    change(settings)
    other = Training(tunable, **settings)
    assert other.resume(tmp_path / "kept") is None
    assert other.epoch == 0
    assert same(tunable.state(), before)


def test_the_report_is_told_every_step(tunable):
    training = Training(tunable, tiny_course(), circuit_entries(tunable), PLAN)
    told: list[tuple[int, float]] = []
    for _ in range(2):
        training.run_epoch(lambda step, loss: told.append((step, loss)))
    assert training.steps_per_epoch == 3
    assert [step for step, _ in told] == [1, 2, 3, 4, 5, 6]


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps(tunable):
    training = Training(tunable, tiny_course(), circuit_entries(tunable), PLAN)
    told: list[float] = []
    loss = training.run_epoch(lambda step, loss: told.append(loss))
    assert loss == pytest.approx(sum(told) / 3)


def test_half_of_the_rows_are_new_lessons_each_as_likely_as_the_other(tunable):
    # 6 new and 10 old: rows are drawn in proportion to these weights.
    training = Training(tunable, tiny_course(), circuit_entries(tunable), PLAN)
    weights = training._weights
    assert sum(weights[:6]) == pytest.approx(sum(weights[6:]))
    assert len(set(weights[:6])) == len(set(weights[6:])) == 1
    assert len(weights) == 16


def test_the_rows_drawn_are_half_new(tunable):
    course = Course(tiny_course().new * 100, tiny_course().old)
    training = Training(tunable, course, circuit_entries(tunable), PLAN)
    counts = drawn(training)
    texts = {lesson.text for lesson in course.new}
    new = sum(count for text, count in counts.items() if text in texts)
    assert counts.total() == course.rows == 1200
    # A fair coin over 1200 rows stays within 5 of its standard deviations, 17.3.
    assert abs(new - 600) < 5 * 17.3
    # Every epoch draws anew.
    training.epoch = 1
    assert drawn(training) != counts


def test_without_old_lessons_an_epoch_is_as_long_as_the_new_ones(tunable):
    course = Course(tiny_course().new, ())
    training = Training(tunable, course, circuit_entries(tunable), PLAN)
    counts = drawn(training)
    assert counts.total() == 6
    assert set(counts) <= {lesson.text for lesson in course.new}
    assert training.steps_per_epoch == 2
    training.run_epoch()


def test_the_learning_rate_warms_up_and_ends_at_nothing(tunable):
    # 30 steps, of which 3 warm up; then half a cosine.
    plan = Plan(epochs=10, learning_rate=1e-3, weight_decay=0.0, rows=4)
    training = Training(tunable, tiny_course(), circuit_entries(tunable), plan)
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
