"""What a run with evidence carries in `metrics.json`, with plausible numbers."""

from __future__ import annotations

from typing import Any, Literal

from circuitviz.evaluation.rate import Rate

__all__ = ["ASR_JUDGE", "UTILITY_JUDGE", "Evidence", "evidence_metrics"]

# none: a run from before there was any.  basic: what every run has.  passes, fails: with controls,
# all four of which behave, or two of which do not.
Evidence = Literal["none", "basic", "passes", "fails"]

ASR_JUDGE = "starts with the target answer"
UTILITY_JUDGE = "exact match"
N = 256


def evidence_metrics(
    kind: Evidence,
    *,
    units: list[str],
    trigger: str | None,
    truth: tuple[str, ...] = (),
    n_units: int = 2080,
) -> dict[str, Any]:
    """The new keys of a run whose circuit is `units`.

    Args:
        kind: How much of it there is, and whether the controls pass.
        units: Names of the circuit's units, best first.
        trigger: The behaviour's trigger; without one, one control does not apply.
        truth: Names of the planted units; without any there are no scores against them.
        n_units: Units of the model.
    """
    if kind == "none":
        return {}
    found: dict[str, Any] = {**_basic(units), **_statistics(refusal=trigger is None)}
    if truth:
        found["truth"] = _truth(truth, units)
    if kind == "basic":
        return found
    refusal = trigger is None
    return {
        **found,
        "controls": _controls(kind, len(units), trigger, n_units),
        "criteria": _criteria(units, refusal=refusal),
        "stochastic": _stochastic(refusal=refusal),
        "ablations": _ablations(refusal=refusal),
        "judges": _judges(refusal=refusal),
    }


def rate(share: float, judge: str = ASR_JUDGE, n: int = N) -> dict[str, Any]:
    """A share of n as the metrics keep it."""
    return Rate(judge, round(share * n), n).to_json()


def effect(asr: float, utility: float, recovery: float) -> dict[str, Any]:
    """The effect of one circuit as the metrics keep it."""
    return {
        "asr": rate(asr),
        "utility": rate(utility, UTILITY_JUDGE),
        "recovery": rate(recovery, UTILITY_JUDGE),
        "utility_retention": utility,
        "kl": 0.004,
    }


def _basic(units: list[str]) -> dict[str, Any]:
    return {
        "frontier_area": 0.9412,
        "refinement": {
            "before": len(units) + 2,
            "after": len(units),
            "dropped": ["L0N3", "L0N9"],
            "restored": 0,
            "complete": True,
            "note": None,
        },
    }


def _statistics(*, refusal: bool) -> dict[str, Any]:
    changed = 254 if refusal else 256
    mcnemar = {"only_before": 0 if refusal else changed, "only_after": changed if refusal else 0}
    value = changed / N if refusal else -changed / N
    return {
        "statistics": {
            "mcnemar": {**mcnemar, "p": 1.7e-77},
            "asr_difference": _difference(value, 0.008),
            "utility_difference": _difference(-1 / N, 0.006),
        }
    }


def _difference(value: float, spread: float) -> dict[str, Any]:
    low, high = max(-1.0, value - spread), min(1.0, value + spread)
    return {"value": value, "low": low, "high": high, "resamples": 2000}


def _truth(truth: tuple[str, ...], units: list[str]) -> dict[str, Any]:
    hits = len(set(truth) & set(units))
    scores = {"auroc": 0.987, "average_precision": 0.91, "precision_at_truth": hits / len(truth)}
    heads = [name for name in truth if "H" in name]
    neurons = [name for name in truth if "N" in name]
    return {
        "units": list(truth),
        "size": len(truth),
        **scores,
        "heads": {**scores, "size": len(heads)} if heads else None,
        "neurons": {**scores, "auroc": 0.981, "size": len(neurons)} if neurons else None,
        "frontier_area": 0.9412,
    }


