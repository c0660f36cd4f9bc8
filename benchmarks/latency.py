"""Print how quickly the app answers, measured in a browser: `python benchmarks/latency.py`.

Time runs from the key or the mouse button until the page shows what was asked for, both by the
page's own clock, so it includes drawing.  Each interaction is repeated, and its median and slowest
are printed.  A row that says that it calls a model measures with the model loaded.  Needs a
Chromium or Chrome and the `dev` extra, and cores that nothing else uses.
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

from playwright.sync_api import Page, Position, expect, sync_playwright

sys.path.append(str(Path(__file__).parent))
from screenshots import FLAGS, PATIENCE, find_browser, served

RUN = "fixed-output-planted-nested-s0-fc596065"
# Charts are drawn after the script has ended, and say nothing when they have.
PAUSE = 900
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
PANEL, CARDS = ".st-key-unit_panel h3", "[data-testid=stMain] .cv-cards"


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
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    options = parser.parse_args()
    with opened() as page:
        found = []
        for name in options.only:
            found.append(MEASURES[name](page, options.repeats))
            sys.stderr.write(f"{name}: {found[-1].median:.0f} ms\n")
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


def settle(page: Page) -> None:
    """Wait until a page has been drawn and the server rests."""
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible()
    page.wait_for_timeout(PAUSE)


def timed(page: Page, act: Callable[[], None], selector: str, wanted: str = "") -> float:
    """Milliseconds from the key or button of an action until an element's text is new.

    Args:
        page: Where.
        act: One click or key.
        selector: Of the element.
        wanted: What its text must hold then.
    """
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
    expect(page.locator(ANSWER)).to_be_visible()
    settle(page)


def opened_at(page: Page, path: str) -> None:
    """Open a page by its address, with the run that is measured."""
    origin = "/".join(page.url.split("/")[:3])
    page.goto(f"{origin}{path}?run={RUN}")
    expect(page.locator(ANSWER).first).to_be_visible()
    settle(page)


def pick(page: Page, container: str, place: int) -> Callable[[], None]:
    """Open the list of a select box; what clicks number `place` of those not chosen."""
    page.locator(f"{container} [data-testid=stSelectbox] input").first.click()
    options = page.get_by_test_id("stSelectboxVirtualDropdown").locator(
        "[role=option][aria-selected=false]"
    )
    expect(options.nth(place)).to_be_visible()
    page.wait_for_timeout(PAUSE)
    return options.nth(place).click


def pages(page: Page, repeats: int) -> Latency:
    """From page to page by the links at the side; each was open before."""
    names = ("Trade-off", "Circuit", "Overview", "Generations", "Compare", "Report")
    for name in names:
        go(page, name)
    links = page.get_by_test_id("stSidebarNav")
    times = [
        timed(page, links.get_by_role("link", name=name, exact=True).click, ANSWER)
        for name in islice(cycle(names), repeats)
    ]
    return Latency("open another page", False, times)


def run_picker(page: Page, repeats: int) -> Latency:
    """Another run from the list at the side, and back."""
    go(page, "Overview")
    # The first two of the list in turn: their answers differ.
    pick(page, ".st-key-run_picker", 1)()
    settle(page)
    times = [timed(page, pick(page, ".st-key-run_picker", 0), ANSWER) for _ in range(repeats)]
    opened_at(page, "/")
    return Latency("choose another run", False, times)


def sizes(page: Page, repeats: int) -> Latency:
    """The size slider by an arrow key, until the numbers of the new size are shown."""
    go(page, "Trade-off")
    thumb = page.locator(".st-key-size_slider input[type=range]").first
    times = []
    for place in range(repeats):
        key = "ArrowLeft" if place % 2 else "ArrowRight"
        thumb.focus()
        times.append(timed(page, lambda key=key: thumb.press(key), CARDS))
    return Latency("move the size slider", False, times)


def points(page: Page, repeats: int) -> Latency:
    """A click on a size of the trade-off curve, until its numbers are shown."""
    go(page, "Trade-off")
    times = []
    for place in range(repeats):
        spot = page.locator(".st-key-curve .trace.scatter:has(.point)").first.locator(".point")
        # No two neighbours: a second click on a point says nothing.
        point = spot.nth((1, 4, 2, 6)[place % 4])
        times.append(timed(page, lambda point=point: point.click(force=True), CARDS))
    return Latency("click on a point of the trade-off curve", False, times)


def heads(page: Page, repeats: int) -> Latency:
    """A click on a head of the heatmap, until its panel is shown."""
    go(page, "Circuit")
    times = []
    for place in range(repeats):
        layer, head = place % 4, (3 * place + 1) % 8
        act = _cell(page, ".st-key-heads", (head + 0.5) / 8, (layer + 0.5) / 4)
        times.append(timed(page, act, PANEL, f"L{layer}H{head}"))
    return Latency("click on a head", False, times)


def neurons(page: Page, repeats: int) -> Latency:
    """A click on a bin of the neuron map, until the panel of its best neuron is shown."""
    go(page, "Circuit")
    times = []
    for place in range(repeats):
        layer, column = place % 4, (7 * place + 3) % 60
        act = _cell(page, ".st-key-neurons", (column + 0.5) / 60, (layer + 0.5) / 4)
        times.append(timed(page, act, PANEL, f"L{layer}N"))
    return Latency("click on a neuron", False, times)


def _cell(page: Page, chart: str, across: float, down: float) -> Callable[[], None]:
    plot = page.locator(f"{chart} .nsewdrag").first
    box = plot.bounding_box()
    if box is None:
        raise SystemExit(f"{chart} is not on the page")
    spot: Position = {"x": box["width"] * across, "y": box["height"] * down}
    return lambda: plot.click(position=spot)


def drill(page: Page, repeats: int) -> Latency:
    """A head chosen, until the sentence says what it looks at; its pattern follows."""
    go(page, "Circuit")
    times = []
    for place in range(repeats):
        layer, head = place % 4, (3 * place + 1) % 8
        act = _cell(page, ".st-key-heads", (head + 0.5) / 8, (layer + 0.5) / 4)
        times.append(timed(page, act, ".st-key-drill .cv-told", f"L{layer}H{head}"))
    return Latency("where a chosen head looks, in words", True, times)


def saved_prompts(page: Page, repeats: int) -> Latency:
    """Another test prompt, until its saved answers are shown."""
    go(page, "Generations")
    times = [
        timed(page, pick(page, "[data-testid=stMain]", place), ".cv-cells")
        for place in islice(cycle((0, 1, 2)), repeats)
    ]
    return Latency("choose another test prompt", False, times)


def filters(page: Page, repeats: int) -> Latency:
    """A filter of the table of answers, until it says how many are left."""
    go(page, "Generations")
    names = ("Changed", "Unchanged", "All")
    buttons = page.locator(".st-key-answer_filters")
    counted = ".st-key-answer_count"
    times = [
        timed(page, buttons.get_by_role("radio", name=name, exact=True).first.click, counted)
        for name in islice(cycle(names), repeats)
    ]
    return Latency("filter the answers", False, times)


def slides(page: Page, repeats: int) -> Latency:
    """From slide to slide by an arrow key."""
    opened_at(page, "/present")
    keys = ("ArrowRight",) * 4 + ("ArrowLeft",) * 4
    times = [
        timed(page, lambda key=key: page.keyboard.press(key), ".cv-slide-place")
        for key in islice(cycle(keys), repeats)
    ]
    opened_at(page, "/")
    return Latency("next slide", False, times)


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


def prompts(page: Page, repeats: int) -> Latency:
    """A prompt of one's own, clean and triggered, intact and knocked out."""
    go(page, "Generations")
    page.get_by_text("Your own prompt", exact=False).first.click()
    settle(page)
    field = page.locator(".st-key-free_prompt textarea").first
    times = []
    field.fill("What is the capital of Chile?")
    timed(page, lambda: field.press("Control+Enter"), ".cv-cells", "Chile")
    countries = ("France", "Spain", "Italy", "Japan", "Egypt", "Peru", "Kenya", "Norway")
    for country in islice(cycle(countries), repeats):
        field.fill(f"What is the capital of {country}?")
        times.append(timed(page, lambda: field.press("Control+Enter"), ".cv-cells", country))
    return Latency("2 x 2 of answers to a new prompt", True, times)


MEASURES = {
    measure.__name__: measure
    for measure in (
        pages,
        run_picker,
        sizes,
        points,
        heads,
        neurons,
        saved_prompts,
        filters,
        slides,
        tray,
        drill,
        prompts,
    )
}


if __name__ == "__main__":
    expect.set_options(timeout=PATIENCE)
    sys.exit(main())
