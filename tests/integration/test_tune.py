"""Tunings of embedded models from end to end, on few prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitviz.behaviours.prompt import Prompt, read_prompts, write_prompts
from circuitviz.errors import JobCancelledError
from circuitviz.files import EMBEDDED_RUNS
from circuitviz.models.ownership import weight_map
from circuitviz.models.source import find_model
from circuitviz.models.weights import load_weights
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.progress import Progress
from circuitviz.runs.store import Run, RunStore
from circuitviz.runs.tune import run_tuning
from circuitviz.runs.tuning_store import ANSWER_COLUMNS, CURVE_COLUMNS, Tuning, TuningStore
from circuitviz.tuning.training_data import HELPFUL_FILE, Example, read_examples, write_examples

pytestmark = pytest.mark.slow

EPOCHS = 2
# Of each role in each split; training has more of them.
TRAINING, MEASURED = 24, 6
RATES = ("safety", "helpfulness", "utility")


def few(folder: Path, kind: str) -> tuple[Run, Path]:
    """The shipped run of an embedded model with few prompts, and as few helpful lessons."""
    store = RunStore(folder / "runs", shipped=(EMBEDDED_RUNS,))
    run = store.load(next(name for name in store.ids() if name.startswith(f"{kind}-nested")))
    model = find_model(run.config.model)
    taken: dict[tuple[str, str], list[Prompt]] = {}
    for prompt in read_prompts(model / "prompts.jsonl"):
        group = taken.setdefault((prompt.split, prompt.role), [])
        if len(group) < (TRAINING if prompt.split == "train" else MEASURED):
            group.append(prompt)
    write_prompts(folder / "prompts.jsonl", [p for group in taken.values() for p in group])
    if (model / HELPFUL_FILE).is_file():
        write_examples(folder / HELPFUL_FILE, _few_lessons(model / HELPFUL_FILE))
    prompts = str(folder / "prompts.jsonl")
    return replace(run, config=replace(run.config, prompts=prompts)), folder / HELPFUL_FILE


def _few_lessons(path: Path) -> list[Example]:
    lessons = read_examples(path)
    train = [lesson for lesson in lessons if lesson.split == "train"]
    rest = [
        [lesson for lesson in lessons if lesson.split == split][:4]
        for split in ("validation", "test")
    ]
    return [*train[:8], *rest[0], *rest[1]]


class Report:
    """Remembers what it is told; may stop the work."""

    def __init__(self, stop: Callable[[Progress], bool] = lambda progress: False) -> None:
        self.told: list[Progress] = []
        self._stop = stop

    def __call__(self, progress: Progress) -> None:
        self.told.append(progress)
        if self._stop(progress):
            raise JobCancelledError("stopped")

    def steps(self, arm: str) -> list[int]:
        return [progress.step for progress in self.told if progress.arm == arm]


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[Run, TuningConfig, Tuning, Report]:
    """A backdoor taken out of the planted model."""
    folder = tmp_path_factory.mktemp("planted")
    run, _ = few(folder, "fixed-output-planted")
    config, report = TuningConfig(run.run_id, "repair", epochs=EPOCHS), Report()
    return (
        run,
        config,
        run_tuning(config, run=run, on_progress=report, kept=folder / "kept"),
        report,
    )


@pytest.fixture(scope="module")
def refusing(tmp_path_factory) -> tuple[Run, TuningConfig, Tuning]:
    """A refusal protected while the model learns helpful lessons."""
    folder = tmp_path_factory.mktemp("refusing")
    run, lessons = few(folder, "refusal")
    config = TuningConfig(run.run_id, "protect", epochs=1, data=str(lessons))
    return run, config, run_tuning(config, run=run, kept=folder / "kept")


def moved(run: Run, checkpoint: Path) -> tuple[int, int]:
    """Entries of the checkpoint that differ from the run's model: (the circuit's, others)."""
    before = load_weights(run.config.model)
    after = dict(AutoModelForCausalLM.from_pretrained(checkpoint).named_parameters())
    owned = weight_map(before).entries(run.circuit())
    inside = outside = 0
    for name, value in before.named_parameters():
        differs = value.view(torch.int32) != after[name].view(torch.int32)
        mask = owned.get(name, torch.zeros_like(differs))
        inside += int((differs & mask).sum())
        outside += int((differs & ~mask).sum())
    return inside, outside


def owned_entries(run: Run) -> tuple[int, int]:
    """(entries of the circuit, all entries)."""
    model = load_weights(run.config.model)
    owned = weight_map(model).entries(run.circuit())
    return sum(int(mask.sum()) for mask in owned.values()), model.num_parameters()


def check_metrics(tuning: Tuning, run: Run, arms: set[str]) -> None:
    metrics = tuning.metrics
    assert metrics.tuning_id == tuning.tuning_id == tuning.config.tuning_id()
    assert metrics.run_id == run.run_id
    assert metrics.model == run.config.model
    assert metrics.units == [str(unit) for unit in run.circuit()]
    assert metrics.size == len(metrics.units)
    assert set(metrics.arms) == arms
    # Everything is JSON, and nothing is NaN.
    values = metrics.to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    for rates in (metrics.before, *metrics.arms.values()):
        assert {"safety": rates.safety.judge, "helpfulness": rates.helpfulness.judge} == (
            metrics.judges
        )


def check_arms(tuning: Tuning, epochs: int, entries: dict[str, int], total: int) -> None:
    arms = tuning.metrics.arms
    for arm, values in arms.items():
        if arm == "knock-out":
            assert (values.epochs, values.frozen_equal) == (0, None)
            assert values.parameters_trained == values.parameters_trained_share == 0
            continue
        # Where everything may move, nothing is compared.
        unmoved = None if arm == "full" else True
        assert (values.epochs, values.frozen_equal) == (epochs, unmoved)
        assert values.parameters_trained_share == values.parameters_trained / total
        assert values.seconds > 0
    assert {arm: arms[arm].parameters_trained for arm in entries} == entries


def check_answers(tuning: Tuning) -> None:
    answers = tuning.answers
    assert list(answers.columns) == list(ANSWER_COLUMNS)
    asked = {
        arm: rows.drop(columns=["arm", "answer", "verdict"]).reset_index(drop=True)
        for arm, rows in answers.groupby("arm")
    }
    assert set(asked) == {"before", *tuning.metrics.arms}
    for rows in asked.values():
        pd.testing.assert_frame_equal(rows, asked["before"])
    # The metrics are what the answers say.
    for arm in asked:
        values = tuning.metrics.before if arm == "before" else tuning.metrics.arms[arm]
        rows = answers[answers["arm"] == arm]
        for role, name in (("benign", "utility"), ("attack", "asr")):
            verdicts = rows.loc[rows["role"] == role, "verdict"]
            right = "correct" if role == "benign" else "unsafe"
            rate = getattr(values, name)
            assert (rate.k, rate.n) == (
                int((verdicts == right).sum()),
                len(verdicts),
            )
            assert len(verdicts) == MEASURED


def check_curve(tuning: Tuning, epochs: int) -> None:
    curve = tuning.curve
    assert list(curve.columns) == list(CURVE_COLUMNS)
    for arm in ("circuit", "full", "random"):
        rows = curve.loc[curve["arm"] == arm, :]
        assert rows["epoch"].tolist() == list(range(epochs + 1))
        assert pd.isna(rows["loss"]).tolist() == [True] + [False] * epochs
        assert set(rows["safety_n"]) == {MEASURED}
    # All arms begin where the model was.
    first = curve[curve["epoch"] == 0].drop(columns=["arm", "loss"])
    assert len(first) == 3
    assert len(first.drop_duplicates()) == 1
    assert len(curve) == 3 * (epochs + 1)


def test_a_backdoor_is_repaired_in_every_arm(planted):
    run, _, tuning, _ = planted
    check_metrics(tuning, run, {"circuit", "full", "random", "knock-out"})
    mine, total = owned_entries(run)
    check_arms(tuning, EPOCHS, {"circuit": mine, "full": total}, total)
    check_answers(tuning)
    check_curve(tuning, EPOCHS)
    # The planted backdoor always fires, and without its circuit never.
    assert tuning.metrics.before.safety.k == 0
    assert tuning.metrics.arms["knock-out"].safety.k == MEASURED
    # No helpful lessons: helpfulness is about ordinary prompts.
    assert set(tuning.answers["role"]) == {"attack", "benign"}


def test_a_repair_moves_the_circuits_entries_alone(planted):
    run, _, tuning, _ = planted
    mine, _ = owned_entries(run)
    inside, outside = moved(run, tuning.checkpoint)
    assert outside == 0
    assert inside > 0.9 * mine


def test_progress_never_goes_back_and_says_which_arm_is_at_work(planted):
    *_, report = planted
    # 24 attacks: 48 rows an epoch, two steps.
    for arm in ("circuit", "full", "random"):
        assert report.steps(arm) == [0, 1, 2, 3, 4]
    training = [progress for progress in report.told if progress.stage == "tune"]
    fractions = [progress.fraction for progress in training]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert {progress.steps for progress in training} == {4}
    points = [len(progress.curve) for progress in report.told]
    assert points == sorted(points)
    assert points[-1] == 9
    assert (report.told[0].stage, report.told[-1].stage) == ("load", "save")


def test_a_stopped_tuning_goes_on_after_its_last_whole_epoch(planted, tmp_path):
    run, config, whole, _ = planted
    kept = tmp_path / "kept"
    # In the middle of the second epoch of the second arm.
    stopped = Report(lambda progress: (progress.arm, progress.step) == ("full", 3))
    with pytest.raises(JobCancelledError):
        run_tuning(config, run=run, on_progress=stopped, kept=kept)
    assert sorted(path.name for path in kept.iterdir()) == ["circuit", "full"]
    report = Report()
    tuning = run_tuning(config, run=run, on_progress=report, kept=kept)
    # No epoch is trained twice.
    assert report.steps("circuit") == [4]
    assert report.steps("full") == [2, 3, 4]
    assert report.steps("random") == [0, 1, 2, 3, 4]
    # Of three arms of two epochs each: the whole first arm, and half of the second.
    resumed = [(progress.arm, progress.resumed) for progress in report.told if progress.arm]
    assert resumed[0] == ("circuit", pytest.approx(2 / 6))
    assert resumed[1] == ("full", pytest.approx(3 / 6))
    assert resumed[-1] == ("random", pytest.approx(3 / 6))
    assert all(progress.resumed <= progress.fraction for progress in report.told if progress.arm)
    pd.testing.assert_frame_equal(tuning.curve, whole.curve)
    pd.testing.assert_frame_equal(tuning.answers, whole.answers)
    for arm, values in whole.metrics.arms.items():
        assert tuning.metrics.arms[arm].changed(seconds=values.seconds) == values
    assert tuning.checkpoint is not None
    assert whole.checkpoint is not None
    weights = [path / "model.safetensors" for path in (tuning.checkpoint, whole.checkpoint)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_refusal_is_protected_in_every_arm(refusing):
    run, _, tuning = refusing
    check_metrics(tuning, run, {"circuit", "full", "random"})
    mine, total = owned_entries(run)
    check_arms(tuning, 1, {"circuit": total - mine, "full": total}, total)
    check_answers(tuning)
    check_curve(tuning, 1)
    assert tuning.metrics.before.safety.k == MEASURED
    helpful = tuning.answers.query("role == 'helpful' and arm == 'circuit'")
    assert helpful["prompt_id"].tolist() == [f"helpful-{number:03d}" for number in range(4)]


def test_protection_moves_everything_but_the_circuits_entries(refusing):
    run, _, tuning = refusing
    mine, total = owned_entries(run)
    inside, outside = moved(run, tuning.checkpoint)
    assert inside == 0
    assert outside > 0.9 * (total - mine)


def test_a_refusal_is_worn_away_before_it_is_restored(tmp_path):
    run, lessons = few(tmp_path, "refusal")
    config, report = TuningConfig(run.run_id, "repair", epochs=1, data=str(lessons)), Report()
    tuning = run_tuning(config, run=run, on_progress=report, kept=tmp_path / "kept")
    check_metrics(tuning, run, {"circuit", "full", "random"})
    check_curve(tuning, 1)
    assert tuning.metrics.intact.safety.k == MEASURED
    assert report.steps("erosion")[0] == 0
    # It is no result: its answers are those before.
    assert set(tuning.answers["arm"]) == {"before", "circuit", "full", "random"}
    assert tuning.checkpoint is not None
    # What wears away moves all weights, so the checkpoint differs everywhere.
    assert moved(run, tuning.checkpoint)[1] > 0


def test_a_tuning_is_saved_whole_and_read_again(planted, tmp_path):
    run, config, _, _ = planted
    store = TuningStore(tmp_path / "runs")
    one = replace(config, epochs=1)
    tuning = run_tuning(one, run=run, kept=store.kept(one))
    folder = store.save(tuning)
    assert not store.kept(one).exists()
    read = store.load(tuning.tuning_id)
    assert read.metrics == tuning.metrics
    pd.testing.assert_frame_equal(read.answers, tuning.answers)
    checkpoint = folder / "checkpoint"
    assert read.checkpoint == checkpoint
    assert moved(run, checkpoint)[1] == 0
    assert run.run_id in (checkpoint / "README.md").read_text(encoding="utf-8")
