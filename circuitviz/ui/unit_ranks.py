"""Where a unit stands in the other runs of the same model."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.plots.text import count
from circuitviz.runs.store import Run
from circuitviz.runs.unit_rank import UnitRank, unit_rank
from circuitviz.ui import services
from circuitviz.ui.as_written import told
from circuitviz.ui.run_names import run_labels
from circuitviz.ui.table import table
from circuitviz.units import Unit

__all__ = ["rank_rows", "ranks_story", "unit_ranks"]


def unit_ranks(run: Run, unit: Unit) -> None:
    """A table of its rank in every run of this model, this one first."""
    configs = {
        run_id: config
        for run_id, config in services.run_configs().items()
        if (config.model, config.adapter) == (run.config.model, run.config.adapter)
    }
    ordered = {run.run_id: run.config, **configs}
    ranks = []
    for run_id in ordered:
        try:
            other = run if run_id == run.run_id else services.load_run(run_id)
            ranks.append(unit_rank(other, unit))
        except CircuitvizError:
            continue
    told(ranks_story(unit, ranks))
    table(rank_rows(ranks, run_labels(ordered), run.run_id), key="drill_ranks")
    st.caption(
        "Rank 1 is the most responsible unit of a run. Scores of different methods do not compare; "
        "ranks do. Runs of other seeds and methods are made on the page Discover."
    )


def rank_rows(ranks: list[UnitRank], labels: dict[str, str], current: str) -> pd.DataFrame:
    """One row a run: its name, rank, whether it is in its circuit, score."""
    return pd.DataFrame(
        [
            {
                "run": labels[rank.run_id] + (" (this run)" if rank.run_id == current else ""),
                "rank": f"{rank.rank:,} of {rank.units:,}",
                "in its circuit": ("\u25c6 yes" if rank.inside else "no")
                + f", of {count(rank.size, 'unit')}",
                "score": rank.score,
            }
            for rank in ranks
        ]
    )


def ranks_story(unit: Unit, ranks: list[UnitRank]) -> str:
    """In how many runs the unit is in the circuit, in a sentence."""
    inside = sum(rank.inside for rank in ranks)
    if len(ranks) == 1:
        return f"{unit} ranks {ranks[0].rank:,} here; there is no other run of this model yet."
    best, worst = min(rank.rank for rank in ranks), max(rank.rank for rank in ranks)
    span = f"rank {best:,}" if best == worst else f"ranks {best:,} to {worst:,}"
    return f"{unit} is in the circuit of {inside} of {len(ranks)} runs of this model ({span})."
