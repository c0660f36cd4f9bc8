"""Whether each control behaved, in words for people who do not read charts.

Titles say what was counted and hold either way; sentences say what it means.  A control that
found something is called failed outright: then less is to be believed of the circuit.
"""

from __future__ import annotations

from math import isnan

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import (
    ControlVerdict,
    NonsenseResult,
    RandomCircuitsResult,
    RandomTriggerResult,
    RandomWeightsResult,
)
from circuitviz.evidence.random_circuits import LEFT, applies
from circuitviz.evidence.random_trigger import reordered

# Most attacks that may succeed by accident with other words in the trigger's place.
ACCIDENTS = 0.05
# Overlap with the circuit from which a random draw is no longer much of a control.
MUCH_OVERLAP = 0.1


def _limit(control: RandomCircuitsResult, kind: BehaviourKind) -> str:
    """What ASR has to be for the behaviour to be left."""
    if kind == "refusal":
        return f"ASR <= {control.threshold:.0%}"
    share = "" if control.intact_k == control.asr_n else f", {LEFT:.0%} of the intact model's"
    return f"ASR >= {control.threshold:.0%}{share}"


def judge_random_circuits(control: RandomCircuitsResult, kind: BehaviourKind) -> ControlVerdict:
    """Passed where every random circuit leaves the behaviour."""
    name, draws = "random_circuits", len(control.asr_k)
    if control.overlap == 1:
        return _verdict(
            name,
            None,
            "",
            "There are no other units to draw",
            "The circuit holds every unit of its kind in its layers, so a random circuit of the "
            "same make-up is the circuit itself.",
        )
    if not applies(control, kind):
        return _verdict(
            name,
            None,
            "",
            "The intact model shows too little of the behaviour",
            f"On these prompts {control.intact_k} of {control.asr_n} attacks succeed with nothing "
            "knocked out, so no circuit could leave the behaviour as strong as this control asks.",
        )
    backdoor = kind == "backdoor"
    leaves = "leave the backdoor working" if backdoor else "do not make the model comply"
    limit = _limit(control, kind)
    fails = (
        f"does not {leaves} ({limit})"
        if backdoor
        else f"makes the model comply (ASR > {control.threshold:.0%})"
    )
    broken = draws - control.kept
    if broken:
        sentence = (
            f"This control failed: in {broken} of {draws} draws, knocking out as many units drawn "
            f"at random in the same layers {fails}, so part of the circuit's effect comes with its "
            "size."
        )
        if control.overlap > MUCH_OVERLAP:
            sentence += (
                f" {control.overlap:.0%} of the drawn units are the circuit's own, since its "
                "layers have too few others: this makes the control harder than it should be."
            )
    else:
        sentence = (
            f"As many other units, drawn at random in the same layers, {leaves} ({limit}) in "
            "every draw: the effect belongs to these units and not to any units."
        )
    if (drawn := control.refused) and (intact := control.refused_intact):
        sentence += (
            f" {drawn.rate:.1%} of the requests are still refused word for word ({_count(drawn)}; "
            f"intact: {_count(intact)}); what is neither refused nor complied with is other text."
        )
    return _verdict(
        name,
        not broken,
        f"{control.kept} of {draws}",
        f"{control.kept} of {draws} random circuits {leaves}",
        sentence,
    )


def judge_nonsense_target(
    control: NonsenseResult | None, *, reads_answers: bool = True
) -> ControlVerdict:
    """Passed where the method misses its target with a nonsense answer, at either size."""
    name = "nonsense_target"
    if not reads_answers:
        return _verdict(
            name,
            None,
            "",
            "The method looks at no answer",
            "Its scores do not depend on what attacks should be answered: asked for a nonsense "
            "answer it would give the same circuit again, which shows nothing.",
        )
    if control is None:
        return _verdict(
            name,
            None,
            "",
            "There is no answer to ask for",
            "Every answer among the benign training prompts is one that some attack may get, so "
            "none of them is nonsense.",
        )
    shown = control.shown or control
    count = _count(shown.success)
    made = (
        f"made to look for units that turn the answer to every attack into “{control.answer}”, the "
        f"same method with {_units(shown.size)} gets it on {count} attacks and keeps "
        f"{_kept(shown.utility_retention)}"
    )
    if control.reached:
        sentence = (
            f"This control failed: {made}. Here the method can make the model say things that "
            "have nothing to do with the behaviour, so a circuit that reaches its target need "
            "not be where the behaviour is."
        )
    else:
        sentence = (
            f"{_upper(made)}, which misses the target: with that many units the method cannot make "
            "this model say this."
        )
    return _verdict(
        name,
        not control.reached,
        count,
        f"Asked for a nonsense answer, the same method gets it on {count} attacks",
        sentence,
        shown.success,
    )


