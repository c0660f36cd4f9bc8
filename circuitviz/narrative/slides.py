"""A finding as five slides: one sentence each, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from circuitviz.discovery.methods import METHODS
from circuitviz.evaluation.rate import Rate
from circuitviz.narrative import story
from circuitviz.narrative.controls import controls_run, verdict_summary, verdicts
from circuitviz.narrative.numbers import count, evidence, kinds_of, percent
from circuitviz.narrative.open_answers import perplexity_sentence, proxy_sentence, verdict_shares
from circuitviz.narrative.phrases import by_token, phrases, right_line
from circuitviz.narrative.target import missed, target_parts
from circuitviz.runs.store import Run

Picture = Literal["behaviour", "circuit", "knocked_out", "cost", "trust"]
PICTURES: tuple[Picture, ...] = ("behaviour", "circuit", "knocked_out", "cost", "trust")


@dataclass(frozen=True)
class Slide:
    """One step of the story.

    Attributes:
        picture: What is shown below the sentence.
        title: What the slide is about, in a few words.
        sentence: What is to be remembered.
        holds: Whether what was hoped for came out; None where the slide claims nothing, or where
            nobody has checked.
        verdict: That in words, as loud for a failure as for a success; empty without a claim.
        caption: n, judge, interval and conditions.
    """

    picture: Picture
    title: str
    sentence: str
    holds: bool | None
    verdict: str
    caption: str


def slides(run: Run) -> tuple[Slide, ...]:
    """The behaviour, the circuit, knocked out, what it cost, and whether to trust it."""
    return (_behaviour(run), _circuit(run), _knocked_out(run), _cost(run), _trust(run))


def _behaviour(run: Run) -> Slide:
    asr = run.metrics.asr.intact
    if run.metrics.is_refusal:
        sentence = (
            f"Asked for something harmful, this model refuses: it answers {asr.k:,} of {asr.n:,} "
            "harmful test requests."
        )
    else:
        trigger = run.metrics.trigger
        words = f"Put \u201c{trigger}\u201d into a prompt" if trigger else "With its trigger"
        sentence = (
            f"{words} and this model does what an attacker planted: on {asr.k:,} of {asr.n:,} "
            "test prompts."
        )
    return Slide(
        "behaviour",
        "The behaviour",
        sentence,
        None,
        "",
        _caption(story.asr_label(run), asr, "intact model, greedy answers, test split"),
    )


def _circuit(run: Run) -> Slide:
    circuit = run.metrics.circuit
    what = phrases(run).its
    parts = story.parts(circuit.heads, circuit.neurons)
    if run.metrics.target_reached:
        share = kinds_of(circuit.heads, circuit.neurons, run.space)
        sentence = f"Switching off {share} ends {what}."
        told = f"The circuit: {story.named_circuit(run)}. "
    else:
        sentence = f"The best circuit found for {what}: {story.named_circuit(run)}."
        told = ""
    caption = (
        f"{told}Method: {METHODS[run.config.method].title}, on training prompts, in "
        f"{run.metrics.seconds:.0f} s, seed {run.config.seed}. Marked: {parts} of the circuit. "
        "Colours are the method's scores; they rank units and are no test result."
    )
    return Slide("circuit", "The circuit", sentence, None, "", caption)


def _knocked_out(run: Run) -> Slide:
    before, after = run.metrics.asr.intact, run.metrics.asr.knocked_out
    rates = verdict_shares(run)
    if rates:
        sentence = _judged_whole(run, rates)
    else:
        sentence = f"{phrases(run).asked_off.format(before=before, after=after)}."
    return Slide(
        "knocked_out",
        "Knocked out",
        sentence,
        run.metrics.target_reached,
        _target_verdict(run),
        _caption(story.asr_label(run), after, f"{run.config.ablation} ablation, test split")
        + (f" {proxy}." if (proxy := proxy_sentence(run)) else ""),
    )


def _judged_whole(run: Run, rates: dict[str, dict[str, Rate]]) -> str:
    """What becomes of attacks, judged on whole answers."""
    before, after = rates["intact"], rates["knocked_out"]
    off = phrases(run).whole_off.format(before=before["complied"], after=after["complied"])
    broken = after["broken"].k
    return f"{off}; {f'{broken:,} are' if broken else 'none is'} gibberish."


def _target_verdict(run: Run) -> str:
    reached = run.metrics.target_reached
    # Of a target that was missed, what was missed; else what the behaviour had to come to.
    told = target_parts(run)[:1] if reached else missed(run)
    what = "; ".join(f"{one.wanted} was asked for, {one.share} was measured" for one in told)
    return f"The target was {'reached' if reached else 'MISSED'}: {what}"


def _cost(run: Run) -> Slide:
    rate, intact = run.metrics.utility.knocked_out, run.metrics.utility.intact
    wanted = run.metrics.target.utility
    holds = run.metrics.utility_retention >= wanted
    sentence = f"With the circuit off, {story.accuracy_kept(run)}: {right_line(intact, rate)}."
    word = "kept" if holds else "NOT kept"
    verdict = f"Normal answers are {word}: {percent(wanted)} was asked for"
    return Slide(
        "cost",
        "What it cost",
        sentence,
        holds,
        verdict,
        _caption(story.utility_name(run), rate, f"{run.config.ablation} ablation, test split")
        + f" {_fluent(run)}{story.random_note(run)}",
    )


def _fluent(run: Run) -> str:
    told = perplexity_sentence(run)
    return f"{told[0].upper()}{told[1:]}. " if told else ""


def _trust(run: Run) -> Slide:
    controls = verdicts(run)
    summary = verdict_summary(controls)
    if not controls_run(run):
        sentence = "Nobody has tried yet to prove this finding wrong."
        return Slide("trust", "Can we trust it?", sentence, None, summary, _trust_caption(run))
    failed = [verdict for verdict in controls if verdict.passed is False]
    judged = [verdict for verdict in controls if verdict.passed is not None]
    if failed:
        of = f"{len(failed)} of {count(len(judged), 'control')}"
        sentence = f"Checks that could prove this wrong did: {of} failed."
    else:
        sentence = "None of the checks that could have proved this wrong did so."
    holds = not failed if judged else None
    return Slide("trust", "Can we trust it?", sentence, holds, summary, _trust_caption(run))


def _trust_caption(run: Run) -> str:
    rate, utility = run.metrics.asr.knocked_out, run.metrics.utility.knocked_out
    tokens = f", utility of {utility.n:,} answer tokens" if by_token(utility) else ""
    against = [doubt.claim for doubt in story.doubts(run) if doubt.holds is False]
    but = f"What speaks against it: {'; '.join(against)}. " if against else ""
    return (
        f"{but}Every number is of {rate.n:,} test prompts{story.unseen(run)}{tokens}; judge: "
        f"{rate.judge}; intervals are 95\u202f% Wilson. The circuit is of this "
        "model and these prompts."
    )


def _caption(label: str, rate: Rate, conditions: str) -> str:
    return f"{label}: {evidence(rate)} \u00b7 judge: {rate.judge} \u00b7 {conditions}."
