"""Which numbers of a run are about exactly the circuit that is exported."""

from __future__ import annotations

import pytest

from circuitviz.errors import ConfigError
from circuitviz.runs.knock_out import export_knock_out, measured_effect
from tests.support.synthetic import backdoor_run


def test_the_reported_circuit_has_the_runs_own_numbers():
    effect = measured_effect(backdoor_run(), 4, "zero")
    assert effect is not None
    assert (effect.asr_before.k, effect.asr_after.k) == (256, 0)
    assert effect.utility_kept == 1.0


def test_other_sizes_have_those_of_the_frontier_where_it_has_the_size():
    effect = measured_effect(backdoor_run(), 2, "zero")
    assert effect is not None
    # 20 % of 256 attacks are left with the two best units knocked out.
    assert (effect.asr_after.k, effect.asr_after.n) == (51, 256)
    assert effect.asr_after.judge == effect.asr_before.judge
    assert measured_effect(backdoor_run(), 5, "zero") is None


def test_another_ablation_has_numbers_only_where_it_was_tried():
    assert measured_effect(backdoor_run(), 4, "mean") is None
    assert measured_effect(backdoor_run(), 2, "mean") is None
    run = backdoor_run(evidence="passes", controls=True)
    effect = measured_effect(run, 4, "mean")
    assert effect is not None
    assert effect.asr_after == run.metrics.ablations["mean"].asr
    assert measured_effect(run, 2, "mean") is None


@pytest.mark.parametrize("size", [0, -1, 2081])
def test_a_circuit_of_no_units_or_too_many_is_refused(size, tmp_path):
    with pytest.raises(ConfigError, match=f"between 1 and 2080 units .* got {size}"):
        export_knock_out(backdoor_run(), tmp_path / "out", size=size)
    assert not (tmp_path / "out").exists()
