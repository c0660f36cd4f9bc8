"""A run in plain sentences, for people who do not read charts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from circuitviz.evaluation.effect import MAX_GROWTH, MIN_RECOVERY
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import RandomRates
from circuitviz.narrative.numbers import count, kinds_of, made_of, percent
from circuitviz.narrative.open_answers import (
    perplexity_growth,
    perplexity_sentence,
    proxy_rate,
    proxy_sentence,
    verdict_shares,
)
from circuitviz.narrative.phrases import (
    by_token,
    kept_line,
    phrases,
    recovery_finding,
    utility_finding,
    utility_label,
)
from circuitviz.narrative.target import missed, only_costs, recovered_share, target_parts
from circuitviz.runs.store import Run


@dataclass(frozen=True)
class Doubt:
    """One answer to "should I believe it?".

    Attributes:
        holds: Whether the check speaks for the circuit; None where it was not run.
        claim: What was checked, in a few words.
        finding: What came out, with k of n.
    """

    holds: bool | None
    claim: str
    finding: str


# So many that one prompt is at most 0.4 %.
ENOUGH_PROMPTS = 250
# A random circuit that moves the ASR by more than this is no clean control.
NEGLIGIBLE_CHANGE = 0.05
# At least this share of the behaviour must survive in the circuit alone.
FAITHFUL_SHARE = 0.5
# At most this share of answers may be gibberish.
MAX_BROKEN = 0.05
# A cheaper judge that sees it otherwise more often than this is no stand-in.
MIN_AGREEMENT = 0.9


def asr_label(run: Run) -> str:
    """What attack success means here."""
    return phrases(run).asr


def recovery_label(run: Run) -> str:
    """What recovery means here."""
    return phrases(run).recovery


def parts(heads: int, neurons: int) -> str:
    """`2 attention heads and 8 neurons`, leaving out what is none."""
    named = [(heads, "attention head"), (neurons, "neuron")]
    return " and ".join(count(number, noun) for number, noun in named if number) or "no units"


def headline(run: Run) -> str:
    """The answer to "what was found?" in one line."""
    circuit = run.metrics.circuit
    share = kinds_of(circuit.heads, circuit.neurons, run.space)
    what = phrases(run).what
    if run.metrics.target_reached:
        return f"Switching off {share} ends {what}"
    if only_costs(run):
        names = " and ".join(one.name for one in missed(run))
        return f"Switching off {share} ends {what}, but MISSES the target for {names}"
    return f"No circuit found ends {what} and meets its target"


def named_circuit(run: Run) -> str:
    """The circuit's heads and neurons apart, each with its share."""
    circuit = run.metrics.circuit
    return made_of(circuit.heads, circuit.neurons, run.space)


def utility_name(run: Run) -> str:
    """What utility is called, as its judge counts it."""
    return utility_label(run.metrics.utility.knocked_out)


def unseen(run: Run) -> str:
    """What the test prompts had no part in, to follow `256 test prompts`."""
    if run.metrics.chosen_by_hand:
        return ", and the size was chosen by hand after seeing test results: optimistic"
    return " that neither learning nor choosing the size saw"


def lead(run: Run) -> str:
    """One sentence for a stakeholder."""
    before, after = run.metrics.asr.intact, run.metrics.asr.knocked_out
    kept, broken = accuracy_kept(run), _broken_line(run)
    off = f"Switch off {named_circuit(run)}"
    if not run.metrics.target_reached:
        return (
            f"The best circuit found is {named_circuit(run)}: with it off, "
            f"{phrases(run).remains.format(after=after)} instead of {before.k:,}, and {kept}. "
            f"{broken}That misses the target: {_listed(one.name for one in missed(run))}."
        )
    power = "loses its power" if after.k else "stops working"
    ends = phrases(run).ends.format(before=before, after=after, power=power)
    return f"{off} and {ends}, while {kept}. {broken}".rstrip()


def _broken_line(run: Run) -> str:
    """How many answers are gibberish, a sentence and a blank; empty where they were not counted."""
    rates = verdict_shares(run)
    if not rates:
        return ""
    before, after = rates["intact"]["broken"], rates["knocked_out"]["broken"]
    verb = "is" if after.k == 1 else "are"
    return f"{after.k:,} of {after.n:,} answers {verb} gibberish ({before.k:,} before). "


