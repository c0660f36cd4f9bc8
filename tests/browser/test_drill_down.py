"""Looking inside a head and a neuron, by click and by keyboard."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.clicks import click_head
from tests.support.synthetic import CIRCUIT_UNITS, backdoor_run, save_runs

pytestmark = pytest.mark.browser

RUN = backdoor_run().run_id


@pytest.fixture
def page(open_page, runs_folder):
    save_runs(runs_folder)
    page = open_page(f"/circuit?run={RUN}")
    settled(page)
    return page


def settled(page):
    expect(page.locator("h1.cv-answer")).to_be_visible()
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


def inside(page, unit):
    """Wait until this unit is the one looked into, and its link says so."""
    expect(page.locator(".st-key-drill h3")).to_have_text(f"Inside {unit}")
    expect(page).to_have_url(re.compile(f"[?&]unit={unit}(&|$)"))
    settled(page)
    # What a tab showed before stays in the page, hidden.
    return page.locator(".st-key-drill .cv-told:visible")


def test_a_click_on_a_head_shows_where_it_looks(page):
    click_head(page, 1, 3)
    told = inside(page, "L1H3")
    expect(told).to_contain_text("L1H3 looks most at")
    for name in ("drill_attention_clean", "drill_attention"):
        expect(page.locator(f".st-key-{name} .heatmaplayer .hm")).to_be_visible()
    page.get_by_role("tab", name="What it writes").click()
    expect(told).to_contain_text("By itself L1H3")
    page.get_by_role("tab", name="Alone and together").click()
    expect(told).to_contain_text("With only L1H3 off")


def test_a_click_on_a_neuron_shows_when_it_is_active(page):
    page.locator(".st-key-strip_layer").get_by_role("radio", name="2").click()
    mark = page.locator(".st-key-strip .trace:nth-child(2) .points path").first
    mark.scroll_into_view_if_needed()
    settled(page)
    target = mark.bounding_box()
    page.mouse.move(target["x"] + target["width"] / 2, target["y"] + target["height"] / 2)
    expect(page.locator(".st-key-strip .hoverlayer .hovertext")).to_be_visible()
    page.mouse.down()
    page.mouse.up()
    told = inside(page, "L2N117")
    expect(told).to_contain_text("L2N117 is most active")
    page.get_by_role("tab", name="What activates it most").click()
    expect(page.locator(".st-key-drill_top_prompts tbody tr:visible")).to_have_count(8)


def test_the_keyboard_alone_looks_into_a_head_and_a_neuron(page):
    chosen = page.get_by_role("combobox", name="Unit of the circuit")
    chosen.focus()
    page.keyboard.type(CIRCUIT_UNITS[1])
    page.keyboard.press("Enter")
    expect(inside(page, CIRCUIT_UNITS[1])).to_contain_text(f"{CIRCUIT_UNITS[1]} looks most at")
    page.get_by_role("textbox", name="Or any unit").focus()
    page.keyboard.type("l0n9")
    page.keyboard.press("Enter")
    expect(inside(page, "L0N9")).to_contain_text("L0N9 is most active")
    page.get_by_role("tab", name="When it is active").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-drill_top_prompts tbody tr:visible")).to_have_count(8)


def test_a_click_on_a_unit_of_the_graph_looks_into_it(page):
    told = page.locator(".st-key-paths .cv-told")
    expect(told).to_contain_text("With all 4 units off")
    labels = page.locator(".st-key-graph .scatterlayer .textpoint text")
    label = labels.filter(has_text="L2H5").first
    label.scroll_into_view_if_needed()
    box = label.bounding_box()
    # The label stands above its mark.
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] + 8)
    expect(page.locator(".st-key-graph .hoverlayer .hovertext")).to_contain_text("L2H5")
    page.mouse.down()
    page.mouse.up()
    inside(page, "L2H5")


def test_a_unit_added_in_its_panel_is_knocked_out_on_the_whole_page(page):
    page.get_by_role("textbox", name="Or any unit").fill("L0H1")
    page.keyboard.press("Enter")
    inside(page, "L0H1")
    before = number_of(page)
    page.get_by_role("button", name="Add L0H1 to the circuit").click()
    expect(page.get_by_role("button", name="Remove L0H1 from the circuit")).to_be_visible()
    expect(page.locator("h1.cv-answer")).to_contain_text(f"{before + 1} attention heads")
    expect(page.locator(".st-key-tray_head")).to_contain_text("1 changed by hand")
    expect(page).to_have_url(re.compile(r"edit=%2BL0H1"))


def number_of(page):
    """How many heads the page's answer speaks of."""
    return int(page.locator("h1.cv-answer").text_content().split()[0])
