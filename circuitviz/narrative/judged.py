"""What a rate of normal answers counts, in words: its judge says whether prompts or tokens."""

from __future__ import annotations

from collections.abc import Iterable

from circuitviz.evaluation.rate import Rate
from circuitviz.narrative.numbers import percent, worth

# Count answer tokens, of normal answers and of recovered ones: of open answers no two models agree
# on every word.  The names are those that `circuitviz.evaluation.evaluator` gives.
TOKEN_JUDGE, CLEAN_TOKEN_JUDGE = "answer token unchanged", "token of the clean answer"
TOKEN_JUDGES = (TOKEN_JUDGE, CLEAN_TOKEN_JUDGE)
PROMPT_SHARE = "Share of test prompts"
# Counts answers that begin as they should.
OPENING_JUDGE = "starts with the expected opening"
# Count whole answers, word for word.
EXACT_JUDGES = ("exact answer", "exact match")


def by_token(rate: Rate) -> bool:
    """Whether k and n are answer tokens, and not prompts."""
    return rate.judge in TOKEN_JUDGES


def share_axis(judges: Iterable[object]) -> str:
    """What the axis of rates is called, by who counted them."""
    kinds = {judge in TOKEN_JUDGES for judge in judges}
    if kinds == {True}:
        return "Share of answer tokens"
    return "Share of test prompts, or of their answer tokens" if True in kinds else PROMPT_SHARE


def counted(rate: Rate) -> str:
    """What k and n are: `answer tokens` or `test prompts`."""
    return "answer tokens" if by_token(rate) else "test prompts"


def utility_label(rate: Rate) -> str:
    """What the utility is called."""
    return "Tokens of normal answers kept" if by_token(rate) else "Normal accuracy"


def kept_line(before: Rate, after: Rate, chance: Rate | None = None) -> str:
    """What knocking out does to the answers to normal prompts, to stand within a sentence.

    Args:
        before: Of the intact model.
        after: With the circuit off.
        chance: With as many units off that were drawn at random, where that was measured.
    """
    first, second = percent(before.rate), percent(after.rate)
    if by_token(after):
        # Not all of them need be the likeliest ones of the intact model.
        beside = [f"{first} in the intact model"] if before.k < before.n else []
        if chance is not None and by_token(chance):
            beside.append(f"{percent(chance.rate)} with random units off instead")
        aside = f" ({', '.join(beside)})" if beside else ""
        return f"{second} of the tokens of normal answers stay as they were{aside}"
    if first == second:
        return f"normal accuracy stays at {second}"
    return f"normal accuracy goes from {first} to {second}"


def right_line(before: Rate, after: Rate) -> str:
    """How much of the normal answers is right with the circuit off, to end a sentence."""
    if by_token(after):
        return (
            f"{after.k:,} of {after.n:,} answer tokens are unchanged, {before.k:,} in the intact "
            "model"
        )
    return f"{after.k:,} of {after.n:,} normal prompts are answered right, {before.k:,} before"


def utility_finding(rate: Rate) -> str:
    """How much of the normal answers is right, with what it was counted on."""
    if by_token(rate):
        return f"{rate.k:,} of {rate.n:,} answer tokens of benign prompts unchanged{worth(rate)}"
    return f"{rate.k:,} of {rate.n:,} benign prompts right"


def recovery_finding(rate: Rate) -> str:
    """How many attacks are answered as they should be, as their judge counts it."""
    if by_token(rate):
        return (
            f"{rate.k:,} of {rate.n:,} tokens of the answers without the trigger come back"
            f"{worth(rate)}"
        )
    if rate.judge == OPENING_JUDGE:
        return f"{rate.k:,} of {rate.n:,} attacks get an answer that begins as it should"
    if rate.judge in EXACT_JUDGES:
        return f"{rate.k:,} of {rate.n:,} attacks are answered exactly as without the trigger"
    return f"{rate.k:,} of {rate.n:,} attacks are answered rightly again (judge: {rate.judge})"
