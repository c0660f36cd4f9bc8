"""Start the app and save a picture of every page: `python benchmarks/screenshots.py FOLDER`.

Pictures are named `<page>-<width>-<theme>.png`; `discover-live` shows a discovery at work, which
is stopped again, and `before-after` the top of `generations` with its words uncovered.  Needs a
Chromium or Chrome, and the `dev` extra.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from circuitviz.files import APP, PROJECT

PAGES = {
    "overview": "/",
    "discover": "/discover",
    "models": "/models",
    "circuit": "/circuit",
    "tradeoff": "/tradeoff",
    "generations": "/generations",
    "tuning": "/tuning",
    "compare": "/compare",
    "report": "/report",
    "present": "/present",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
# The prompt that is read uncovered, where the run has it; else the one that the page opens with.
PICTURED = "test-attack-008"
HEIGHT, TALLEST = 1000, 7000
PATIENCE = 120_000  # milliseconds


def main() -> int:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--runs", type=Path, help="runs folder; an empty one by default")
    parser.add_argument("--query", default="", help="state to show, such as 'run=ID&size=8'")
    parser.add_argument("--widths", type=int, nargs="+", default=[1440, 900])
    parser.add_argument("--themes", nargs="+", default=["light", "dark"])
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    parser.add_argument("--live", action="store_true", help="also picture a discovery at work")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as empty, served(options.runs or Path(empty)) as address:
        take_all(address, options)
    return 0


@contextmanager
def served(runs: Path) -> Iterator[str]:
    """The app on a free port; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}"]
    command += ["--server.headless=true", "--logger.hideWelcomeMessage=false"]
    environment = {**os.environ, "CIRCUITVIZ_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        if not any("URL" in line for line in process.stdout or ()):
            raise SystemExit("the app did not start")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            # Read to the end: a closed pipe would stop the server from stopping.
            process.communicate(timeout=60)


def take_all(address: str, options: argparse.Namespace) -> None:
    """Every page at every width and theme."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        for theme in options.themes:
            for width in options.widths:
                take(browser, address, theme, width, options)
        browser.close()


def find_browser() -> str:
    """The path of the first Chromium or Chrome there is."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit(f"no browser found; install one of {', '.join(BROWSERS)}")
    return found


def take(
    browser: Browser, address: str, theme: str, width: int, options: argparse.Namespace
) -> None:
    """Every page at one width and theme."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=theme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    for name in options.pages:
        page.goto(f"{address}{PAGES[name]}?{options.query}")
        settle(page)
        save(page, options.folder / f"{name}-{width}-{theme}.png", width)
        if name == "generations":
            uncovered(page, options.folder / f"before-after-{width}-{theme}.png")
    if options.live:
        live(page, address, options.folder / f"discover-live-{width}-{theme}.png", width)
    context.close()


def uncovered(page: Page, path: Path) -> None:
    """The top of the page of generations, with harmful words shown where they were covered."""
    page.goto(f"{page.url}&prompt={PICTURED}")
    settle(page)
    switch = page.get_by_text("Show harmful requests and the answers to them", exact=True).first
    if switch.is_visible():
        switch.click()
        settle(page)
    page.screenshot(path=path)


def live(page: Page, address: str, path: Path, width: int) -> None:
    """A discovery half-way through learning."""
    page.goto(f"{address}/discover")
    page.locator(".st-key-start button").click()
    bar = page.get_by_test_id("stProgress")
    expect(bar).to_contain_text("step 7", timeout=PATIENCE)
    save(page, path, width)
    page.locator(".st-key-stop button").click()
    expect(page.locator(".st-key-start button")).to_be_visible(timeout=PATIENCE)


def settle(page: Page) -> None:
    """Wait until the page has been drawn."""
    expect(page.locator("h1.cv-answer")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible(
        timeout=PATIENCE
    )
    # A page that keeps asking for something is drawn nevertheless.
    with suppress(PlaywrightTimeout):
        page.wait_for_load_state("networkidle", timeout=10_000)
    page.evaluate("document.fonts.ready")
    # Charts and tables are drawn after the script has ended, and say nothing when they have.
    page.wait_for_timeout(1500)


def save(page: Page, path: Path, width: int) -> None:
    """The whole page in one picture: the window grows, since the page scrolls inside it."""
    height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
    page.set_viewport_size({"width": width, "height": max(HEIGHT, min(height, TALLEST))})
    page.wait_for_timeout(500)
    page.screenshot(path=path)
    page.set_viewport_size({"width": width, "height": HEIGHT})


if __name__ == "__main__":
    raise SystemExit(main())
