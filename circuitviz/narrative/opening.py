"""The first things a report says: what was found, and whether its target and controls hold."""

from __future__ import annotations

from dataclasses import dataclass

from circuitviz.narrative import story
from circuitviz.narrative.controls import controls_run, verdict_summary, verdicts
from circuitviz.narrative.numbers import count, evidence, kinds_of, percent, sparsity
from circuitviz.narrative.open_answers import ceiling_note, perplexity_growth, perplexity_sentence
from circuitviz.narrative.phrases import phrases
from circuitviz.runs.store import Run


@dataclass(frozen=True)
class Headline:
    """One number of the first screen.

    Attributes:
        label: What it is.
        value: The number.
        note: k of n, interval and judge.
        before: The intact model's number, where there is one.
    """

    label: str
    value: str
    note: str
    before: str = ""


@dataclass(frozen=True)
class Standing:
    """Whether the target, or the controls, hold: said equally loud whichever way it went.

    Attributes:
        holds: None where it was not tried.
        text: In a few words.
        detail: What was asked and what came out.
    """

    holds: bool | None
    text: str
    detail: str


def opening_headline(run: Run, reported: Run) -> str:
    """What was found, in one line.

    Args:
        run: The run as this report tells it.
        reported: The run as it was saved.
    """
    if run is reported or run.metrics.target_reached:
        return story.headline(run)
    what = phrases(run).what
    circuit = run.metrics.circuit
    share = kinds_of(circuit.heads, circuit.neurons, run.space)
    return f"Switching off {share} does not end {what} as asked"


def opening_lead(run: Run, reported: Run) -> str:
    """One sentence for a stakeholder."""
    if run is reported or run.metrics.target_reached:
        return story.lead(run)
    after = run.metrics.asr.knocked_out
    done = phrases(run).counted.format(after=after)
    return (
        f"With {story.named_circuit(run)} off, {done} instead of "
        f"{run.metrics.asr.intact.k:,}, and {story.accuracy_kept(run)}. That misses the target "
        f"of this run, whose own circuit has {count(reported.size, 'unit')}."
    )


def headlines(run: Run) -> list[Headline]:
    """Attack success, utility, recovery and size."""
    asr, utility = run.metrics.asr.knocked_out, run.metrics.utility.knocked_out
    before, intact = run.metrics.asr.intact, run.metrics.utility.intact
    rates = [
        Headline(
            story.asr_label(run),
            percent(asr.rate),
            f"{evidence(asr)} · before {before.k:,} of {before.n:,} · judge: {asr.judge}",
            percent(before.rate),
        ),
        Headline(
            story.utility_name(run),
            percent(utility.rate),
            f"{evidence(utility)} · before {intact.k:,} of {intact.n:,} · judge: {utility.judge}",
            percent(intact.rate),
        ),
    ]
    if run.metrics.recovery and not run.metrics.is_refusal:
        rate = run.metrics.recovery
        note = f"{evidence(rate)} · judge: {rate.judge}{ceiling_note(run, rate)}"
        rates.append(Headline(story.recovery_label(run), percent(rate.rate), note))
    return [*rates, *_fluency(run), _size(run)]


def _fluency(run: Run) -> list[Headline]:
    growth = perplexity_growth(run)
    if growth is None:
        return []
    told = perplexity_sentence(run)
    return [Headline("Perplexity, change", f"{100 * growth:+.1f}\u202f%", told)]


def _size(run: Run) -> Headline:
    return Headline(
        "Circuit",
        count(run.size, "unit"),
        f"{story.named_circuit(run)}; {sparsity(run.metrics.circuit.sparsity)} of all "
        f"{len(run.space):,} units",
    )


def standings(run: Run, reported: Run) -> list[Standing]:
    """Whether the target was reached and the controls behaved.

    Args:
        run: The run as this report tells it.
        reported: The run as it was saved; another size of it has no controls of its own.
    """
    target = story.doubts(run)[0]
    checks = [Standing(target.holds, target.claim, sentence(target.finding))]
    controls = verdicts(run)
    if controls_run(run):
        failed = [one for one in controls if one.passed is False]
        behaved = [one for one in controls if one.passed]
        # Of a control that failed, what that means; of one that behaved, what was counted.
        told = [one.sentence.split(". ")[0] for one in failed] or [one.title for one in behaved]
        holds = not failed if told else None
        detail = " ".join(map(sentence, told))
        checks.append(Standing(holds, verdict_summary(controls), detail))
    elif controls_run(reported):
        checks.append(
            Standing(
                None,
                "The controls were run at another size",
                f"They tried the circuit of {reported.size:,} units that this run reports, and say "
                f"nothing about {run.size:,}.",
            )
        )
    else:
        checks.append(
            Standing(
                None,
                "The controls have not been run",
                "Nothing here was tried against chance, so take it as a lead and not as a finding. "
                "Discover again with controls.",
            )
        )
    return checks


def sentence(text: str) -> str:
    """The text with a capital at its beginning and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
