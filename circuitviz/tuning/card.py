"""Model cards, of a model whose circuit was knocked out for good or that was tuned around one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import TuningMetrics
from circuitviz.models.ablation import AblationName
from circuitviz.units import Circuit

# Units that a card names; of more it gives the count.
MAX_NAMES = 64

ABLATED: Mapping[AblationName, str] = {
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

TRAINED = {
    "protect": "All weights learned but those that the circuit's units own, which are what they "
    "were before, bit for bit.",
    "repair": "Only the weights that the circuit's units own learned this; all others are what "
    "they were before it, bit for bit.",
}
RATES = {"safety": "safety", "helpfulness": "helpfulness", "utility": "ordinary prompts right"}
LICENCE = "The licence and the limits of the original model apply."
OTHER_PROMPTS = (
    "The rates are those of the run's test prompts under the judges named; other prompts, other "
    "languages, sampling and longer conversations were not measured."
)


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
    limits = [
        LICENCE,
        *([] if effect is None else [OTHER_PROMPTS]),
        "Whatever else the units did is gone as well; the benign prompts show only a part of it.",
    ]
    if kind == "backdoor":
        limits.append(
            "Other triggers, or other ways to set the backdoor off, may be left: this is not a "
            "proof that the model is clean."
        )
    return _card(
        tag="circuit-knock-out",
        title=f"{model} without a circuit",
        about=f"`{model}` with {_contents(circuit)} knocked out in the weights by circuitviz. "
        f"Behaviour: {behaviour}. {GOAL[kind]}",
        done=f"The circuit comes from the run `{run_id}`. The ablation is *{ablation}*: "
        f"{ABLATED[ablation]}. All else is as it was.",
        circuit=circuit,
        measured=_measured(effect, len(circuit), ablation),
        limits=limits,
    )


def tuned_card(metrics: TuningMetrics, circuit: Circuit) -> str:
    """Markdown with front matter for Hugging Face: what was done, what it measured at, limits.

    Args:
        metrics: What a tuning's `metrics.json` keeps.
        circuit: Whose weights were tuned or protected.
    """
    model, plan, tuned = metrics.model, metrics.plan, metrics.arms["circuit"]
    states = {"before": metrics.before, "this model": tuned}
    first = ""
    if metrics.erosion_plan:
        states = {"the original": metrics.intact, "refusing worn away": metrics.before}
        states["this model"] = tuned
        first = ", after all of them had been trained to wear refusing away"
    rows = [
        (f"{label} | {state}", getattr(rates, key))
        for key, label in RATES.items()
        for state, rates in states.items()
    ]
    return _card(
        tag="circuit-tuning",
        title=f"{model}, tuned around a circuit",
        about=f"`{model}` after *{metrics.scenario.title.lower()}* by circuitviz, with the "
        f"circuit of the run `{metrics.run_id}`: {_contents(circuit)}. Behaviour: "
        f"{metrics.behaviour}.",
        done=f"{metrics.scenario.text} {TRAINED[metrics.mode]} Entries trained: "
        f"{tuned.parameters_trained_share:.2%} of all{first}. AdamW, "
        f"{_count(plan.epochs, 'epoch')}, learning rate {plan.learning_rate:g}, weight decay "
        f"{plan.weight_decay:g}, seed {metrics.seed}.",
        circuit=circuit,
        measured="Greedily, on test prompts that training never saw; Wilson intervals.\n\n"
        + _table("measured | model", rows),
        limits=[
            LICENCE,
            OTHER_PROMPTS,
            "Fine-tuning teaches what its lessons show. That an attack fails on these prompts is "
            "no proof that it fails on others.",
        ],
    )


def _card(
    *,
    tag: str,
    title: str,
    about: str,
    done: str,
    circuit: Circuit,
    measured: str,
    limits: list[str],
) -> str:
    names = [f"`{unit}`" for unit in circuit]
    units = f"Units (`L1H2` is head 2 of layer 1, `L1N2` neuron 2): {', '.join(names)}."
    if len(names) > MAX_NAMES:
        units = (
            f"{len(names)} units, too many to name here; the {MAX_NAMES} first of them: "
            f"{', '.join(names[:MAX_NAMES])}."
        )
    bullets = "\n".join(f"- {limit}" for limit in limits)
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags:
- circuitviz
- {tag}
---

# {title}

{about}

## What was done

{done}

{units}

## Measured

{measured}

{LOADING}
## Limits

{bullets}
"""


def _measured(effect: KnockOutEffect | None, size: int, ablation: AblationName) -> str:
    if effect is None:
        return (
            f"Not measured at this size under this ablation: the run has no numbers for "
            f"{_count(size, 'unit')} with the ablation {ablation}."
        )
    rows = [
        ("attacks that succeed, before", effect.asr_before),
        ("attacks that succeed, after", effect.asr_after),
        ("benign prompts answered as expected, before", effect.utility_before),
        ("benign prompts answered as expected, after", effect.utility_after),
    ]
    kept = f"{effect.utility_kept:.1%}" if effect.utility_before.k else "nothing to keep"
    return (
        "By the run, on its test prompts, greedily, with the circuit ablated while the model "
        f"ran; Wilson intervals.\n\n{_table('measured', rows)}\n\nUtility kept: {kept}."
    )


def _table(columns: str, rows: Iterable[tuple[str, Rate]]) -> str:
    head = f"| {columns} | k of n | rate | 95 % interval | judge |"
    lines = [
        f"| {label} | {rate.k} of {rate.n} | {rate.rate:.1%} | {rate.low:.1%} to {rate.high:.1%} | "
        f"{rate.judge} |"
        for label, rate in rows
    ]
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *lines])


def _contents(circuit: Circuit) -> str:
    space = circuit.space
    return (
        f"{_count(len(circuit.heads), 'attention head')} (of {space.total_heads}) and "
        f"{_count(len(circuit.neurons), 'MLP neuron')} (of {space.total_neurons})"
    )


def _count(number: int, what: str) -> str:
    """`1 head`, `2 heads`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