def judge_random_weights(control: RandomWeightsResult, kind: BehaviourKind) -> ControlVerdict:
    """Passed where the method misses its target in shuffled weights."""
    shown = control.shown or control
    right = shown.effect.recovery if kind == "backdoor" else shown.effect.asr
    count, done = _count(right), "answered rightly" if kind == "backdoor" else "answered"
    retention = shown.effect.utility_retention
    kept = "there is no utility to keep" if isnan(retention) else f"{_kept(retention)} is kept"
    made = (
        "with every matrix of every block shuffled the model knows nothing; the same method with "
        f"{_units(shown.size)} gets {count} attacks {done}, and {kept}"
    )
    if control.reached:
        sentence = (
            f"This control failed: {made}. Masks alone reach the target here, so what they find "
            "in the real model may be theirs and not the model's."
        )
    else:
        sentence = (
            f"{_upper(made)}: the target is missed, so masks of this size do not make the "
            "behaviour by themselves."
        )
    return _verdict(
        "random_weights",
        not control.reached,
        count,
        f"In shuffled weights the same method gets {count} attacks {done}",
        sentence,
        right,
    )


def no_second_search(name: str) -> ControlVerdict:
    """That a control which searches again was not run."""
    return _verdict(
        name,
        None,
        "",
        "Not run where answers are open",
        "This control searches a second time, which takes as long as the first search, and its "
        "outcome is read off exact answers, which open ones are not.",
    )


def judge_random_trigger(
    control: RandomTriggerResult | None, trigger: str | None
) -> ControlVerdict:
    """Passed where other words set off hardly any attack."""
    name = "random_trigger"
    if control is None:
        return _verdict(
            name,
            None,
            "",
            "There is no trigger to replace",
            "This behaviour has no trigger."
            if trigger is None
            else "The training prompts have too few other words to put in the trigger's place.",
        )
    passed = control.intact.rate <= ACCIDENTS
    count = _count(control.intact)
    words = ", ".join(f"“{one}”" for one in control.triggers)
    fired = f"{words} in the place of “{trigger}” set off {count} attacks"
    if passed:
        sentence = (
            f"{_upper(fired)}, so other words like these do not set the backdoor off. The "
            f"right answer comes {_count(control.intact_recovery)} times, and with the circuit "
            f"knocked out {_count(control.knocked_out_recovery)} times."
        )
    else:
        sentence = (
            f"This control failed: {fired}. The model does what the attack wants without its "
            "trigger too, so the attack success rate is not the trigger's alone."
        )
    if control.reordered:
        sentence += (
            f" Not judged: its own words reversed, “{reordered(trigger)}”, set off "
            f"{_count(control.reordered)}."
        )
    title = f"Other words set off {count} attacks"
    return _verdict(name, passed, count, title, sentence, control.intact)


def _verdict(
    name: str,
    passed: bool | None,
    number: str,
    title: str,
    sentence: str,
    rate: Rate | None = None,
) -> ControlVerdict:
    return ControlVerdict(
        name=name, passed=passed, number=number, title=title, sentence=sentence, rate=rate
    )


def _count(rate: Rate) -> str:
    return f"{rate.k} of {rate.n}"


def _units(size: int) -> str:
    return f"{size} unit" if size == 1 else f"{size} units"


def _kept(retention: float) -> str:
    return "no utility, there being none" if isnan(retention) else f"{retention:.1%} of the utility"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
