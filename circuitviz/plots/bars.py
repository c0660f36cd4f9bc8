"""Bars: the claim and its controls, verdicts, memory, splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.judged import share_axis
from circuitviz.plots.palette import (
    ASR,
    NEUTRAL,
    RUN_STYLES,
    SERIES_COLOURS,
    SERIES_LABELS,
    SERIES_SYMBOLS,
    UTILITY,
    finish,
    hatching,
)
from circuitviz.plots.text import Row, matching, percent, records

ROW_PIXELS = 62
VALUES_AT = 1.04
OFFSETS = {"asr": 0.17, "utility": -0.17}

VERDICT_PIXELS = 190
# Name, colour and hatching of each verdict: told apart without the colour as well.
VERDICTS = {
    "refused": ("Refused", UTILITY, ""),
    "complied": ("Complied with", ASR, "/"),
    "broken": ("Gibberish", NEUTRAL, "x"),
}
# Below this share of the bar a number has no room in its part.
LEAST_ROOM = 0.09
MEMORY_PIXELS = 190
MEMORY_PARTS = {
    "weights": "Weights",
    "activations": "Activations",
    "logits": "Logits",
    "gates": "Masks",
}
NEEDED, THERE = "Needed", "Available"
# For the number behind the longest bar, as a share of it.
ROOM_AFTER_BAR = 1.3
SPLIT_PIXELS = 210
# What each split is for, beside its name.
SPLITS = {
    "train": "Train: masks are learned",
    "validation": "Validation: the size is chosen",
    "test": "Test: results are measured",
}
ROLES = {"attack": ("Attack", ASR, ""), "benign": ("Benign", UTILITY, "/")}
# For the numbers behind the longest bar, as a share of it.
ROOM_AFTER_PART = 1.6


def before_after(frame: pd.DataFrame) -> go.Figure:
    """ASR and utility of each condition, as points with their 95 % intervals.

    Args:
        frame: Columns `CONDITION_COLUMNS` of `circuitviz.plots.frame`, in the order shown.
    """
    conditions = list(dict.fromkeys(frame["condition"]))
    rows_at = {name: len(conditions) - 1 - place for place, name in enumerate(conditions)}
    figure = go.Figure()
    for series in ("asr", "utility"):
        rows = records(matching(frame, series=series))
        ys = [rows_at[name] + OFFSETS[series] for name in _column(rows, "condition")]
        _add_stems(figure, rows, ys, series)
        figure.add_scatter(
            x=_column(rows, "rate"),
            y=ys,
            mode="markers",
            marker={
                "symbol": SERIES_SYMBOLS[series],
                "size": 13,
                "color": SERIES_COLOURS[series],
            },
            error_x={
                "type": "data",
                "array": [row["high"] - row["rate"] for row in rows],
                "arrayminus": [row["rate"] - row["low"] for row in rows],
                "thickness": 2,
                "width": 5,
            },
            hovertext=[
                f"<b>{row['condition']}</b><br>{SERIES_LABELS[series]} "
                f"{percent(row['rate'])}<br>{row['k']:,} of {row['n']:,}, 95 % "
                f"{percent(row['low'])} to {percent(row['high'])}"
                for row in rows
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            name=SERIES_LABELS[series],
            cliponaxis=False,
        )
        _add_values(figure, rows, ys, series)
    figure.update_xaxes(
        range=[-0.03, VALUES_AT + 0.24],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title=share_axis(frame["judge"]),
    )
    figure.update_yaxes(
        tickvals=list(rows_at.values()),
        ticktext=[f"<b>{name}</b>" if name == "Circuit off" else name for name in rows_at],
        range=[-0.5, len(conditions) - 0.5],
        showgrid=False,
    )
    for edge in range(1, len(conditions)):
        figure.add_hline(y=edge - 0.5, line={"color": NEUTRAL, "width": 0.5})
    return finish(figure, height=len(conditions) * ROW_PIXELS + 110, legend=True)


def _column(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _add_values(figure: go.Figure, rows: list[Row], ys: list[float], series: str) -> None:
    # In a column of their own: beside the points they would lie on lines and intervals.
    figure.add_scatter(
        x=[VALUES_AT] * len(rows),
        y=ys,
        mode="text",
        text=[f"<b>{percent(rate)}</b>" for rate in _column(rows, "rate")],
        textposition="middle right",
        textfont={"size": 13, "color": SERIES_COLOURS[series]},
        hoverinfo="skip",
        showlegend=False,
        name="value",
        # On a narrow page they reach into the margin.
        cliponaxis=False,
    )


def _add_stems(figure: go.Figure, rows: list[Row], ys: list[float], series: str) -> None:
    xs: list[float | None] = []
    stem_ys: list[float | None] = []
    for rate, y in zip(_column(rows, "rate"), ys, strict=True):
        xs += [0.0, rate, None]
        stem_ys += [y, y, None]
    figure.add_scatter(
        x=xs,
        y=stem_ys,
        mode="lines",
        line={"color": SERIES_COLOURS[series], "width": 5},
        opacity=0.35,
        hoverinfo="skip",
        showlegend=False,
        name="stem",
    )


def verdict_bars(frame: pd.DataFrame) -> go.Figure:
    """One bar before and one after, stacked from the shares of the three verdicts.

    Args:
        frame: Columns `VERDICT_COLUMNS` of `circuitviz.plots.open_frame`.
    """
    figure = go.Figure()
    conditions = list(dict.fromkeys(frame["condition"]))
    for verdict, (title, colour, pattern) in VERDICTS.items():
        rows = records(matching(frame, verdict=verdict))
        figure.add_bar(
            x=[row["rate"] for row in rows],
            y=[row["condition"] for row in rows],
            orientation="h",
            name=title,
            marker={
                "color": colour,
                "line": {"color": "#FFFFFF", "width": 1},
                "pattern": hatching(pattern, opacity=0.75),
            },
            hovertext=[_verdict_hover(row, title) for row in rows],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    _add_numbers(figure, frame)
    figure.update_layout(barmode="stack", bargap=0.3, legend_traceorder="normal")
    figure.update_xaxes(
        range=[0, 1.02],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title="Share of attack prompts",
    )
    figure.update_yaxes(categoryorder="array", categoryarray=conditions[::-1], showgrid=False)
    return finish(figure, height=VERDICT_PIXELS, legend=True)


def _add_numbers(figure: go.Figure, frame: pd.DataFrame) -> None:
    """The share in the middle of each part that has room, on a box that hides the hatching."""
    for condition in dict.fromkeys(frame["condition"]):
        left = 0.0
        for row in records(matching(frame, condition=condition)):
            if row["rate"] >= LEAST_ROOM:
                figure.add_annotation(
                    x=left + row["rate"] / 2,
                    y=condition,
                    text=f"<b>{percent(row['rate'])}</b>",
                    showarrow=False,
                    font={"color": "#000000", "size": 13},
                    bgcolor="rgba(255,255,255,0.9)",
                    borderpad=2,
                )
            left += row["rate"]


def _verdict_hover(row: Row, title: str) -> str:
    return (
        f"<b>{row['condition']}: {title.lower()}, {percent(row['rate'])}</b><br>{row['k']:,} of "
        f"{row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
    )


def memory_size(size: int) -> str:
    """1610612736 -> `1.5 GiB`, with a thin space that never breaks the line."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            value = size / 1024**power
            return f"{value:,.{0 if value >= 100 else 1}f}\u202f{unit}"
    return f"{size}\u202fbytes"


