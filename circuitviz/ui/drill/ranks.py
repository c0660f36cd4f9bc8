"""Where a unit stands in the other runs of the same model."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.plots.text import count
from circuitviz.runs.config import NOT_HASHED, DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.runs.unit_rank import UnitRank, unit_rank
from circuitviz.ui import services
from circuitviz.ui.elements.table import table
from circuitviz.ui.elements.told import told
from circuitviz.ui.run_names import run_labels
from circuitviz.units import Unit

__all__ = ["other_seed", "rank_rows", "ranks_story", "unit_ranks"]


def unit_ranks(run: Run, unit: Unit) -> None:
    """Its rank under every seed of this run's method and data, and below in the other runs."""
    configs = {
        run_id: config
        for run_id, config in services.run_configs().items()
        if (config.model, config.adapter) == (run.config.model, run.config.adapter)
    }
    ordered = {run.run_id: run.config, **configs}
    labels = run_labels(ordered)
    found = {run_id: rank for run_id in ordered if (rank := _rank(run, run_id, unit))}
    seeds = [rank for run_id, rank in found.items() if other_seed(run.config, ordered[run_id])]
    rest = [rank for rank in found.values() if rank not in seeds]
    told(ranks_story(unit, seeds))
    table(rank_rows(seeds, labels, run.run_id), key="drill_ranks")
    if rest:
        st.caption("Runs with another method, other data or other settings, which do not count:")
        table(rank_rows(rest, labels, run.run_id), key="drill_other_ranks")
    st.caption(
        "Rank 1 is the most responsible unit of a run. Scores of different methods do not compare; "
        "ranks do. Runs of other seeds and methods are made on the page Discover."
    )


def _rank(run: Run, run_id: str, unit: Unit) -> UnitRank | None:
    """The unit's place in a run; None where that cannot be read or has no such unit."""
    try:
        return unit_rank(run if run_id == run.run_id else services.load_run(run_id), unit)
    except CircuitvizError:
        return None


def other_seed(config: DiscoveryConfig, other: DiscoveryConfig) -> bool:
    """Whether two runs are one discovery but for the seed, and for how it was computed."""
    alike = {name: getattr(config, name) for name in ("seed", *NOT_HASHED)}
    return replace(other, **alike) == config


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
    """Under how many seeds the unit is in the circuit, in a sentence.

    Args:
        unit: The unit.
        ranks: Of this run first, then of its other seeds.
    """
    kin = "of this run's method, data and settings"
    inside = sum(rank.inside for rank in ranks)
    if len(ranks) == 1:
        return f"{unit} ranks {ranks[0].rank:,} here; no other seed {kin} was run yet."
    best, worst = min(rank.rank for rank in ranks), max(rank.rank for rank in ranks)
    span = f"rank {best:,}" if best == worst else f"ranks {best:,} to {worst:,}"
    return f"{unit} is in the circuit of {inside} of {len(ranks)} seeds {kin} ({span})."
