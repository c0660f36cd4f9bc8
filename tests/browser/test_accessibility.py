"""No page has a serious or critical finding of axe, in either theme, closed and open."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.synthetic import backdoor_run, refusal_run, save_runs

pytestmark = pytest.mark.browser

PATHS = (
    "/",
    "/discover",
    "/models",
    "/circuit",
    "/tradeoff",
    "/compare",
    "/generations",
    "/tuning",
    "/report",
    "/present",
)
REFUSAL_PATHS = ("/", "/circuit", "/tradeoff", "/generations", "/present")
HEAD_TABS = ("Where it looks", "What it writes", "Alone and together", "In other runs")
NEURON_TABS = ("When it is active", "What activates it most", *HEAD_TABS[1:])
SERIOUS = ("serious", "critical")
# axe calls headings out of order moderate; here they are findings as well.
IN_ORDER = "heading-order"
# The first look inside a model loads it beside everything else that is tested; milliseconds.
MODEL_PATIENCE = 180_000
# Until nothing fades any more; of what is out of sight no animation may ever end.
FADED = """() => Promise.race([
  Promise.allSettled(
    document.getAnimations()
      .filter(one => one.effect.getComputedTiming().endTime !== Infinity)
      .map(one => one.finished)
  ),
  new Promise(done => setTimeout(done, 2000)),
])"""


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 900)])
def test_no_page_has_a_serious_finding(open_page, runs_folder, theme, width):
    save_runs(runs_folder)
    page = open_page("/", theme=theme, width=width)
    found = []
    for path in PATHS:
        found += visited(page, f"{path}?run={backdoor_run().run_id}")
    assert not found, "\n".join(found)


def test_no_page_of_a_refusal_has_a_serious_finding(open_page, runs_folder):
    save_runs(runs_folder)
    page = open_page("/", theme="dark")
    found = []
    for path in REFUSAL_PATHS:
        found += visited(page, f"{path}?run={refusal_run().run_id}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("unit", "tabs", "theme"), [("L1H3", HEAD_TABS, "light"), ("L2N117", NEURON_TABS, "dark")]
)
def test_no_panel_about_a_unit_has_a_serious_finding(open_page, runs_folder, unit, tabs, theme):
    save_runs(runs_folder)
    page = open_page("/", theme=theme)
    found = visited(page, f"/circuit?run={backdoor_run().run_id}&unit={unit}")
    for tab in tabs:
        page.get_by_role("tab", name=tab).click()
        drawn = page.locator(".st-key-drill [role=tabpanel]:visible .stElementContainer")
        expect(drawn.first).to_be_visible()
        found += [f"{tab}: {line}" for line in settled(page)]
    assert not found, "\n".join(found)


def test_no_slide_has_a_serious_finding(open_page, runs_folder):
    save_runs(runs_folder)
    page = open_page("/", theme="dark")
    found = []
    for slide in range(2, 6):
        found += visited(page, f"/present?run={backdoor_run().run_id}&slide={slide}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_that_opens_has_a_serious_finding(open_page, runs_folder, theme):
    save_runs(runs_folder)
    page = open_page("/", theme=theme)
    found = visited(page, f"/?run={backdoor_run().run_id}")
    page.get_by_role("button", name="How to read this").first.click()
    expect(page.get_by_text("Each row is one version of the model")).to_be_visible()
    found += [f"reading: {line}" for line in settled(page)]
    page.keyboard.press("Escape")
    page.get_by_text("Show as a table").first.click()
    found += [f"table: {line}" for line in settled(page)]
    page.get_by_role("button", name="Glossary").click()
    expect(page.get_by_role("dialog")).to_contain_text("Wilson interval")
    found += [f"glossary: {line}" for line in settled(page)]
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    found += visited(page, f"/discover?run={backdoor_run().run_id}")
    page.get_by_text("Units knocked out").click()
    expect(page.get_by_role("button", name="Random control")).to_be_visible()
    found += [f"tray: {line}" for line in settled(page)]
    assert not found, "\n".join(found)


def visited(page: Page, path: str) -> list[str]:
    """What axe finds on a page of the app."""
    page.goto(urljoin(page.url, path))
    expect(page.locator("h1.cv-answer").first).to_be_visible()
    return [f"{path}: {line}" for line in settled(page)]


def settled(page: Page) -> list[str]:
    """What axe finds on what the page shows once everything is there."""
    still = page.locator(".stApp[data-test-script-state=notRunning]")
    expect(still).to_be_visible(timeout=MODEL_PATIENCE)
    # What is being replaced is faded, and comes back by degrees.
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    page.evaluate(FADED)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    return list(_findings(page))


def _findings(page: Page) -> Iterator[str]:
    for violation in Axe().run(page).response["violations"]:
        for node in violation["nodes"]:
            if node["impact"] in SERIOUS or violation["id"] == IN_ORDER:
                yield (
                    f"{violation['id']} ({violation['help']}): {node['target']} "
                    f"{node['html'][:160]}"
                )