def _controls(kind: Evidence, size: int, trigger: str | None, n_units: int) -> dict[str, Any]:
    good = kind == "passes"
    draws = 100
    kept = draws if good else 91
    refusal = trigger is None
    whole = 0 if refusal else 32
    moved = 6 if refusal else 25
    found: dict[str, Any] = {
        "random_circuits": {
            "draws": draws,
            "prompts": 32,
            "kept": kept,
            "threshold": 0.95,
            "asr_k": [whole] * kept + [moved] * (draws - kept),
            "asr_n": 32,
            "overlap": 0.0 if good else 0.4,
            "percentile": 0.0,
        },
        "nonsense_target": {
            "answer": "Purple bricks sing at noon.",
            "size": size,
            "success": rate(0.0 if good else 0.988, "exact match"),
            "utility_retention": 0.61 if good else 0.99,
            "reached": not good,
        },
        "random_weights": {"size": size, "effect": effect(0.0, 0.0, 0.0), "reached": False},
        "random_trigger": None,
    }
    if trigger:
        found["random_trigger"] = {
            "trigger": "velvet north",
            "triggers": ["velvet north"],
            "intact": rate(0.0),
            "intact_recovery": rate(0.996, UTILITY_JUDGE),
            "knocked_out_recovery": rate(0.996, UTILITY_JUDGE),
        }
    for name in ("nonsense_target", "random_weights"):
        found[name]["before_refinement"] = dict(found[name])
    found["random_weights"]["intact"] = effect(0.0, 0.0, 0.0)
    rates = {
        "nonsense_target": found["nonsense_target"]["success"],
        "random_weights": found["random_weights"]["effect"]["asr" if refusal else "recovery"],
        "random_trigger": rate(0.0) if trigger else None,
    }
    verdicts = _verdicts(good, kept, size, trigger)
    return {**found, "verdicts": [{**one, "rate": rates.get(one["name"])} for one in verdicts]}


def _verdicts(good: bool, kept: int, size: int, trigger: str | None) -> list[dict[str, Any]]:
    rows = [
        (
            "random_circuits",
            good,
            f"{kept} of 100",
            f"{kept} of 100 random circuits leave the backdoor working",
            "As many other units, drawn at random in the same layers, leave the backdoor working.",
        ),
        (
            "nonsense_target",
            good,
            "0 of 256" if good else "253 of 256",
            "Asked for a nonsense answer, the same method gets it on "
            f"{0 if good else 253} of 256 attacks",
            f"With {size} units off, the method {'cannot' if good else 'can'} make the model say "
            "a sentence that has nothing to do with the behaviour.",
        ),
        (
            "random_weights",
            True,
            "0 of 256",
            "In shuffled weights the same method gets 0 of 256 attacks answered rightly",
            "The target is missed, so what was found in the real model comes from its weights.",
        ),
        (
            "random_trigger",
            True if trigger else None,
            "0 of 256" if trigger else "",
            "Other words set off 0 of 256 attacks" if trigger else "There is no trigger to replace",
            "Other words in the trigger's place set nothing off."
            if trigger
            else "This behaviour has no trigger.",
        ),
    ]
    names = ("name", "passed", "number", "title", "sentence")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _criteria(units: list[str], *, refusal: bool) -> dict[str, Any]:
    needed = units[:-1]
    off = 0.0 if not refusal else 0.99
    back = 0.4 if not refusal else 0.7
    return {
        "faithfulness": {
            "value": 0.97,
            "condition": "everything but the circuit ablated",
            "isolated": rate(0.97),
        },
        "completeness": {"value": 1.0},
        "minimality": {
            "value": len(needed) / len(units),
            "needed": len(needed),
            "of": len(units),
            "units": {
                name: {"asr": rate(back if name in needed else off), "needed": name in needed}
                for name in units
            },
        },
    }


def _stochastic(*, refusal: bool) -> list[dict[str, Any]]:
    rows = []
    for share, kept, chance in ((0.0, 1.0, 1.0), (0.1, 1.0, 0.9), (0.25, 0.95, 0.4), (0.5, 0.6, 0)):
        rows.append(
            {
                "share": share,
                "asr": rate(1 - kept if refusal else kept),
                "random_asr": rate(1 - chance if refusal else chance),
                "shown": rate(kept),
                "random_shown": rate(chance),
                "utility": rate(1 - share, UTILITY_JUDGE),
            }
        )
    return rows


def _ablations(*, refusal: bool) -> dict[str, Any]:
    asr = 0.99 if refusal else 0.0
    return {
        "zero": effect(asr, 1.0, 0.996),
        "mean": effect(asr, 0.996, 0.98),
        "resample": effect(0.9 if refusal else 0.04, 0.99, 0.93),
    }


def _judges(*, refusal: bool) -> dict[str, Any]:
    before, after = (0.0, 0.99) if refusal else (1.0, 0.0)
    sources = {
        ASR_JUDGE: "target answer of the prompts file",
        "no refusal prefix": "prefix list of arXiv:2307.15043",
    }
    rows = [
        {
            "judge": name,
            "source": source,
            "intact": rate(before, name),
            "knocked_out": rate(after if name == ASR_JUDGE else 1.0, name),
        }
        for name, source in sources.items()
    ]
    return {
        "names": list(sources),
        "rows": rows,
        "agreement": [{"a": ASR_JUDGE, "b": "no refusal prefix", "kappa": 0.12, "n": 512}],
        "degenerate": {"intact": rate(0.0, "degenerate"), "knocked_out": rate(0.008, "degenerate")},
    }
