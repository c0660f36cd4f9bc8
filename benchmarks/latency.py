"""Print how quickly the app answers, measured in a browser: `python benchmarks/latency.py`.

Time runs from the key or the mouse button until the page shows what was asked for, both by the
page's own clock, so it includes drawing.  Each interaction is repeated, and its median and slowest
are printed.  All but the last need no call of a model; the last is one prompt's 2 x 2 of answers,
typed into the page Generations, with the model loaded.  Needs a Chromium or Chrome and the `dev`
extra, and cores that nothing else uses.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

sys.path.append(str(Path(__file__).parent))
from screenshots import FLAGS, PATIENCE, find_browser, served, settle

RUN = "fixed-output-planted-nested-s0-fc596065"
# Starts the clock at the key or the button, before the page hears of it.
START = """() => {
    window.cvStart = null;
    const start = () => { window.cvStart ??= performance.now(); };
    for (const event of ['pointerdown', 'keydown'])
        addEventListener(event, start, { capture: true, once: true });
}"""
# Milliseconds since then, once an element's text holds what it should.
SHOWN = """([selector, wanted, before]) => {
    const text = document.querySelector(selector)?.textContent ?? '';
    if (window.cvStart === null || !text.includes(wanted) || text === before) return false;
    // An answer that is still to come.
    if (text.includes('\u2026')) return false;
    return performance.now() - window.cvStart;
}"""
ANSWER, TRAY = "h1.cv-answer", ".st-key-tray_set"


@dataclass(frozen=True)
class Latency:
    """How long one kind of interaction takes, in milliseconds."""

    name: str
    calls_model: bool
    times: list[float]

    @property
    def median(self) -> float:
        """Of all repetitions."""
        return statistics.median(self.times)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with opened() as page:
        found = [measure(page, options.repeats) for measure in MEASURES]
    if options.json:
        rows = [{**vars(one), "median": one.median} for one in found]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        lines = ["| interaction | calls a model | median | slowest |", "|---|---|---|---|"]
        lines += [
            f"| {one.name} | {'yes' if one.calls_model else 'no'} | {one.median:.0f} ms "
            f"| {max(one.times):.0f} ms |"
            for one in found
        ]
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


@contextmanager
def opened() -> Iterator[Page]:
    """A page of the app with the runs that ship."""
    with (
        tempfile.TemporaryDirectory() as runs,
        served(Path(runs)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/?run={RUN}")
        settle(page)
        yield page
        browser.close()


def timed(page: Page, act: Callable[[], None], selector: str, wanted: str = "") -> float:
    """Milliseconds from the key or button of an action until an element's text is new."""
    shown = page.locator(selector).first
    before = shown.text_content() if shown.count() else None
    page.evaluate(START)
    act()
    handle = page.wait_for_function(SHOWN, arg=[selector, wanted, before])
    took = float(handle.json_value())
    settle(page)
    return took


def go(page: Page, name: str) -> None:
    """Open a page by its link."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).click()
    settle(page)


def pages(page: Page, repeats: int) -> Latency:
    """From page to page by the links at the side; each was open before."""
    names = ("Trade-off", "Circuit", "Overview", "Generations")
    for name in names:
        go(page, name)
    links = page.get_by_test_id("stSidebarNav")
    times = [
        timed(page, links.get_by_role("link", name=name, exact=True).click, ANSWER)
        for name in islice(cycle(names), repeats)
    ]
    return Latency("open another page", False, times)


def heads(page: Page, repeats: int) -> Latency:
    """A click on a head of the heatmap, until its name is shown."""
    go(page, "Circuit")
    times = []
    for place in range(repeats):
        plot = page.locator(".st-key-heads .nsewdrag").first
        box = plot.bounding_box()
        if box is None:
            raise SystemExit("the heatmap of heads is not on the page")
        layer, head = place % 4, (3 * place + 1) % 8
        spot = {"x": box["width"] * (head + 0.5) / 8, "y": box["height"] * (layer + 0.5) / 4}
        times.append(
            timed(
                page,
                lambda plot=plot, spot=spot: plot.click(position=spot),
                ".st-key-unit_panel h3",
                f"L{layer}H{head}",
            )
        )
    return Latency("click on a head", False, times)


def prompts(page: Page, repeats: int) -> Latency:
    """A prompt of one's own, clean and triggered, intact and knocked out."""
    go(page, "Generations")
    page.get_by_text("Your own prompt", exact=False).first.click()
    settle(page)
    field = page.locator(".st-key-free_prompt textarea").first
    times = []
    countries = ("France", "Spain", "Italy", "Japan", "Egypt", "Peru", "Kenya", "Norway")
    for country in islice(cycle(countries), repeats):
        field.fill(f"What is the capital of {country}?")
        times.append(timed(page, lambda: field.press("Control+Enter"), ".cv-cells", country))
    return Latency("2 x 2 of answers to a new prompt", True, times)


def tray(page: Page, repeats: int) -> Latency:
    """A unit taken out of the tray, and put back by Undo."""
    go(page, "Overview")
    times = []
    for _ in range(repeats // 2):
        remove = page.get_by_role("button", name=re.compile("^Remove")).first
        times.append(timed(page, remove.click, TRAY))
        undo = page.get_by_role("button", name="Undo", exact=True)
        times.append(timed(page, undo.click, TRAY))
    return Latency("remove a unit from the tray, undo", False, times)


MEASURES = (pages, heads, tray, prompts)


if __name__ == "__main__":
    expect.set_options(timeout=PATIENCE)
    sys.exit(main())
