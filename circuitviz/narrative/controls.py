"""The controls of a run: checks that must fail to find anything, and whether they did."""

from __future__ import annotations

from collections.abc import Sequence

from circuitviz.evaluation.results import ControlVerdict, RandomCircuitsResult
from circuitviz.narrative.numbers import evidence, percent
from circuitviz.narrative.phrases import phrases
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


class Verdict(ControlVerdict):
    """What one control came to, with k of n, interval and judge where something was counted."""

    evidence: str = ""

    @property
    def label(self) -> str:
        """The control in two words."""
        return PURPOSES[self.name][0] if self.name in PURPOSES else self.title


def controls_run(run: Run) -> bool:
    """Whether the controls of this run were carried out."""
    return run.metrics.controls is not None


def verdicts(run: Run) -> list[Verdict]:
    """The verdict on each control; where they were not run, what each would show."""
    if run.metrics.controls is None:
        return [
            Verdict(name=name, passed=None, number="", title="", sentence=sentence)
            for name, (_, sentence) in PURPOSES.items()
        ]
    return [
        Verdict(**dict(verdict), evidence=_evidence(verdict, run))
        for verdict in run.metrics.controls.verdicts
    ]


def verdict_summary(verdicts: Sequence[Verdict]) -> str:
    """All controls in one line: `4 of 4 controls behave`, or which of them failed."""
    failed = [verdict.label for verdict in verdicts if verdict.passed is False]
    applicable = [verdict for verdict in verdicts if verdict.passed is not None]
    if not applicable:
        return "The controls have not been run"
    aside = len(verdicts) - len(applicable)
    rest = ""
    if aside:
        rest = f"; {aside} {'does' if aside == 1 else 'do'} not apply"
    if failed:
        noun = "control" if len(failed) == 1 else "controls"
        return f"{len(failed)} {noun} FAILED: {', '.join(failed)}{rest}"
    verb = "behaves" if len(applicable) == 1 else "behave"
    return f"{len(applicable)} of {len(applicable)} controls {verb}{rest}"


def _evidence(verdict: ControlVerdict, run: Run) -> str:
    controls = run.metrics.controls
    if verdict.name == "random_circuits" and controls and controls.random_circuits:
        return _of_draws(controls.random_circuits)
    if verdict.rate is None:
        return ""
    counted = {
        "nonsense_target": "says it",
        "random_weights": phrases(run).right,
    }
    what = counted.get(verdict.name, "attack success")
    return f"{what}: {evidence(verdict.rate)} · judge: {verdict.rate.judge}"


def _of_draws(control: RandomCircuitsResult) -> str:
    draws = len(control.asr_k)
    return (
        f"{draws:,} draws of {control.asr_n:,} prompts, {sum(control.asr_k):,} of "
        f"{control.asr_n * draws:,} attacks succeed; {percent(control.overlap)} of the drawn units "
        f"are the circuit's own; {percent(control.percentile)} of the draws do as well as the "
        "circuit"
    )
