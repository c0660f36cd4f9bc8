"""The model card of a model whose circuit was tuned, or protected while the rest was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from circuitviz.evaluation.rate import Rate
from circuitviz.tuning.card import LOADING, circuit_names, counted, front_matter
from circuitviz.units import Circuit

__all__ = ["tuned_card"]

WAYS = {
    "protect": "All weights learned but those that the circuit's units own, which are what they "
    "were before, bit for bit.",
    "repair": "Only the weights that the circuit's units own learned this; all others are what "
    "they were before it, bit for bit.",
}
ROWS = {
    "safety": "safety",
    "helpfulness": "helpfulness",
    "utility": "ordinary prompts right",
}
LIMITS = """## Limits

- The licence and the limits of the original model apply.
- The rates are those of the run's test prompts under the judges named; other prompts, other
  languages, sampling and longer conversations were not measured.
- Fine-tuning teaches what its lessons show. That an attack fails on these prompts is no proof that
  it fails on others.
"""


def tuned_card(metrics: Mapping[str, Any], circuit: Circuit) -> str:
    """Markdown with front matter for Hugging Face: what was done, what it measured at, limits.

    Args:
        metrics: What a tuning's `metrics.json` keeps.
        circuit: Whose weights were tuned or protected.
    """
    model, plan = metrics["model"], metrics["plan"]
    share = metrics["arms"]["circuit"]["parameters_trained_share"]
    heads, neurons = len(circuit.heads), len(circuit.neurons)
    eroded = ", after all of them had been trained to wear refusing away" * bool(
        metrics.get("erosion_plan")
    )
    parts = [
        f"{front_matter('circuit-tuning')}\n# {model}, tuned around a circuit\n",
        f"`{model}` after *{metrics['scenario']['title'].lower()}* by circuitviz, with the circuit "
        f"of the run `{metrics['run_id']}`: {counted(heads, 'attention head')} (of "
        f"{circuit.space.total_heads}) and {counted(neurons, 'MLP neuron')} (of "
        f"{circuit.space.total_neurons}). Behaviour: {metrics['behaviour']}.\n",
        "## What was done\n",
        f"{metrics['scenario']['text']} {WAYS[metrics['mode']]} Entries trained: {share:.2%} of "
        f"all{eroded}. AdamW, {counted(plan['epochs'], 'epoch')}, learning rate "
        f"{plan['learning_rate']:g}, weight decay {plan['weight_decay']:g}, seed "
        f"{metrics['seed']}.\n",
        f"{circuit_names(circuit)}\n",
        "## Measured\n",
        "Greedily, on test prompts that training never saw; Wilson intervals.\n",
        _table(metrics),
        LOADING,
        LIMITS,
    ]
    return "\n".join(parts)


def _table(metrics: Mapping[str, Any]) -> str:
    lines = [
        "| measured | model | k of n | rate | 95 % interval | judge |",
        "|---|---|---|---|---|---|",
    ]
    states = {"before": metrics["before"], "this model": metrics["arms"]["circuit"]}
    if metrics.get("erosion_plan"):
        worn = {"the original": metrics["intact"], "refusing worn away": metrics["before"]}
        states = {**worn, "this model": metrics["arms"]["circuit"]}
    for key, label in ROWS.items():
        for name, values in states.items():
            rate = Rate.from_json(values[key])
            lines.append(
                f"| {label} | {name} | {rate.k} of {rate.n} | {rate.rate:.1%} | {rate.low:.1%} to "
                f"{rate.high:.1%} | {rate.judge} |"
            )
    return "\n".join(lines) + "\n"
