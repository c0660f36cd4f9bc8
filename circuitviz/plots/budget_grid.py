"""Heads x neurons: what knocking out the best of each kind does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.outline import add_click_targets, add_outlines, add_symbols
from circuitviz.plots.palette import SEQUENTIAL, SERIES_LABELS, finish, rows_height
from circuitviz.plots.rows import matching, records
from circuitviz.plots.text import percent

__all__ = ["budget_grid"]

ROW_PIXELS = 40
LEGEND_PIXELS = 104


def budget_grid(
    frame: pd.DataFrame, *, series: str = "asr", chosen: tuple[int, int] | None = None
) -> go.Figure:
    """One cell per evaluated pair of budgets, coloured by the rate of a series.

    Args:
        frame: Columns `TRADEOFF_COLUMNS` of `circuitviz.plots.frame`, separate budgets.
        series: `asr`, `utility` or `recovery`.
        chosen: The (heads, neurons) in use: framed and marked.
    """
    rows = records(matching(frame, series=series))
    heads = sorted({int(row["heads"]) for row in rows})
    neurons = sorted({int(row["neurons"]) for row in rows})
    rates = np.full((len(heads), len(neurons)), np.nan)
    centres, data, hover = [], [], []
    for row in rows:
        pair = (int(row["heads"]), int(row["neurons"]))
        centres.append((heads.index(pair[0]), neurons.index(pair[1])))
        rates[centres[-1]] = row["rate"]
        data.append(list(pair))
        hover.append(
            f"<b>{SERIES_LABELS[series]} {percent(row['rate'])}</b>"
            f"<br>{pair[0]} heads and {pair[1]} neurons off"
            f"<br>{row['k']:,} of {row['n']:,}"
        )
    figure = go.Figure()
    figure.add_heatmap(
        z=rates,
        zmin=0,
        zmax=1,
        colorscale=SEQUENTIAL,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        colorbar={"tickformat": ".0%", "thickness": 10, "outlinewidth": 0},
    )
    if chosen and chosen[0] in heads and chosen[1] in neurons:
        cell = (heads.index(chosen[0]), neurons.index(chosen[1]))
        add_outlines(figure, [cell], "Chosen")
        add_symbols(figure, [cell], "Chosen", "diamond")
    add_click_targets(figure, centres, data, hover)
    figure.update_xaxes(
        title="Best neurons off",
        tickvals=list(range(len(neurons))),
        ticktext=[str(value) for value in neurons],
        showgrid=False,
    )
    figure.update_yaxes(
        title="Best heads off",
        tickvals=list(range(len(heads))),
        ticktext=[str(value) for value in heads],
        showgrid=False,
    )
    return finish(figure, height=rows_height(len(heads), ROW_PIXELS) + LEGEND_PIXELS, legend=True)
