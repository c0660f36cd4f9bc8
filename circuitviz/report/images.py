"""Figures as pictures, drawn by kaleido with a Chromium or Chrome."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

from circuitviz.errors import ReportError
from circuitviz.report.browser import NO_BROWSER, find_browser
from circuitviz.report.charts import Chart

__all__ = ["PICTURE_TYPES", "write_pictures"]

PICTURE_TYPES = ("svg", "png")
# Wide enough for a slide; PNG has twice as many pixels.
WIDTH, SCALE = 1000, 2
PAPER, INK, GRID = "#ffffff", "#1b1f24", "#e3e7ec"
NO_KALEIDO = (
    "pictures need kaleido 1 or newer: pip install 'kaleido>=1'; the report as .html needs none"
)


def write_pictures(charts: Mapping[str, Chart], folder: Path) -> list[Path]:
    """Write each chart as SVG and as PNG into a folder that is there.

    Raises:
        ReportError: kaleido or a browser is missing, or drawing failed.
    """
    try:
        import kaleido
    except ImportError as error:
        raise ReportError(NO_KALEIDO) from error
    browser = find_browser()
    if browser is None:
        raise ReportError(NO_BROWSER)
    paths = [folder / f"{name}.{kind}" for name in charts for kind in PICTURE_TYPES]
    drawn = {name: _on_paper(chart.figure) for name, chart in charts.items()}
    jobs = [
        {
            "fig": drawn[path.stem].to_dict(),
            "path": path,
            "opts": {
                "format": path.suffix[1:],
                "width": WIDTH,
                "height": drawn[path.stem].layout.height,  # pyright: ignore[reportAttributeAccessIssue]
                "scale": SCALE if path.suffix == ".png" else 1,
            },
        }
        for path in paths
    ]
    try:
        # Without MathJax, which would be fetched from another host.
        kaleido.write_fig_from_object_sync(
            jobs, kopts={"mathjax": False, "path": browser}, cancel_on_error=True
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ReportError(
            f"kaleido cannot draw with {browser}: {reason}; write the report as .html instead"
        ) from error
    return paths


def _on_paper(figure: go.Figure) -> go.Figure:
    """The figure on white, to be read without the page it comes from."""
    shown = go.Figure(figure).update_layout(
        template=None,
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        font={"color": INK, "size": 14, "family": "Arial, Helvetica, sans-serif"},
        margin={"l": 24, "r": 24, "b": 24, "t": 56},
    )
    shown.update_xaxes(gridcolor=GRID)
    return shown.update_yaxes(gridcolor=GRID)