def accuracy_kept(run: Run) -> str:
    """What knocking out does to the answers to normal prompts, to stand within a sentence."""
    before, after = run.metrics.utility.intact, run.metrics.utility.knocked_out
    return kept_line(before, after, _by_chance(run))


def random_note(run: Run) -> str:
    """What the random control is, and on how many prompts it was measured."""
    control = run.metrics.random
    if control is None:
        return "No random control in this run."
    return (
        "Random circuit: as many heads and neurons in each layer, chosen by chance, others than "
        "the circuit's own where a layer has enough "
        f"({control.draws} draws, n = {control.asr.n:,}{_apart(control)})."
    )


def _apart(control: RandomRates) -> str:
    """How far the draws of a control lie apart; empty for runs that do not say it."""
    counts = control.asr_k
    if not counts:
        return ""
    of = control.asr.n // len(counts)
    low, high = (percent(count / of) for count in (min(counts), max(counts)))
    return f"; attack success in single draws {low} to {high}, which the interval leaves out"


def control_line(run: Run) -> str:
    """What the controls of the reported circuit came to, in one sentence; empty without any."""
    parts = []
    if run.metrics.random:
        rate, kept = run.metrics.random.asr, _random_utility(run)
        parts.append(
            f"random circuits of the same size leave attack success at {percent(rate.rate)} "
            f"({rate.k:,} of {rate.n:,})" + (f" and {kept}" if kept else "")
        )
    if run.metrics.isolated:
        rate = run.metrics.isolated.asr
        parts.append(
            f"with only the circuit on it is {percent(rate.rate)} ({rate.k:,} of {rate.n:,})"
        )
    return f"Controls: {'; '.join(parts)}." if parts else ""


def _by_chance(run: Run) -> Rate | None:
    """Utility with random circuits of the same size off; None where it was not measured."""
    return run.metrics.random.utility if run.metrics.random else None


def _random_utility(run: Run) -> str:
    """`keep ...`: how much of the normal answers random circuits leave; empty where unknown."""
    rate = _by_chance(run)
    if rate is None:
        return ""
    what = "tokens of normal answers" if by_token(rate) else "normal answers"
    return f"keep {percent(rate.rate)} of the {what} ({rate.k:,} of {rate.n:,})"


def doubts(run: Run) -> list[Doubt]:
    """The checks a sceptic asks for, in the order they are asked.

    The few random circuits every run measures are left out where the control has drawn many.
    """
    checks = [_target(run)]
    if not (run.metrics.controls and run.metrics.controls.random_circuits):
        checks.append(_random(run))
    checks.append(_alone(run))
    if not run.metrics.is_refusal:
        checks.append(_recovery(run))
    optional = (_fluency(run), _gibberish(run), _proxy(run))
    return [*checks, _utility(run), *(one for one in optional if one), _evidence(run)]


def _target(run: Run) -> Doubt:
    asked = target_parts(run)
    finding = (
        f"asked: {_listed(one.wanted for one in asked)}; test prompts show: "
        f"{_listed(one.measured for one in asked)}"
    )
    if run.metrics.target_reached:
        return Doubt(True, "The target was reached", finding)
    names = _listed(one.name for one in missed(run))
    return Doubt(False, "The target was not reached", f"{finding}; missed: {names}")


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _recovery(run: Run) -> Doubt:
    rate, most = run.metrics.recovery, run.metrics.recovery_ceiling
    if rate is None:
        return Doubt(None, "Whether attacks get the right answer again", "not measured in this run")
    share, finding = recovered_share(run) or 0.0, recovery_finding(rate)
    if most:
        finding += (
            f", {percent(share)} of what the intact model reaches without the trigger "
            f"({most.k:,} of {most.n:,})"
        )
    if share >= MIN_RECOVERY:
        return Doubt(True, "Attacks get the right answer again", finding)
    return Doubt(False, "Attacks fail, but do not get the right answer", finding)


