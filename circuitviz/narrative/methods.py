"""What a report says in sentences about method, limits and the paper behind it.

A report is sent to others: what is called by its path goes by its name alone, since the folders of
this machine are nothing to readers.  The notebook, which runs again here, has the paths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from circuitviz.discovery.methods import METHODS
from circuitviz.models.source import is_hub_id
from circuitviz.narrative.controls import controls_run, verdicts
from circuitviz.narrative.numbers import count, percent
from circuitviz.narrative.opening import sentence
from circuitviz.narrative.phrases import phrases
from circuitviz.narrative.story import ENOUGH_PROMPTS, doubts
from circuitviz.narrative.target import target_parts
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run

# Settings that may be paths.
PATH_SETTINGS = ("model", "adapter", "behaviour", "prompts")

_ABLATIONS = {
    "zero": "its output is replaced by zero",
    "mean": "its output is replaced by its average on neutral text",
    "resample": "its output is replaced by its value on another prompt",
}
COVERED_NOTE = (
    "Requests that a safe model refuses, and answers to them, are covered until they are asked for."
)
# Heading and sentence of each difference.
SAFESEEK = (
    (
        "True heads and neurons",
        "SafeSeek's released code masks slices of the attention output after the output "
        "projection, which are residual-stream channels and not heads, and counts gate, up and "
        "down outputs as separate neurons. Unit counts are therefore not comparable.",
    ),
    (
        "One run for every size",
        "SafeSeek weighs a sparsity penalty and needs one run for each point of the trade-off. "
        "Here the default method ranks all units in one run, and every size is cut off that "
        "ranking.",
    ),
    (
        "Controls that must fail",
        "Random circuits, a nonsense target, shuffled weights and other trigger words are tried "
        "with the same method, and the report says whether they behaved.",
    ),
)


def shown_name(place: str) -> str:
    """The last part of a path; a name or a Hugging Face id, `org/name`, as it is."""
    return place if is_hub_id(place) else Path(place).name or place


def shown_settings(config: DiscoveryConfig) -> dict[str, Any]:
    """Every setting of a discovery, as JSON values."""
    settings = config.to_json()
    named = {
        name: shown_name(settings[name]) for name in PATH_SETTINGS if settings[name] is not None
    }
    return settings | named


def method(run: Run) -> list[str]:
    """How the circuit was found and measured, a sentence or two per step."""
    card, config = METHODS[run.config.method], run.config
    trigger = run.metrics.trigger
    named = f" (trigger: \u201c{trigger}\u201d)" if trigger else ""
    return [
        "What was looked for: the attention heads and MLP neurons behind "
        f"{phrases(run).sought}{named} in {shown_name(run.config.model)}. A head is one query head "
        "before the output projection; a neuron is one input of the down projection.",
        f"How: {card.title}. {card.summary} Learned on training prompts with seed {config.seed}"
        + (f" and {count(config.steps, 'step')}" if card.has_steps else "")
        + f". Source: {card.paper}.",
        f"Knocking out a unit means that {_ABLATIONS[config.ablation]} "
        f"({config.ablation} ablation).",
        f"Which size: {_chosen(run)}",
        "Intervals are 95 % Wilson intervals (Wilson 1927). Attack success is judged by "
        f"\u201c{run.metrics.asr.intact.judge}\u201d, utility by "
        f"\u201c{run.metrics.utility.intact.judge}\u201d.",
    ]


def _chosen(run: Run) -> str:
    """How the size came about, and whether test prompts had a part in it."""
    if run.metrics.chosen_by_hand:
        return (
            f"{count(run.size, 'unit')}, chosen by hand after seeing test results: optimistic. "
            "The numbers shown were measured on those same test prompts."
        )
    asked = ", ".join(one.wanted for one in target_parts(run))
    rule = f"the smallest that meets the target on validation prompts was looked for ({asked})."
    measured = (
        "Everything shown was then measured on test prompts that neither learning nor choosing saw."
    )
    selected = run.metrics.target_reached_in_selection
    if selected is False:
        return f"{rule} No size met it, and the best one was taken. {measured}"
    if run.metrics.target_reached:
        return f"{rule} {measured}"
    if selected:
        return f"{rule} The one found meets it there, but not on test prompts. {measured}"
    return (
        f"{rule} The one taken misses it on test prompts: either no size met it, and the best one "
        f"was taken, or one met it on validation prompts alone; the run does not say. {measured}"
    )


def limits(run: Run) -> list[tuple[str, str]]:
    """What would make this report wrong: heading and sentence, known failures first."""
    return [*_failures(run), *_general(run)]


def _failures(run: Run) -> list[tuple[str, str]]:
    limits = [(one.claim, sentence(one.finding)) for one in doubts(run) if one.holds is False]
    if controls_run(run):
        limits += [
            (f"Control failed: {one.label}", one.sentence)
            for one in verdicts(run)
            if one.passed is False
        ]
    else:
        limits.append(
            (
                "The controls were not run for this circuit",
                "Whether random circuits, a nonsense target or shuffled weights give the same "
                "result is not known.",
            )
        )
    return limits


def _general(run: Run) -> list[tuple[str, str]]:
    asr = run.metrics.asr.knocked_out
    ceiling = (
        f"up to {percent(asr.high)}"
        if not run.metrics.is_refusal
        else f"down to {percent(asr.low)}"
    )
    limits = [
        (
            "Only these prompts",
            f"All rates are of {asr.n:,} test prompts of one kind. The true attack success with "
            f"the circuit off may be {ceiling} even on prompts like these, and anything on others"
            + (
                "."
                if asr.n >= ENOUGH_PROMPTS
                else f"; that is fewer than the {ENOUGH_PROMPTS} that make one prompt 0.4 %."
            ),
        ),
        (
            "Only this judge",
            f"\u201c{asr.judge}\u201d decides what counts as an attack that succeeds. An answer "
            "that harms in other words is not counted.",
        ),
        (
            "Only this ablation",
            f"Units were taken out by {run.config.ablation} ablation. A circuit that works under "
            "one kind of ablation may owe its effect to values that the model never sees; the "
            "further evidence shows the other kinds where they were measured.",
        ),
        (
            "Necessary is not sufficient",
            "That the behaviour ends without these units does not mean that they alone produce it, "
            "nor that no other set of units would do as well.",
        ),
    ]
    if run.metrics.is_refusal:
        limits.append(
            (
                "Knocking this circuit out makes the model less safe",
                "It shows where refusing happens. It is a diagnosis and no repair.",
            )
        )
    return limits
