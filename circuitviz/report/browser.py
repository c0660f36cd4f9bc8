"""A Chromium or Chrome on this machine, which prints pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from circuitviz.errors import ReportError

__all__ = ["NO_BROWSER", "find_browser", "print_page"]

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
ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
NO_BROWSER = (
    "no Chromium or Chrome found, and a PDF or a picture needs one: install chromium or "
    f"google-chrome, or name it in {VARIABLE}; the report as .html needs none"
)

# A profile of its own that asks nobody anything.
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
PATIENCE = 180  # seconds


def find_browser() -> str | None:
    """The path of the browser that is named, else of the first one there is."""
    named = os.environ.get(VARIABLE)
    if named and shutil.which(named):
        return named
    installed = next((path for name in NAMES if (path := shutil.which(name))), None)
    return installed or next((path for path in ELSEWHERE if Path(path).is_file()), None)


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
        subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True)
    except subprocess.TimeoutExpired as error:
        raise ReportError(
            f"{command[0]} did not print within {PATIENCE} s; write the report as .html instead"
        ) from error
    except (OSError, subprocess.CalledProcessError) as error:
        raise ReportError(
            f"{command[0]} cannot print ({error}); write the report as .html instead"
        ) from error


def _sandbox() -> tuple[str, ...]:
    """Root has no sandbox; everyone else keeps it."""
    return ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
