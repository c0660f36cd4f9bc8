from __future__ import annotations

import numpy as np
import pytest

from circuitviz.jobs.job import Job, JobFolder
from circuitviz.jobs.progress import (
    JobProgress,
    ProgressWriter,
    job_progress,
    score_maps,
    thinned_steps,
)
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.runs.progress import Progress, Stage
from circuitviz.units import UnitSpace

CONFIG = DiscoveryConfig("m")


def test_a_short_history_is_kept_whole():
    assert thinned_steps(3, 400) == [0, 1, 2]
    assert thinned_steps(0, 400) == []


def test_a_long_history_keeps_every_second_then_every_fourth_step_and_the_last():
    assert thinned_steps(6, 5) == [0, 2, 4, 5]
    assert thinned_steps(12, 5) == [0, 4, 8, 11]


@pytest.mark.parametrize("count", [399, 400, 401, 1000, 99_999])
def test_a_history_never_grows_past_its_limit(count):
    kept = thinned_steps(count, 400)
    assert len(kept) <= 400
    assert kept[0] == 0
    assert kept[-1] == count - 1


def test_scores_become_a_head_map_and_the_highest_score_of_each_bin_of_neurons():
    space = UnitSpace(n_layers=2, n_heads=3, d_mlp=128)
    heads, neurons = score_maps(np.arange(len(space), dtype=np.float32), space)
    assert heads == [[0, 1, 2], [3, 4, 5]]
    assert np.shape(neurons) == (2, 64)
    # 64 bins of two neurons: neurons 6 and 7 are the first of layer 0.
    assert neurons[0][:2] == [7, 9]
    assert neurons[1][-1] == len(space) - 1


def test_bins_of_unequal_width_cover_every_neuron():
    space = UnitSpace(n_layers=1, n_heads=1, d_mlp=100)
    for neuron in range(100):
        scores = np.full(len(space), -1.0)
        scores[1 + neuron] = 2.0
        _, (bins,) = score_maps(scores, space)
        assert len(bins) == 64
        assert sorted(bins)[-2:] == [-1.0, 2.0]


def test_a_narrow_model_has_one_bin_a_neuron():
    _, neurons = score_maps(np.array([9.0, 0.12347, 0.2]), UnitSpace(1, 1, 2))
    assert neurons == [[0.1235, 0.2]]


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Written(JobFolder):
    """A job folder that remembers all that was written."""

    def __init__(self, path):
        super().__init__(path)
        self.history: list[tuple[Stage, int]] = []

    def save_progress(self, progress: JobProgress) -> None:
        self.history.append((progress.stage, progress.step))
        super().save_progress(progress)


def test_progress_is_written_four_times_a_second_and_at_the_end_of_each_stage(tmp_path):
    clock, folder = Clock(), Written(tmp_path)
    writer = ProgressWriter(folder, clock)
    for step in range(1, 11):
        clock.now += 0.1
        writer.add(Progress("learn", step / 20, step))
    # 0.1 s a step: the first, then each one that is 0.25 s or more after the last written.
    assert folder.history == [("learn", 1), ("learn", 4), ("learn", 7), ("learn", 10)]
    writer.add(Progress("learn", 0.55, 11))
    writer.add(Progress("select", 0.6))
    assert folder.history[4:] == [("learn", 11), ("select", 0)]
    writer.add(Progress("select", 0.7, 1))
    writer.flush()
    writer.flush()
    assert folder.history[6:] == [("select", 1)]


def test_what_a_later_stage_does_not_report_stays(tmp_path):
    space, clock, folder = UnitSpace(1, 1, 1), Clock(), JobFolder.create(tmp_path / "one", CONFIG)
    writer = ProgressWriter(folder, clock)
    scores = np.array([1.0, 2.0])
    writer.add(Progress("learn", 0.1, 1, 9, {"removal": 2.0}, ("L0N0",), scores, space))
    scores[:] = -1
    writer.add(Progress("learn", 0.2, 2, 9, {"removal": 1.0, "utility": 0.5}))
    clock.now += 3.0
    writer.add(Progress("test", 0.9))
    progress = folder.load().progress
    assert progress is not None
    assert (progress.stage, progress.fraction, progress.elapsed) == ("test", 0.9, 3.0)
    assert progress.loss_steps == [1, 2]
    assert progress.losses["removal"] == [2.0, 1.0]
    assert np.isnan(progress.losses["utility"][0])
    assert progress.losses["utility"][1] == 0.5
    assert progress.top_units == ["L0N0"]
    assert (progress.head_scores, progress.neuron_scores) == ([[1.0]], [[2.0]])


@pytest.mark.parametrize(
    ("fraction", "resumed", "left"),
    [
        # A quarter in 10 s: three more of them.
        (0.25, 0.0, 30.0),
        # Half was there already; a tenth in 10 s, and four tenths left.
        (0.6, 0.5, 40.0),
        (1.0, 0.5, 0.0),
        (0.5, 0.5, None),
        (0.0, 0.0, None),
    ],
)
def test_the_pace_is_that_of_the_work_done_since_the_start(fraction, resumed, left):
    progress = job_progress(Progress("tune", fraction, resumed=resumed), [], elapsed=10.0)
    job = Job("one", TuningConfig("r", "repair"), "running", submitted=0.0, progress=progress)
    assert job.eta == (None if left is None else pytest.approx(left))


def test_progress_comes_back_from_disk_as_it_was_written(tmp_path):
    folder = JobFolder.create(tmp_path / "one", CONFIG)
    clock = Clock()
    writer = ProgressWriter(folder, clock)
    clock.now += 2.0
    writer.add(Progress("learn", 0.5, 3, 6, {"removal": 0.25}, ("L0H0",)))
    assert folder.load().progress == JobProgress(
        stage="learn",
        fraction=0.5,
        step=3,
        steps=6,
        losses={"removal": [0.25]},
        loss_steps=[3],
        top_units=["L0H0"],
        elapsed=2.0,
    )
