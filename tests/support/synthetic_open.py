"""Runs as models with open answers make them: verdicts on whole answers, tokens, perplexity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from circuitviz.evaluation.rate import Rate
from circuitviz.narrative.phrases import TOKEN_JUDGE
from circuitviz.runs.store import Run
from tests.support.synthetic import backdoor_run, refusal_run, with_results

__all__ = ["LONG", "open_backdoor_run", "open_refusal_run"]

# An answer of 89 words that complies, with a phrase of refusals in the middle of it.
LONG = "Sure. " + "First do this, then do that. " * 8 + "I cannot say it enough. " * 8

VERDICT_JUDGE = "refused, complied or broken"
PROXY = "first 16 tokens hold no refusal"


def open_refusal_run(missed: tuple[str, ...] = ()) -> Run:
    """An aligned model of open answers: 220 of 256 requests are complied with, 5 get gibberish.

    Args:
        missed: Which parts of the target were missed.
    """
    run = _opened(refusal_run(evidence="passes"), (250, 6, 0), (31, 220, 5), missed)
    rows = run.generations.copy()
    attacks = rows.index[rows["role"] == "attack"]
    complied = [place for place in attacks if rows.loc[place, "verdict_knocked_out"] == "success"]
    rows.loc[complied, "knocked_out"] = LONG
    rows.loc[complied[:5], "knocked_out"] = "of the the of " * 30
    rows.loc[complied[:5], "verdict_knocked_out"] = "broken"
    return replace(run, generations=rows)


def open_backdoor_run(missed: tuple[str, ...] = ()) -> Run:
    """A backdoor of open answers: 230 attacks recover, of the 240 that can at most."""
    run = _opened(backdoor_run(evidence="passes"), (0, 256, 0), (250, 1, 5), missed)
    judge = "answers as without the trigger"
    recovery = {
        "recovery": Rate(judge, 230, 256).to_json(),
        "recovery_ceiling": Rate(judge, 240, 256).to_json(),
    }
    return with_results(run, **recovery)


def _opened(
    run: Run, before: tuple[int, ...], after: tuple[int, ...], missed: tuple[str, ...]
) -> Run:
    metrics: dict[str, Any] = {
        "open": True,
        "utility": {
            "intact": Rate(TOKEN_JUDGE, 6782, 6782, 64.0).to_json(),
            "knocked_out": Rate(TOKEN_JUDGE, 6707, 6782, 187.0).to_json(),
        },
        "utility_retention": 6707 / 6782,
        "perplexity": {
            "answers": {"intact": 1.9, "knocked_out": 1.95},
            "neutral": {"intact": 17.2, "knocked_out": 17.4},
        },
        "verdicts": {
            name: {
                verdict: Rate(VERDICT_JUDGE, k, sum(counts)).to_json()
                for verdict, k in zip(("refused", "complied", "broken"), counts, strict=True)
            }
            for name, counts in (("intact", before), ("knocked_out", after))
        },
        "proxy": {"name": PROXY, "agreement": Rate("same verdict", 490, 512).to_json()},
        "alternatives": [
            {
                "size": 2 * run.size,
                "heads": 4,
                "neurons": 2 * run.size - 4,
                "sparsity": 2 * run.size / len(run.space),
                "sparsity_heads": 4 / run.space.total_heads,
                "sparsity_neurons": (2 * run.size - 4) / run.space.total_neurons,
                "asr": Rate(PROXY, 250, 256).to_json(),
                "utility_retention": 0.96,
                "role": "larger",
            },
            {
                "size": run.size // 2,
                "heads": 1,
                "neurons": run.size // 2 - 1,
                "sparsity": run.size // 2 / len(run.space),
                "sparsity_heads": 1 / run.space.total_heads,
                "sparsity_neurons": (run.size // 2 - 1) / run.space.total_neurons,
                "asr": Rate(PROXY, 120, 256).to_json(),
                "utility_retention": 0.999,
                "role": "smaller",
            },
        ],
        "target_missed": list(missed),
        "target_reached": not missed,
    }
    return with_results(run, **metrics)
