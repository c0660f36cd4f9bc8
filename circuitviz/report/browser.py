"""A Chromium or Chrome on this machine, which prints pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

from circuitviz.errors import ReportError
from circuitviz.plots.catalogue import Chart

# Where a browser is named outright; kaleido reads the same variable.
VARIABLE = "BROWSER_PATH"
NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
)
_ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
NO_BROWSER = (
    "no Chromium or Chrome found, and a PDF or a picture needs one: install chromium or "
    f"google-chrome, or name it in {VARIABLE}; the report as .html needs none"
)

# A profile of its own, without questions at the first start.
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--no-pdf-header-footer",
    # Time goes on only as fast as the page is ready for it, so that charts are drawn first.
    "--virtual-time-budget=30000",
)
PRINT_TIMEOUT = 180  # seconds

PICTURE_TYPES = ("svg", "png")
# Wide enough for a slide; PNG has twice as many pixels.
WIDTH, SCALE = 1000, 2
PAPER, INK, GRID = "#ffffff", "#1b1f24", "#e3e7ec"
NO_KALEIDO = (
    "pictures need kaleido 1 or newer: pip install 'kaleido>=1'; the report as .html needs none"
)


def find_browser() -> str | None:
    """The path of the browser that is named, else of the first one there is."""
    named = os.environ.get(VARIABLE)
    if named and shutil.which(named):
        return named
    installed = next((path for name in NAMES if (path := shutil.which(name))), None)
    return installed or next((path for path in _ELSEWHERE if Path(path).is_file()), None)


def print_page(html: str) -> bytes:
    """A page of HTML as PDF.

    Raises:
        ReportError: There is no browser, or it cannot print.
    """
    browser = find_browser()
    if browser is None:
        raise ReportError(NO_BROWSER)
    # The browser may still write into its profile while it is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        page, printed = folder / "report.html", folder / "report.pdf"
        page.write_text(html, encoding="utf-8")
        command = [browser, *FLAGS, *_sandbox(), f"--user-data-dir={folder / 'profile'}"]
        command += [f"--print-to-pdf={printed}", page.as_uri()]
        _run(command)
        if not printed.is_file():
            raise ReportError(f"{browser} printed nothing; write the report as .html instead")
        return printed.read_bytes()


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, capture_output=True, timeout=PRINT_TIMEOUT, check=True)
    except subprocess.TimeoutExpired as error:
        raise ReportError(
            f"{command[0]} did not print within {PRINT_TIMEOUT} s; write the report as .html "
            "instead"
        ) from error
    except (OSError, subprocess.CalledProcessError) as error:
        raise ReportError(
            f"{command[0]} cannot print ({error}); write the report as .html instead"
        ) from error


def _sandbox() -> tuple[str, ...]:
    """Root has no sandbox; everyone else keeps it."""
    return ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()


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
