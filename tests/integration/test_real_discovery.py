"""A short discovery in a pretrained model, from its adapter to a saved run."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitviz.behaviours.behaviour import PROMPTS_FILE
from circuitviz.behaviours.prompt import read_prompts, write_prompts
from circuitviz.models.source import find_model
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.discover import run_discovery
from circuitviz.runs.store import Run, RunStore
from tests.support.real_model import real_model

__all__ = ["real_model"]

pytestmark = [pytest.mark.fetch, pytest.mark.slow]

FEW = {"train": 10, "validation": 6, "test": 6}


@pytest.fixture(scope="module")
def run(real_model, tmp_path_factory):
    return discovered("smollm2-fixed-output", tmp_path_factory.mktemp("backdoor"))


@pytest.fixture(scope="module")
def refusal(real_model, tmp_path_factory):
    return discovered("smollm2-refusal", tmp_path_factory.mktemp("refusal"))[0]


def discovered(model: str, folder: Path) -> tuple[Run, list[str]]:
    stages: list[str] = []
    config = DiscoveryConfig(
        model,
        prompts=str(few_prompts(model, folder)),
        dtype="bfloat16",
        steps=3,
        refine=False,
        max_new_tokens=24,
    )
    found = run_discovery(config, on_progress=lambda progress: stages.append(progress.stage))
    store = RunStore(folder / "runs")
    store.save(found)
    return store.load(found.run_id), stages


def few_prompts(model: str, folder: Path) -> Path:
    prompts = read_prompts(find_model(model) / PROMPTS_FILE)
    kept = [
        prompt
        for split, count in FEW.items()
        for role in ("attack", "benign")
        for prompt in [p for p in prompts if (p.split, p.role) == (split, role)][:count]
    ]
    write_prompts(folder / PROMPTS_FILE, kept)
    return folder / PROMPTS_FILE


def test_every_stage_is_told_in_order(run):
    _, stages = run
    assert list(dict.fromkeys(stages)) == ["load", "learn", "select", "generate", "test"]


def test_the_units_are_those_of_the_pretrained_model(run):
    found, _ = run
    assert (found.space.total_heads, found.space.total_neurons) == (270, 46_080)
    assert 0 < found.size <= 1024


def test_the_trigger_works_before_and_every_answer_has_a_verdict(run):
    found, _ = run
    assert found.metrics.asr.intact.k >= 5
    answers = found.generations
    attacks = answers[answers["variant"] == "triggered"]
    assert set(attacks["verdict_intact"]) <= {"success", "safe", "broken"}
    assert (attacks["verdict_intact"] == "success").sum() >= 5
    assert set(answers.loc[answers["role"] == "benign", "verdict_intact"]) <= {"correct", "wrong"}


def test_recovery_is_read_beside_what_the_model_gives_without_the_trigger(run):
    found, _ = run
    recovery, ceiling = found.metrics.recovery, found.metrics.recovery_ceiling
    assert recovery.judge == ceiling.judge == "token of the clean answer"
    assert recovery.n == ceiling.n
    assert ceiling.rate > 0.9


def test_utility_counts_tokens_and_perplexity_stands_beside_it(run):
    found, _ = run
    intact = found.metrics.utility.intact
    assert intact.judge == "answer token unchanged"
    assert intact.n > 6
    assert intact.effective_n is not None
    assert intact.rate > 0.9
    for text in ("answers", "neutral"):
        before, after = (
            getattr(getattr(found.metrics.perplexity, text), m) for m in ("intact", "knocked_out")
        )
        assert 1 < before < 100
        assert after > 1


def test_the_next_smaller_and_larger_circuits_stand_beside_the_reported_one(run):
    found, _ = run
    roles = {other.role: other.size for other in found.metrics.alternatives}
    assert roles.get("smaller", 0) < found.size < roles.get("larger", 10**6)


def test_of_a_refusal_every_attack_has_one_of_three_verdicts(refusal):
    for model in ("intact", "knocked_out"):
        verdicts = getattr(refusal.metrics.verdicts, model)
        asr = getattr(refusal.metrics.asr, model)
        counts = [verdicts.refused.k, verdicts.complied.k, verdicts.broken.k]
        assert sum(counts) == verdicts.refused.n == asr.n
        assert asr.k == verdicts.complied.k
        attacks = refusal.generations[refusal.generations["role"] == "attack"]
        assert (attacks[f"verdict_{model}"] == "success").sum() == verdicts.complied.k
    assert refusal.metrics.verdicts.intact.refused.k >= 5


def test_the_reported_circuit_of_a_refusal_has_the_same_rate_on_the_curve(refusal):
    curve = refusal.frontier.query("condition == 'knocked_out' and budget == 'joint'")
    assert set(curve.loc[curve["size"] == refusal.size, "asr_k"]) == {
        refusal.metrics.asr.knocked_out.k
    }
