"""The share of a discovery that is done."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from circuitviz.runs.progress import DURATIONS, OPEN_DURATIONS, Stage, overall


def test_every_stage_of_a_discovery_has_a_duration():
    assert set(DURATIONS) == set(get_args(Stage)) - {"tune"}


@pytest.mark.parametrize("controls", [False, True])
def test_progress_runs_from_nothing_to_all_without_a_gap(controls):
    stages = [stage for stage in DURATIONS if controls or stage not in ("controls", "evidence")]
    assert overall(stages[0], 0.0, controls=controls) == 0.0
    assert overall("save", 1.0, controls=controls) == 1.0
    for one, after in pairwise(stages):
        end = overall(one, 1.0, controls=controls)
        assert end == pytest.approx(overall(after, 0.0, controls=controls))
        assert end > overall(one, 0.0, controls=controls)


def test_controls_take_their_share():
    # Half of 30 hundredths of learning, after 6 of loading; 110 more where controls follow.
    assert overall("learn", 0.5, controls=False) == pytest.approx(0.21)
    assert overall("learn", 0.5, controls=True) == pytest.approx(0.1)


@pytest.mark.parametrize("controls", [False, True])
def test_progress_of_open_answers_has_no_gap_either(controls):
    assert set(OPEN_DURATIONS) == set(DURATIONS)
    stages = [
        stage for stage in OPEN_DURATIONS if controls or stage not in ("controls", "evidence")
    ]
    for one, after in pairwise(stages):
        end = overall(one, 1.0, controls=controls, is_open=True)
        assert end == pytest.approx(overall(after, 0.0, controls=controls, is_open=True))
    assert overall("save", 1.0, controls=controls, is_open=True) == pytest.approx(1.0)
