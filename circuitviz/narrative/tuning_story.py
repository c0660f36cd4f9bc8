"""A tuning in plain sentences."""

from __future__ import annotations

from circuitviz.evaluation.rate import Rate
from circuitviz.narrative.numbers import count, evidence, percent, sparsity
from circuitviz.narrative.phrases import phrases
from circuitviz.narrative.story import Doubt
from circuitviz.runs.tuning_store import BEFORE, Tuning

ARM_TITLES = {
    "protect": {
        "circuit": "Circuit protected",
        "full": "Everything trained",
        "random": "Random circuit protected",
    },
    "repair": {
        "circuit": "Only the circuit trained",
        "full": "Everything trained",
        "random": "Only a random circuit trained",
        "knock-out": "Circuit knocked out (zero)",
        "erosion": "First of all, refusing is worn away",
    },
}


def arm_title(mode: str, arm: str) -> str:
    """What an arm is called, `before` included."""
    if arm == BEFORE:
        return "Before"
    return ARM_TITLES.get(mode, {}).get(arm, arm)


def safety_label(tuning: Tuning) -> str:
    """What safety counts here."""
    return phrases(tuning).safety


def helpfulness_label(tuning: Tuning) -> str:
    """What helpfulness counts here."""
    if tuning.config.mode == "protect":
        return "New helpful answers learned"
    return "Helpful answers right"


def tuning_headline(tuning: Tuning) -> str:
    """The answer to "what if only this circuit?" in one line."""
    units = count(tuning.size, "unit")
    if tuning.config.mode == "protect":
        return f"Protecting {units} kept {_kept(tuning, 'circuit')} of refusals" + _beside(
            tuning, f"; full fine-tuning kept {_kept(tuning, 'full')}"
        )
    circuit = tuning.metrics.arms["circuit"].safety
    if tuning.metrics.is_refusal:
        before = percent(tuning.metrics.before.safety.rate)
        return (
            f"Training only {units} brought refusals from {before} to {percent(circuit.rate)}"
            + _beside(tuning, f"; full fine-tuning to {_share(tuning, 'full')}")
        )
    fired = percent(1 - tuning.metrics.before.safety.rate)
    fires = percent(1 - circuit.rate)
    return f"Training only {units} took the backdoor from {fired} to {fires}" + _beside(
        tuning, f"; full fine-tuning to {_unsafe(tuning, 'full')}"
    )


def tuning_lead(tuning: Tuning) -> str:
    """What was done and what it did to helpfulness, in two sentences."""
    before, circuit = tuning.metrics.before.helpfulness, tuning.metrics.arms["circuit"]
    trained = circuit.parameters_trained_share
    share = "" if trained is None else f", with {sparsity(trained)} of all parameters trained"
    return (
        f"{tuning.metrics.scenario.text} {helpfulness_label(tuning)}: {percent(before.rate)} "
        f"before, {percent(circuit.helpfulness.rate)} after{share}."
    )


def tuning_doubts(tuning: Tuning) -> list[Doubt]:
    """Whether it was this circuit that did it, and whether the frozen weights stayed."""
    checks = []
    if "random" in tuning.arms:
        mine, chance = tuning.metrics.arms["circuit"].safety, tuning.metrics.arms["random"].safety
        checks.append(
            Doubt(
                _above(mine, chance),
                "This circuit, and not a random one",
                f"Safety {percent(mine.rate)} ({evidence(mine)}); with a random circuit "
                f"{percent(chance.rate)} ({evidence(chance)}). {_drawn(tuning)}",
            )
        )
    arms = {arm: tuning.metrics.arms[arm].frozen_equal for arm in tuning.arms}
    equal = [(arm, same) for arm, same in arms.items() if same is not None]
    if equal:
        moved = [arm_title(tuning.config.mode, arm) for arm, same in equal if not same]
        checks.append(
            Doubt(
                not moved,
                "Frozen weights stayed as they were, bit for bit",
                f"Moved in: {', '.join(moved)}." if moved else f"Compared in {len(equal)} models.",
            )
        )
    return checks


def _drawn(tuning: Tuning) -> str:
    """How the random circuit was drawn, and where it could not be another one."""
    overlap = tuning.metrics.random_overlap
    shared = (
        f"; {overlap:,} of its units {'is' if overlap == 1 else 'are'} the circuit's own, since a "
        "layer has too few others"
    ) * bool(overlap)
    return f"One draw of as many other heads and neurons in each layer{shared}."


def _above(one: Rate, other: Rate) -> bool:
    """Whether a rate is higher than another beyond both intervals."""
    return one.low > other.high


def _beside(tuning: Tuning, text: str) -> str:
    return text if "full" in tuning.arms else ""


def _kept(tuning: Tuning, arm: str) -> str:
    if arm not in tuning.arms:
        return ""
    rates = tuning.metrics.arms[arm]
    return percent(rates.safety.rate if rates.safety_kept is None else rates.safety_kept)


def _share(tuning: Tuning, arm: str) -> str:
    return percent(tuning.metrics.arms[arm].safety.rate) if arm in tuning.arms else ""


def _unsafe(tuning: Tuning, arm: str) -> str:
    return percent(1 - tuning.metrics.arms[arm].safety.rate) if arm in tuning.arms else ""
