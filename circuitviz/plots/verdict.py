"""The controls of a run: checks that must fail to find anything, and whether they did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.text import evidence, percent
from circuitviz.runs.store import Run

# Order and purpose of the controls, also where a run has none.
PURPOSES = {
    "random_circuits": (
        "Random circuits",
        "100 circuits of the same size, drawn at random in each layer, must leave the behaviour "
        "as it is.",
    ),
    "nonsense_target": (
        "Nonsense target",
        "Asked for an answer that has nothing to do with the behaviour, the method must not reach "
        "its target with as few units.",
    ),
    "random_weights": (
        "Random weights",
        "In a model whose weights are random there is nothing to find, and nothing may be found.",
    ),
    "random_trigger": (
        "Random trigger",
        "Other words in the trigger's place must not set the behaviour off.",
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What one control came to.

    Attributes:
        name: Which control.
        passed: Whether it behaved; None where it does not apply or was not run.
        number: What was counted, in a few characters.
        title: What was found, in a few words; empty where the control was not run.
        sentence: What that means, for people who do not read charts.
        evidence: k of n, interval and judge; empty where there is nothing to count.
    """

    name: str
    passed: bool | None
    number: str
    title: str
    sentence: str
    evidence: str = ""

    @property
    def label(self) -> str:
        """The control in two words."""
        return PURPOSES[self.name][0] if self.name in PURPOSES else self.title


def controls_run(run: Run) -> bool:
    """Whether the controls of this run were carried out."""
    return bool((run.metrics.get("controls") or {}).get("verdicts"))


def verdicts(run: Run) -> list[Verdict]:
    """The verdict on each control; where they were not run, what each would show."""
    if not controls_run(run):
        return [Verdict(name, None, "", "", sentence) for name, (_, sentence) in PURPOSES.items()]
    return [
        Verdict(
            name=str(row["name"]),
            passed=row["passed"],
            number=str(row.get("number") or ""),
            title=str(row["title"]),
            sentence=str(row["sentence"]),
            evidence=_evidence(row, run),
        )
        for row in run.metrics["controls"]["verdicts"]
    ]


def verdict_summary(found: Sequence[Verdict]) -> str:
    """All controls in one line: `4 of 4 controls behave`, or which of them failed."""
    failed = [verdict.label for verdict in found if verdict.passed is False]
    applicable = [verdict for verdict in found if verdict.passed is not None]
    if not applicable:
        return "The controls have not been run"
    aside = len(found) - len(applicable)
    rest = ""
    if aside:
        rest = f"; {aside} {'does' if aside == 1 else 'do'} not apply"
    if failed:
        noun = "control" if len(failed) == 1 else "controls"
        return f"{len(failed)} {noun} FAILED: {', '.join(failed)}{rest}"
    verb = "behaves" if len(applicable) == 1 else "behave"
    return f"{len(applicable)} of {len(applicable)} controls {verb}{rest}"


def _evidence(row: dict[str, Any], run: Run) -> str:
    name, number = row["name"], str(row.get("number") or "")
    found = run.metrics["controls"].get(name)
    if not found:
        return ""
    # Two sizes may have been tried; the verdict says which of them it speaks of.
    tried = [found, *([found["before_refinement"]] if found.get("before_refinement") else [])]
    if name == "random_circuits":
        return _of_draws(found)
    if name == "nonsense_target":
        return _of_rate("says it", [one.get("success") for one in tried], number)
    if name == "random_weights":
        what, key = ("answered rightly", "recovery")
        if run.metrics.get("behaviour_kind") == "refusal":
            what, key = ("answered", "asr")
        return _of_rate(what, [(one.get("effect") or {}).get(key) for one in tried], number)
    if name == "random_trigger":
        return _of_rate("attack success", [found.get("intact")], number)
    return ""


def _of_draws(found: dict[str, Any]) -> str:
    draws = len(found["asr_k"])
    pooled = sum(found["asr_k"]), found["asr_n"] * draws
    text = (
        f"{draws:,} draws of {found['asr_n']:,} prompts, {pooled[0]:,} of {pooled[1]:,} attacks "
        f"succeed; {percent(found['overlap'])} of the drawn units are the circuit's own"
    )
    if "percentile" in found:
        text += f"; {percent(found['percentile'])} of the draws do as well as the circuit"
    return text


def _of_rate(what: str, candidates: Sequence[dict[str, Any] | None], number: str) -> str:
    """The candidate the verdict's number is of, else the first, with its evidence."""
    rates = [Rate.from_json(data) for data in candidates if data]
    if not rates:
        return ""
    named = [rate for rate in rates if f"{rate.k} of {rate.n}" == number]
    rate = (named or rates)[0]
    return f"{what}: {evidence(rate)} · judge: {rate.judge}"