def memory_bars(parts: Mapping[str, int], available: int) -> go.Figure:
    """Two bars to one scale: what is needed, by part, and what there is.

    Args:
        parts: Bytes by the names of `MEMORY_PARTS`.
        available: Bytes.
    """
    figure = go.Figure()
    total = sum(parts[name] for name in MEMORY_PARTS)
    longest = max(total, available, 1)
    for place, (name, title) in enumerate(MEMORY_PARTS.items()):
        style, size = RUN_STYLES[place], parts[name]
        figure.add_bar(
            x=[size],
            y=[NEEDED],
            orientation="h",
            name=title,
            marker={
                "color": style.colour,
                "pattern": hatching(style.pattern),
            },
            hovertemplate=f"{title}: {memory_size(size)}<extra></extra>",
        )
    figure.add_bar(
        x=[available],
        y=[THERE],
        orientation="h",
        name=THERE,
        showlegend=False,
        marker={"color": NEUTRAL},
        hovertemplate=f"{THERE}: {memory_size(available)}<extra></extra>",
    )
    figure.add_scatter(
        x=[total, available],
        y=[NEEDED, THERE],
        mode="text",
        text=[f"<b> {memory_size(total)}</b>", f" {memory_size(available)}"],
        textposition="middle right",
        hoverinfo="skip",
        showlegend=False,
        name="value",
    )
    figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")
    figure.update_xaxes(range=[0, longest * ROOM_AFTER_BAR], visible=False)
    figure.update_yaxes(categoryorder="array", categoryarray=[THERE, NEEDED], showgrid=False)
    return finish(figure, height=MEMORY_PIXELS, legend=True)


def split_bars(counts: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """One stacked bar a split, its roles told apart by colour and hatching, with their numbers.

    Args:
        counts: Prompts by split and role.
    """
    figure = go.Figure()
    names = list(SPLITS)
    for role, (title, colour, pattern) in ROLES.items():
        numbers = [counts.get(split, {}).get(role, 0) for split in names]
        figure.add_bar(
            x=numbers,
            y=[SPLITS[split] for split in names],
            orientation="h",
            name=title,
            marker={
                "color": colour,
                "pattern": hatching(pattern),
            },
            hovertemplate=f"{title}: %{{x:,}} prompts<extra></extra>",
        )
    totals = [sum(counts.get(split, {}).values()) for split in names]
    figure.add_scatter(
        x=totals,
        y=[SPLITS[split] for split in names],
        mode="text",
        text=[_numbers(counts.get(split, {})) for split in names],
        textposition="middle right",
        hoverinfo="skip",
        showlegend=False,
        name="value",
    )
    figure.update_layout(barmode="stack", bargap=0.3, legend_traceorder="normal")
    figure.update_xaxes(range=[0, max(1, *totals) * ROOM_AFTER_PART], visible=False)
    figure.update_yaxes(categoryorder="array", categoryarray=[SPLITS[s] for s in names[::-1]])
    figure.update_yaxes(showgrid=False)
    return finish(figure, height=SPLIT_PIXELS, legend=True)


def _numbers(roles: Mapping[str, int]) -> str:
    return " " + " + ".join(f"{roles.get(role, 0):,} {role}" for role in ROLES)
