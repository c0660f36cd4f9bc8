"""Bars and rows: rates with their intervals, verdicts, memory, splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from circuitviz.narrative.numbers import percent
from circuitviz.narrative.phrases import share_axis
from circuitviz.plots.palette import (
    ASR,
    HALO,
    INK,
    NEUTRAL,
    PERCENT_AXIS,
    RECOVERY,
    RUN_STYLES,
    SERIES_LABELS,
    SERIES_STYLES,
    UTILITY,
    WRITTEN,
    Style,
    finish,
    hatching,
    rate_hover,
)
from circuitviz.tables.rows import Row, matching, records

VALUES_AT = 1.04
# How far above its row the first series of two stands, the second as far below.
OFFSET = 0.17
TUNING_STYLES = {
    "safety": ("Safety", Style(RECOVERY, "diamond")),
    "helpfulness": ("Helpfulness", Style(UTILITY, "square")),
}
# Name, colour and hatching of each verdict: told apart without the colour as well.
_VERDICTS = {
    "refused": ("Refused", UTILITY, ""),
    "complied": ("Complied with", ASR, "/"),
    "broken": ("Gibberish", NEUTRAL, "x"),
}
# Below this share of the bar a number has no room in its part.
MIN_ROOM = 0.09
VERDICT_PIXELS, MEMORY_PIXELS, SPLIT_PIXELS = 190, 190, 210
MEMORY_PARTS = {
    "weights": "Weights",
    "activations": "Activations",
    "logits": "Logits",
    "gates": "Masks",
}
NEEDED, THERE = "Needed", "Available"
# What each split is for, beside its name.
_SPLITS = {
    "train": "Train: masks are learned",
    "validation": "Validation: the size is chosen",
    "test": "Test: results are measured",
}
_ROLES = {"attack": ("Attack", ASR, ""), "benign": ("Benign", UTILITY, "/")}
# For the numbers behind the longest bar, as a share of it.
ROOM_AFTER_MEMORY, ROOM_AFTER_SPLIT = 1.3, 1.6


def before_after(frame: pd.DataFrame) -> go.Figure:
    """ASR and utility of each condition, as points with their 95 % intervals.

    Args:
        frame: Columns `CONDITION_COLUMNS` of `circuitviz.tables.frame`, in the order shown.
    """
    frame = frame.assign(title=frame["condition"])
    series = {name: (SERIES_LABELS[name], SERIES_STYLES[name]) for name in ("asr", "utility")}
    axis = share_axis(frame["judge"])
    return _rate_rows(frame, series, axis, bold="Circuit off", stems=True, room=0.24, row_pixels=62)


def tuning_arms(frame: pd.DataFrame) -> go.Figure:
    """A row per arm: two points with their 95 % intervals, and their values beside them.

    Args:
        frame: Columns `ARM_COLUMNS` of `circuitviz.tables.tuning_frame`, in the order shown.
    """
    bold = "".join(matching(frame, arm="circuit")["title"][:1])
    axis = "Share of test prompts"
    return _rate_rows(frame, TUNING_STYLES, axis, bold=bold, stems=False, room=0.16, row_pixels=58)


def _rate_rows(
    frame: pd.DataFrame,
    series: Mapping[str, tuple[str, Style]],
    axis: str,
    *,
    bold: str,
    stems: bool,
    room: float,
    row_pixels: int,
) -> go.Figure:
    """Two series of rates, a row for each `title`, one of them in bold."""
    figure = go.Figure()
    titles = list(dict.fromkeys(frame["title"]))
    heights = {title: len(titles) - 1 - index for index, title in enumerate(titles)}
    for (name, (label, style)), offset in zip(series.items(), (OFFSET, -OFFSET), strict=True):
        rows = records(matching(frame, series=name))
        ys = [heights[row["title"]] + offset for row in rows]
        if stems:
            _add_stems(figure, rows, ys, style.colour)
        figure.add_scatter(
            x=[row["rate"] for row in rows],
            y=ys,
            mode="markers",
            marker={"symbol": style.symbol, "size": 13, "color": style.colour},
            error_x={
                "type": "data",
                "array": [row["high"] - row["rate"] for row in rows],
                "arrayminus": [row["rate"] - row["low"] for row in rows],
                "thickness": 2,
                "width": 5,
            },
            hovertext=[
                rate_hover(row, row["title"], f"{label} {percent(row['rate'])}") for row in rows
            ],
            hovertemplate=WRITTEN,
            name=label,
            cliponaxis=False,
        )
        # In a column of their own: beside the points they would lie on lines and intervals.
        texts = [f"<b>{percent(row['rate'])}</b>" for row in rows]
        font = {"size": 13, "color": style.colour}
        # On a narrow page the longer ones reach into the margin.
        clipped = {"cliponaxis": False} if stems else {}
        _add_texts(figure, [VALUES_AT] * len(rows), ys, texts, textfont=font, **clipped)
    figure.update_xaxes(range=[-0.03, VALUES_AT + room], **PERCENT_AXIS, title=axis)
    figure.update_yaxes(
        tickvals=list(heights.values()),
        ticktext=[f"<b>{title}</b>" if title == bold else title for title in titles],
        range=[-0.5, len(titles) - 0.5],
        showgrid=False,
    )
    for edge in range(1, len(titles)):
        figure.add_hline(y=edge - 0.5, line={"color": NEUTRAL, "width": 0.5})
    return finish(figure, height=len(titles) * row_pixels + 110, legend=True)


def _add_texts(
    figure: go.Figure, xs: Sequence[float], ys: Sequence[Any], texts: Sequence[str], **trace: Any
) -> None:
    """Numbers to the right of where they stand."""
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="text",
        text=texts,
        textposition="middle right",
        hoverinfo="skip",
        showlegend=False,
        name="value",
        **trace,
    )


def _add_stems(figure: go.Figure, rows: list[Row], ys: list[float], colour: str) -> None:
    figure.add_scatter(
        x=[x for row in rows for x in (0.0, row["rate"], None)],
        y=[y for height in ys for y in (height, height, None)],
        mode="lines",
        line={"color": colour, "width": 5},
        opacity=0.35,
        hoverinfo="skip",
        showlegend=False,
        name="stem",
    )


def _stacked(
    figure: go.Figure, names: Sequence[str], *, gap: float, height: int, **axis: Any
) -> go.Figure:
    """The figure with its bars stacked, one of each name from the top to the bottom."""
    figure.update_layout(barmode="stack", bargap=gap, legend_traceorder="normal")
    figure.update_xaxes(**axis)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    return finish(figure, height=height, legend=True)


def verdict_bars(frame: pd.DataFrame) -> go.Figure:
    """One bar before and one after, stacked from the shares of the three verdicts.

    Args:
        frame: Columns `VERDICT_COLUMNS` of `circuitviz.tables.evidence_frame`.
    """
    figure = go.Figure()
    conditions = list(dict.fromkeys(frame["condition"]))
    for verdict, (title, colour, pattern) in _VERDICTS.items():
        rows = records(matching(frame, verdict=verdict))
        figure.add_bar(
            x=[row["rate"] for row in rows],
            y=[row["condition"] for row in rows],
            orientation="h",
            name=title,
            marker={
                "color": colour,
                "line": {"color": HALO, "width": 1},
                "pattern": hatching(pattern, opacity=0.75),
            },
            hovertext=[
                rate_hover(row, f"{row['condition']}: {title.lower()}, {percent(row['rate'])}")
                for row in rows
            ],
            hovertemplate=WRITTEN,
        )
    for condition in conditions:
        left = 0.0
        for row in records(matching(frame, condition=condition)):
            if row["rate"] >= MIN_ROOM:
                # On a box that hides the hatching.
                figure.add_annotation(
                    x=left + row["rate"] / 2,
                    y=condition,
                    text=f"<b>{percent(row['rate'])}</b>",
                    showarrow=False,
                    font={"color": INK, "size": 13},
                    bgcolor="rgba(255,255,255,0.9)",
                    borderpad=2,
                )
            left += row["rate"]
    axis = {"range": [0, 1.02], **PERCENT_AXIS, "title": "Share of attack prompts"}
    return _stacked(figure, conditions, gap=0.3, height=VERDICT_PIXELS, **axis)


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
    for style, (name, title) in zip(RUN_STYLES, MEMORY_PARTS.items(), strict=False):
        figure.add_bar(
            x=[parts[name]],
            y=[NEEDED],
            orientation="h",
            name=title,
            marker={"color": style.colour, "pattern": hatching(style.pattern)},
            hovertemplate=f"{title}: {memory_size(parts[name])}<extra></extra>",
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
    texts = [f"<b> {memory_size(total)}</b>", f" {memory_size(available)}"]
    _add_texts(figure, [total, available], [NEEDED, THERE], texts)
    axis = {"range": [0, max(total, available, 1) * ROOM_AFTER_MEMORY], "visible": False}
    return _stacked(figure, [NEEDED, THERE], gap=0.35, height=MEMORY_PIXELS, **axis)


def split_bars(counts: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """One stacked bar a split, its roles told apart by colour and hatching, with their numbers.

    Args:
        counts: Prompts by split and role.
    """
    figure = go.Figure()
    names, of_split = list(_SPLITS.values()), [counts.get(split, {}) for split in _SPLITS]
    for role, (title, colour, pattern) in _ROLES.items():
        figure.add_bar(
            x=[roles.get(role, 0) for roles in of_split],
            y=names,
            orientation="h",
            name=title,
            marker={"color": colour, "pattern": hatching(pattern)},
            hovertemplate=f"{title}: %{{x:,}} prompts<extra></extra>",
        )
    totals = [sum(roles.values()) for roles in of_split]
    texts = [
        " " + " + ".join(f"{roles.get(role, 0):,} {role}" for role in _ROLES) for roles in of_split
    ]
    _add_texts(figure, totals, names, texts)
    axis = {"range": [0, max(1, *totals) * ROOM_AFTER_SPLIT], "visible": False}
    return _stacked(figure, names, gap=0.3, height=SPLIT_PIXELS, **axis)
