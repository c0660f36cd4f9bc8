"""A whole discovery on a real model: what the product promises, with default settings."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from circuitviz.errors import JobCancelledError, PromptFileError
from circuitviz.models.source import find_model
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.discover import run_discovery
from circuitviz.runs.progress import Progress
from circuitviz.runs.store import RunStore

pytestmark = pytest.mark.slow


def some_prompts(model: str, most: int, path: Path) -> str:
    """A file with at most so many of a model's prompts for every split and role."""
    taken: Counter[tuple[str, str]] = Counter()
    lines = []
    for line in (find_model(model) / "prompts.jsonl").read_text(encoding="utf-8").splitlines():
        prompt = json.loads(line)
        taken[prompt["split"], prompt["role"]] += 1
        if taken[prompt["split"], prompt["role"]] <= most:
            lines.append(line)
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_the_planted_backdoor_is_found_and_gone_when_knocked_out(tmp_path):
    seen: list[Progress] = []
    run = run_discovery(DiscoveryConfig("fixed-output-planted"), on_progress=seen.append)
    assert run.circuit().sparsity <= 0.0042
    assert run.metrics.asr.intact.rate >= 0.99
    assert run.metrics.asr.knocked_out.rate <= 0.004
    assert run.metrics.asr.knocked_out.n >= 250
    assert run.metrics.utility_retention >= 0.99
    assert run.metrics.target_reached
    # Its controls: random circuits of the same make-up change nothing.
    assert run.metrics.random.asr.rate >= 0.95
    # Progress only ever goes forward, and scores come while it learns.
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert sum(progress.scores is not None for progress in seen) == run.config.steps
    # The frontier's ends: nothing knocked out is the intact model, everything is none of it.
    ends = run.frontier.query("condition == 'knocked_out' and budget == 'joint'").sort_values(
        "size"
    )
    assert ends["size"].iloc[[0, -1]].tolist() == [0, len(run.space)]
    assert ends["asr_k"].iloc[0] == run.metrics.asr.intact.k
    assert ends["utility_k"].iloc[-1] == 0
    # What is saved is what is read.
    store = RunStore(tmp_path)
    store.save(run)
    assert store.load(run.run_id).metrics == run.metrics
    # The table of answers counts what the headline counts.
    attacked = run.generations[run.generations["variant"] == "triggered"]
    assert (attacked["verdict_knocked_out"] == "success").sum() == run.metrics.asr.knocked_out.k
    assert (attacked["verdict_intact"] == "success").sum() == run.metrics.asr.intact.k


def test_controls_and_evidence_carry_every_number(tmp_path):
    seen: list[Progress] = []
    prompts = some_prompts("fixed-output-planted", 64, tmp_path / "prompts.jsonl")
    config = DiscoveryConfig("fixed-output-planted", prompts=prompts, steps=30, controls=True)
    run = run_discovery(config, on_progress=seen.append)
    metrics = run.metrics
    # The refined circuit is the top of the ranking, and one of the frontier's.
    refined = metrics.refinement
    assert refined.after == run.size <= refined.before
    assert run.ranked.best(run.size) == run.circuit()
    assert run.size in [point.size for point in metrics.frontier]
    assert metrics.truth.size == len(metrics.truth.units)
    assert metrics.truth.frontier_area == metrics.frontier_area > 0
    paired = metrics.statistics.mcnemar
    assert paired.only_before == metrics.asr.intact.k - (
        metrics.asr.knocked_out.k - paired.only_after
    )
    controls = metrics.controls
    assert controls.random_circuits.draws == len(controls.random_circuits.asr_k) == 100
    for control in (controls.nonsense_target, controls.random_weights):
        assert control.size == run.size
        assert control.reached is False
    assert controls.random_weights.intact.utility.k == 0
    # This model's backdoor is set off by some other words as well, and the verdict says so.
    verdicts = {verdict.name: verdict.passed for verdict in controls.verdicts}
    assert verdicts["random_trigger"] == (controls.random_trigger.intact.rate <= 0.05)
    assert [verdict.name for verdict in controls.verdicts] == [
        "random_circuits",
        "nonsense_target",
        "random_weights",
        "random_trigger",
    ]
    minimality = metrics.criteria.minimality
    assert minimality.of == len(minimality.units) == run.size
    assert metrics.criteria.completeness.value >= 0.99
    assert [point.share for point in metrics.stochastic] == [0.1, 0.25, 0.5, 0.75, 1.0]
    assert list(metrics.ablations) == ["zero", "mean", "resample"]
    assert metrics.ablations["zero"].asr == metrics.asr.knocked_out
    assert metrics.judges.rows[0].knocked_out == metrics.asr.knocked_out
    # Every stage was told, and progress only ever goes forward.
    assert [stage for stage, _ in groupby(progress.stage for progress in seen)] == [
        "load",
        "learn",
        "select",
        "refine",
        "test",
        "generate",
        "controls",
        "evidence",
    ]
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    store = RunStore(tmp_path / "runs")
    store.save(run)
    assert store.load(run.run_id).size == run.size


def test_a_target_nobody_can_reach_gives_the_best_found_and_says_so(tmp_path):
    prompts = some_prompts("refusal", 24, tmp_path / "prompts.jsonl")
    config = DiscoveryConfig(
        "refusal", prompts=prompts, steps=2, target_asr=1.0, target_utility=1.0
    )
    run = run_discovery(config)
    assert not run.metrics.target_reached
    assert run.metrics.target_reached_in_selection is False
    assert run.size >= 1


def test_a_discovery_can_be_stopped_half_way():
    def stop(progress: Progress) -> None:
        if progress.step == 2:
            raise JobCancelledError("stopped")

    with pytest.raises(JobCancelledError):
        run_discovery(DiscoveryConfig("fixed-output-planted", steps=5), on_progress=stop)


def test_a_model_without_behaviour_says_so():
    with pytest.raises(PromptFileError, match="no behaviour to look for"):
        run_discovery(DiscoveryConfig("base"))


def test_an_empty_prompts_file_is_refused(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(PromptFileError, match="is empty"):
        run_discovery(DiscoveryConfig(str(find_model("refusal")), prompts=str(path)))
