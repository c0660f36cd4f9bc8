"""The tables of a report, as frames and as CSV files."""

from __future__ import annotations

from typing import Any

import pandas as pd

from circuitviz.narrative import story
from circuitviz.narrative.controls import verdicts
from circuitviz.narrative.methods import shown_settings
from circuitviz.runs.store import Run
from circuitviz.tables import evidence_frame, frame
from circuitviz.tables.rows import matching, records


def tables(run: Run) -> dict[str, pd.DataFrame]:
    """Every table this run has numbers for, by the name of its file."""
    tables = {
        "headline": _headline_frame(run),
        "conditions": frame.condition_frame(run),
        "verdicts": evidence_frame.verdict_frame(run),
        "perplexity": evidence_frame.perplexity_frame(run),
        "alternatives": evidence_frame.alternative_frame(run),
        "frontier": frame.tradeoff_frame(run),
        "budgets": frame.grid_frame(run),
        "circuit": circuit_frame(run),
        "ranking": frame.unit_frame(run, run.circuit()),
        "controls": _controls_frame(run),
        "checks": _checks_frame(run),
        "leave-one-in": evidence_frame.minimality_frame(run),
        "circuit-alone": evidence_frame.stochastic_frame(run),
        "ablations": evidence_frame.ablation_frame(run),
        "judges": evidence_frame.judge_frame(run),
        "truth": evidence_frame.truth_frame(run),
        "answers": frame.generation_frame(run),
        "settings": settings_frame(run),
        "versions": versions_frame(run),
    }
    return {name: table for name, table in tables.items() if not table.empty}


def csv_of(table: pd.DataFrame) -> bytes:
    """A table as UTF-8 CSV."""
    return table.to_csv(index=False).encode()


def circuit_frame(run: Run) -> pd.DataFrame:
    """The units of the circuit alone, best first."""
    units = frame.unit_frame(run, run.circuit(), top=0)
    return matching(units, in_circuit=True).drop(columns="in_circuit")


def settings_frame(run: Run) -> pd.DataFrame:
    """Every setting of the discovery: setting, value."""
    rows = [("run", run.run_id), *shown_settings(run.config).items()]
    return pd.DataFrame([_row(*row) for row in rows], columns=["setting", "value"])


def versions_frame(run: Run) -> pd.DataFrame:
    """What computed the run, and when: what, version."""
    made = [("computed at", run.metrics.created), ("seconds", run.metrics.seconds)]
    rows = [*run.metrics.versions.items(), *made]
    named = [_row(name.replace("_", "-"), value) for name, value in rows if value is not None]
    return pd.DataFrame(named, columns=["setting", "value"])


def _row(name: str, value: Any) -> dict[str, str]:
    return {"setting": name, "value": "not set" if value is None else str(value)}


def _headline_frame(run: Run) -> pd.DataFrame:
    proxy = run.metrics.proxy
    sources = {
        "attack success, intact": run.metrics.asr.intact,
        "attack success, circuit off": run.metrics.asr.knocked_out,
        "utility, intact": run.metrics.utility.intact,
        "utility, circuit off": run.metrics.utility.knocked_out,
        "recovery, circuit off": run.metrics.recovery,
        "recovery, at most": run.metrics.recovery_ceiling,
        "agreement of the cheaper judge": proxy.agreement if proxy else None,
    }
    rows = [{"what": name, **rate.to_json()} for name, rate in sources.items() if rate]
    return pd.DataFrame(rows)


def _controls_frame(run: Run) -> pd.DataFrame:
    words = {True: "passes", False: "FAILS", None: "not judged"}
    return pd.DataFrame(
        [
            {
                "control": one.label,
                "verdict": words[one.passed],
                "number": one.number,
                "found": one.title,
                "meaning": one.sentence,
                "evidence": one.evidence,
            }
            for one in verdicts(run)
        ]
    )


def _checks_frame(run: Run) -> pd.DataFrame:
    words = {True: "holds", False: "does NOT hold", None: "not measured"}
    return pd.DataFrame(
        [
            {"check": one.claim, "verdict": words[one.holds], "found": one.finding}
            for one in story.doubts(run)
        ]
    )


def rows_of(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of a table as text, numbers with at most three decimals."""
    names = [str(name) for name in table.columns]
    return names, [[_text(row[name]) for name in names] for row in records(table)]


def _text(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)
