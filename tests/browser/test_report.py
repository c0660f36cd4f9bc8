"""The report opened from disk with the network off, and printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from re import findall

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from circuitviz.files import EMBEDDED_RUNS
from circuitviz.report.browser import print_page
from circuitviz.report.make import write_report
from circuitviz.report.page import report_page
from circuitviz.runs.store import Run, RunStore

pytestmark = pytest.mark.browser

BACKDOOR = "fixed-output-planted-nested-s0-fc596065"
REFUSAL = "refusal-nested-s0-33b70d1c"
CHARTS = 5
# A4 without its margins, in CSS pixels.
PAPER = {"width": 680, "height": 993}
# Of the report of the backdoor, roughly.
FEWEST_PAGES, MOST_PAGES = 5, 14

OpenReport = Callable[..., Page]


def load(run_id: str) -> Run:
    return RunStore(EMBEDDED_RUNS).load(run_id)


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[OpenReport]:
    """Open a run's report from disk, offline; whatever it complains about fails the test."""
    contexts, complaints = [], []

    def open_one(
        run_id: str = BACKDOOR, *, theme: str = "light", width: int = 1440, scroll: bool = True
    ) -> Page:
        path = tmp_path / f"{run_id}.html"
        write_report(load(run_id), path)
        context = browser.new_context(
            viewport={"width": width, "height": 1000},
            color_scheme=theme,  # type: ignore[arg-type]
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "data:", "blob:"))
                else complaints.append(request.url)
            ),
        )
        page.goto(path.as_uri())
        root = page.locator("html")
        expect(root).to_have_attribute("data-figures", str(CHARTS))
        expect(root).to_have_attribute("data-drawn", re.compile("[1-9]"))
        if scroll:
            for chart in page.locator(".chart").all():
                chart.scroll_into_view_if_needed()
                expect(chart.locator("svg.main-svg").first).to_be_visible()
            expect(root).to_have_attribute("data-drawn", str(CHARTS))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 900), ("dark", 400)])
def test_charts_are_drawn_offline_and_fit_the_page(open_report, theme, width):
    page = open_report(theme=theme, width=width)
    expect(page.locator("h1")).to_have_text("Switching off 4 of 32 heads ends this backdoor")
    expect(page.locator(".chart svg.main-svg").first).to_be_visible()
    assert page.locator(".chart:has(svg.main-svg)").count() == CHARTS
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink = page.locator(".chart .xtitle").first.evaluate("node => getComputedStyle(node).fill")
    light = sum(int(part) for part in findall(r"\d+", ink)[:3]) > 3 * 128
    assert light == (theme == "dark")


def test_charts_are_drawn_when_they_are_scrolled_to_and_all_before_printing(open_report):
    page = open_report(scroll=False)
    drawn = ".chart:has(svg.main-svg)"
    assert page.locator(f"#chart-before-after{drawn[6:]}").count() == 1
    assert page.locator(drawn).count() < CHARTS
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("html")).to_have_attribute("data-drawn", str(CHARTS))
    assert page.locator(drawn).count() == CHARTS
    for box in page.locator(".chart svg.main-svg:first-child").all():
        assert box.bounding_box()["width"] <= PAPER["width"]
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#chart-heads svg.main-svg").first).to_be_visible()


def test_charts_are_alive(open_report):
    page = open_report()
    point = page.locator("#chart-trade-off .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    expect(page.locator("#chart-trade-off .hoverlayer")).to_contain_text("intact model")


def test_every_chart_has_its_table_and_files_come_out_of_the_page(open_report):
    page = open_report()
    fold = page.locator("figure:has(#chart-trade-off) details")
    fold.locator("summary").press("Enter")
    expect(fold.locator("tbody tr").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="circuit.json").click()
    assert '"L1H2"' in download.value.path().read_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="frontier.csv").click()
    assert download.value.path().read_text().startswith("size,heads,neurons,sparsity,series,k,n")


def test_what_could_harm_is_seen_only_when_asked_for(open_report):
    page = open_report(REFUSAL)
    first = page.locator(".example").first
    hidden = first.locator(".asked .words")
    expect(hidden).to_be_hidden()
    first.locator(".asked summary").click()
    expect(hidden).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_shut_out(open_report, theme):
    page = open_report(theme=theme)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_the_pdf_is_printed(browser_path):
    pdf = print_page(report_page(load(BACKDOOR), paper=True))
    assert pdf.startswith(b"%PDF")
    assert FEWEST_PAGES <= len(findall(rb"/Type\s*/Page\b", pdf)) <= MOST_PAGES


@pytest.mark.parametrize("run_id", [BACKDOOR, REFUSAL])
def test_on_paper_no_chart_is_wider_than_the_page_or_crosses_two(browser, tmp_path, run_id):
    path = tmp_path / "paper.html"
    path.write_text(report_page(load(run_id), paper=True))
    page = browser.new_page(viewport=PAPER, offline=True)
    page.goto(path.as_uri())
    expect(page.locator("html")).to_have_attribute("data-drawn", str(CHARTS))
    page.emulate_media(media="print")
    figures = page.locator("figure").all()
    assert len(figures) == CHARTS
    for figure in figures:
        box, chart = figure.bounding_box(), figure.locator(".chart").bounding_box()
        drawn = figure.locator("svg.main-svg").first.bounding_box()
        assert drawn["width"] <= PAPER["width"] + 0.5
        assert drawn["height"] <= chart["height"] + 0.5
        # What may not be broken and is lower than a page stands on one.
        assert figure.evaluate("node => getComputedStyle(node).breakInside") == "avoid"
        assert box["height"] <= PAPER["height"]
    page.close()
