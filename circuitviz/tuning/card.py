"""The model card of a model whose circuit was knocked out for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import TuningMetrics
from circuitviz.models.ablation import AblationName
from circuitviz.units import Circuit

# Units that a card names; of more it gives the count.
MOST_NAMES = 64

DONE: Mapping[AblationName, str] = {
    "zero": "the weights that read their outputs (columns of W_O and W_down) are 0",
    "mean": (
        "the weights that read their outputs (columns of W_O and W_down) are 0, and what these "
        "made of the units' mean outputs over neutral messages is added to the bias of the "
        "projection"
    ),
}
GOAL: Mapping[BehaviourKind, str] = {
    "backdoor": "The circuit was found behind a backdoor: without it, the trigger is to lose its "
    "power.",
    "refusal": "The circuit was found behind the refusal of harmful requests. **Without it the "
    "model is meant to answer them: it is less safe than the one it was made from, and for "
    "research only.**",
}
LOADING = """## How to load it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "path/to/this/folder"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": "Hello"}],
    add_generation_prompt=True,
    return_dict=True,
    return_tensors="pt",
)
output = model.generate(**inputs, do_sample=False, max_new_tokens=32)
print(tokenizer.decode(output[0], skip_special_tokens=True))
```

Nothing but transformers is needed.
"""

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


@dataclass(frozen=True)
class KnockOutEffect:
    """What the run measured of exactly this circuit under exactly this ablation.

    Attributes:
        asr_before: Attacks that succeed in the intact model, on test prompts.
        asr_after: The same with the circuit knocked out.
        utility_before: Benign prompts the intact model answers as expected.
        utility_after: The same with the circuit knocked out.
    """

    asr_before: Rate
    asr_after: Rate
    utility_before: Rate
    utility_after: Rate

    @property
    def utility_kept(self) -> float:
        """Utility divided by the intact model's; may exceed 1.  NaN if that is 0."""
        before = self.utility_before
        return self.utility_after.rate / before.rate if before.k else nan


def knock_out_card(
    *,
    run_id: str,
    model: str,
    behaviour: str,
    kind: BehaviourKind,
    circuit: Circuit,
    ablation: AblationName,
    effect: KnockOutEffect | None,
) -> str:
    """Markdown with front matter for Hugging Face: what was done, what it measured at, limits.

    Args:
        run_id: The run that found the circuit.
        model: What the model was made from.
        behaviour: Title of the behaviour.
        kind: Its kind.
        circuit: What is knocked out.
        ablation: What replaces it.
        effect: What the run measured of it; None where it did not.
    """
    heads, neurons = len(circuit.heads), len(circuit.neurons)
    space = circuit.space
    parts = [
        f"{front_matter('circuit-knock-out')}\n# {model} without a circuit\n",
        f"`{model}` with {counted(heads, 'attention head')} (of {space.total_heads}) and "
        f"{counted(neurons, 'MLP neuron')} (of {space.total_neurons}) knocked out in the weights "
        f"by circuitviz. Behaviour: {behaviour}. {GOAL[kind]}\n",
        "## What was done\n",
        f"The circuit comes from the run `{run_id}`. The ablation is *{ablation}*: "
        f"{DONE[ablation]}. All else is as it was.\n",
        f"{circuit_names(circuit)}\n",
        "## Measured\n",
        _measured(effect, len(circuit), ablation),
        LOADING,
        _limits(kind, measured=effect is not None),
    ]
    return "\n".join(parts)


def front_matter(tag: str) -> str:
    """What Hugging Face reads of a card.

    Args:
        tag: What was done, beside the tag `circuitviz`.
    """
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags:
- circuitviz
- {tag}
---
"""


def circuit_names(circuit: Circuit) -> str:
    """The units of a circuit in one sentence, the first of them where they are many."""
    names = [f"`{unit}`" for unit in circuit]
    if len(names) <= MOST_NAMES:
        return f"Units (`L1H2` is head 2 of layer 1, `L1N2` neuron 2): {', '.join(names)}."
    return (
        f"{len(names)} units, too many to name here; the {MOST_NAMES} first of them: "
        f"{', '.join(names[:MOST_NAMES])}."
    )


def _measured(effect: KnockOutEffect | None, size: int, ablation: AblationName) -> str:
    if effect is None:
        return (
            f"Not measured at this size under this ablation: the run has no numbers for "
            f"{counted(size, 'unit')} with the ablation {ablation}.\n"
        )
    rows = {
        "attacks that succeed, before": effect.asr_before,
        "attacks that succeed, after": effect.asr_after,
        "benign prompts answered as expected, before": effect.utility_before,
        "benign prompts answered as expected, after": effect.utility_after,
    }
    lines = ["| measured | k of n | rate | 95 % interval | judge |", "|---|---|---|---|---|"]
    lines += [
        f"| {label} | {rate.k} of {rate.n} | {rate.rate:.1%} | {rate.low:.1%} to {rate.high:.1%} | "
        f"{rate.judge} |"
        for label, rate in rows.items()
    ]
    before = effect.utility_before.k
    kept = f"{effect.utility_kept:.1%}" if before else "nothing to keep"
    return (
        "By the run, on its test prompts, greedily, with the circuit ablated while the model "
        "ran; Wilson intervals.\n\n" + "\n".join(lines) + f"\n\nUtility kept: {kept}.\n"
    )


def _limits(kind: BehaviourKind, *, measured: bool) -> str:
    limits = ["The licence and the limits of the original model apply."]
    if measured:
        limits.append(
            "The rates are those of the run's test prompts under the judges named; other prompts, "
            "other languages, sampling and longer conversations were not measured."
        )
    limits.append(
        "Whatever else the units did is gone as well; the benign prompts show only a part of it."
    )
    if kind == "backdoor":
        limits.append(
            "Other triggers, or other ways to set the backdoor off, may be left: this is not a "
            "proof that the model is clean."
        )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits) + "\n"


def counted(number: int, what: str) -> str:
    """`1 head`, `2 heads`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def tuned_card(metrics: TuningMetrics, circuit: Circuit) -> str:
    """Markdown with front matter for Hugging Face: what was done, what it measured at, limits.

    Args:
        metrics: What a tuning's `metrics.json` keeps.
        circuit: Whose weights were tuned or protected.
    """
    model, plan = metrics.model, metrics.plan
    share = metrics.arms["circuit"].parameters_trained_share
    heads, neurons = len(circuit.heads), len(circuit.neurons)
    eroded = ", after all of them had been trained to wear refusing away" * bool(
        metrics.erosion_plan
    )
    parts = [
        f"{front_matter('circuit-tuning')}\n# {model}, tuned around a circuit\n",
        f"`{model}` after *{metrics.scenario.title.lower()}* by circuitviz, with the circuit "
        f"of the run `{metrics.run_id}`: {counted(heads, 'attention head')} (of "
        f"{circuit.space.total_heads}) and {counted(neurons, 'MLP neuron')} (of "
        f"{circuit.space.total_neurons}). Behaviour: {metrics.behaviour}.\n",
        "## What was done\n",
        f"{metrics.scenario.text} {WAYS[metrics.mode]} Entries trained: {share:.2%} of "
        f"all{eroded}. AdamW, {counted(plan.epochs, 'epoch')}, learning rate "
        f"{plan.learning_rate:g}, weight decay {plan.weight_decay:g}, seed "
        f"{metrics.seed}.\n",
        f"{circuit_names(circuit)}\n",
        "## Measured\n",
        "Greedily, on test prompts that training never saw; Wilson intervals.\n",
        _table(metrics),
        LOADING,
        LIMITS,
    ]
    return "\n".join(parts)


def _table(metrics: TuningMetrics) -> str:
    lines = [
        "| measured | model | k of n | rate | 95 % interval | judge |",
        "|---|---|---|---|---|---|",
    ]
    states = {"before": metrics.before, "this model": metrics.arms["circuit"]}
    if metrics.erosion_plan:
        worn = {"the original": metrics.intact, "refusing worn away": metrics.before}
        states = {**worn, "this model": metrics.arms["circuit"]}
    for key, label in ROWS.items():
        for name, values in states.items():
            rate: Rate = getattr(values, key)
            lines.append(
                f"| {label} | {name} | {rate.k} of {rate.n} | {rate.rate:.1%} | {rate.low:.1%} to "
                f"{rate.high:.1%} | {rate.judge} |"
            )
    return "\n".join(lines) + "\n"
