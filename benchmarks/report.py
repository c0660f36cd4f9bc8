"""Size of a run's HTML report, and how long a browser takes to open it.

`python benchmarks/report.py [RUN ...]`: for each run, the file's size, and the median over
`--times` openings from disk, offline, each in a fresh window: until the verdict is painted and
until every chart in the window is drawn (those below are drawn when they are scrolled to).  Needs a
Chromium or Chrome, and the `dev` extra.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from circuitviz.files import EMBEDDED_RUNS
from circuitviz.report.browser import find_browser
from circuitviz.report.make import write_report
from circuitviz.runs.store import RunStore

RUN = "fixed-output-planted-nested-s0-fc596065"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
VIEW = {"width": 1440, "height": 900}
# Milliseconds since the navigation began; the root element counts the charts that are drawn.
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
DRAWN = """() => new Promise((done) => {
  const root = document.documentElement;
  const inWindow = (chart) => chart.getBoundingClientRect().top < innerHeight;
  const isDrawn = () =>
    "drawn" in root.dataset &&
    [...document.querySelectorAll(".chart")]
      .filter(inWindow)
      .every((chart) => chart.querySelector("svg.main-svg"));
  const look = () =>
    isDrawn() ? done(performance.now()) : requestAnimationFrame(look);
  look();
})"""


def main() -> int:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="*", default=[RUN], help="ids of embedded runs")
    parser.add_argument("--times", type=int, default=7, help="openings of each report")
    options = parser.parse_args()
    browser_path = find_browser()
    if browser_path is None:
        raise SystemExit("no Chromium or Chrome found")
    say("| run | size (MB) | verdict painted (s) | charts in the window drawn (s) |")
    say("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        for run_id in options.runs:
            path = Path(folder) / f"{run_id}.html"
            write_report(RunStore(EMBEDDED_RUNS).load(run_id), path)
            opened = [open_once(browser, path) for _ in range(options.times)]
            painted, drawn = (median(times) / 1000 for times in zip(*opened, strict=True))
            size = path.stat().st_size / 1e6
            say(f"| {run_id} | {size:.1f} | {painted:.2f} | {drawn:.2f} |")
        browser.close()
    return 0


def open_once(browser: Browser, path: Path) -> tuple[float, float]:
    """Milliseconds until the verdict is painted, and until all charts in the window are drawn."""
    context = browser.new_context(viewport=VIEW, offline=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(path.as_uri(), wait_until="commit")
    drawn = float(page.evaluate(DRAWN))
    painted = float(page.evaluate(PAINTED))
    context.close()
    return painted, drawn


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