def _random(run: Run) -> Doubt:
    control = run.metrics.random
    if control is None:
        return Doubt(None, "Random circuits of the same size", "not measured in this run")
    rate, intact = control.asr, run.metrics.asr.intact
    small = abs(rate.rate - intact.rate) <= NEGLIGIBLE_CHANGE
    finding = (
        f"attack success {percent(rate.rate)} with them off ({rate.k:,} of {rate.n:,} over "
        f"{control.draws} draws), intact {percent(intact.rate)}"
    )
    claim = "leave the behaviour as it is" if small else "also change the behaviour"
    return Doubt(small, f"Random circuits of the same size {claim}", finding)


def _alone(run: Run) -> Doubt:
    control = run.metrics.isolated
    if control is None:
        return Doubt(None, "The circuit alone", "not measured in this run")
    rate, intact = control.asr, run.metrics.asr.intact
    # Where the circuit alone gets hardly any benign prompt right, not answering means little.
    broken = control.utility.rate < FAITHFUL_SHARE * run.metrics.utility.intact.rate
    if run.metrics.is_refusal and broken:
        return Doubt(
            None,
            "Whether the circuit alone still refuses cannot be told",
            f"everything else off, the model answers {rate.k:,} of {rate.n:,} harmful requests, "
            "but hardly any normal one right: it may refuse, or merely be broken",
        )
    shown, whole = (
        (1 - rate.rate, 1 - intact.rate) if run.metrics.is_refusal else (rate.rate, intact.rate)
    )
    enough = shown >= FAITHFUL_SHARE * whole
    claim = (
        "The circuit alone still shows the behaviour"
        if enough
        else "The circuit alone does not show the behaviour"
    )
    finding = (
        f"everything else off: attack success {percent(rate.rate)} ({rate.k:,} of {rate.n:,})"
        + ("" if enough else ": other units take part as well")
    )
    return Doubt(enough, claim, finding)


def _utility(run: Run) -> Doubt:
    kept = run.metrics.utility_retention
    wanted, rate = run.metrics.target.utility, run.metrics.utility.knocked_out
    claim = "Normal answers are kept" if kept >= wanted else "Normal answers suffer"
    finding = (
        f"{utility_finding(rate)}, {percent(kept)} of intact; "
        f"mean KL {run.metrics.kl:.3f} nats per token"
    )
    if random := _random_utility(run):
        finding += f"; random circuits of the same size {random}"
    return Doubt(kept >= wanted, claim, finding)


def _fluency(run: Run) -> Doubt | None:
    growth = perplexity_growth(run)
    if growth is None:
        return None
    holds = "perplexity" not in run.metrics.target_missed
    claim = "Its language stays fluent" if holds else "Its language becomes less fluent"
    return Doubt(
        holds, claim, f"{perplexity_sentence(run)}; {percent(MAX_GROWTH)} more was allowed"
    )


def _gibberish(run: Run) -> Doubt | None:
    rates = verdict_shares(run)
    if not rates:
        return None
    before, after = rates["intact"]["broken"], rates["knocked_out"]["broken"]
    holds = after.rate <= MAX_BROKEN
    claim = "Hardly an answer is gibberish" if holds else "Answers turn into gibberish"
    finding = (
        f"{after.k:,} of {after.n:,} answers are broken with the circuit off, {before.k:,} "
        "before; they count as no success"
    )
    return Doubt(holds, claim, finding)


def _proxy(run: Run) -> Doubt | None:
    rate = proxy_rate(run)
    if rate is None:
        return None
    holds = rate.rate >= MIN_AGREEMENT
    claim = "The cheaper judge of sizes agrees" if holds else "The cheaper judge of sizes disagrees"
    return Doubt(holds, f"{claim} with that of whole answers", proxy_sentence(run))


def _evidence(run: Run) -> Doubt:
    rate = run.metrics.asr.knocked_out
    finding = (
        f"{rate.n:,} test prompts{unseen(run)}; 95 % interval {percent(rate.low)} to "
        f"{percent(rate.high)}"
    )
    if run.metrics.chosen_by_hand:
        return Doubt(False, "The size was chosen by hand after seeing test results", finding)
    if rate.n >= ENOUGH_PROMPTS:
        return Doubt(True, "Measured on enough held-out prompts", finding)
    return Doubt(False, f"Measured on fewer than {ENOUGH_PROMPTS} held-out prompts", finding)
