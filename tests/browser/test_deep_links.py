"""A copied link, opened by somebody else."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import OpenPage
from tests.support.synthetic import backdoor_run, refusal_run, save_runs

pytestmark = pytest.mark.browser

BACKDOOR, REFUSAL = backdoor_run().run_id, refusal_run().run_id


def copied(page: Page) -> str:
    """The link that the button puts on the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    return page.evaluate("navigator.clipboard.readText()")


def path_of(link: str) -> str:
    return re.sub(r"^http://[^/]+", "", link)


def test_a_copied_link_opens_page_run_size_and_unit_elsewhere(open_page: OpenPage, runs_folder):
    save_runs(runs_folder)
    page = open_page(f"/tradeoff?run={BACKDOOR}&size=2")
    expect(page.locator(".st-key-tray_head")).to_contain_text("Size 2 chosen")
    page.get_by_role("link", name="Circuit", exact=True).click()
    expect(page).to_have_url(re.compile(r"/circuit\?run=.*size=2"))
    link = copied(page)
    assert link == page.url
    other = open_page(path_of(link))
    expect(other.locator("h1.cv-answer")).to_have_text("2 attention heads, in layers 1 and 2")
    expect(other.locator(".st-key-tray_head")).to_contain_text("Size 2 chosen")
    expect(other).to_have_url(re.compile(re.escape(path_of(link)) + "$"))


def test_the_browsers_back_button_brings_the_former_choice_back(open_page: OpenPage, runs_folder):
    save_runs(runs_folder)
    page = open_page(f"/circuit?run={BACKDOOR}&unit=L2H5")
    heading = page.locator(".st-key-unit_panel h3")
    expect(heading).to_have_text("Attention head L2H5")
    name = page.get_by_role("textbox", name="Or any unit")
    name.fill("L0H1")
    name.press("Enter")
    expect(heading).to_have_text("Attention head L0H1")
    expect(page).to_have_url(re.compile("unit=L0H1"))
    page.go_back()
    expect(heading).to_have_text("Attention head L2H5")
    page.go_forward()
    expect(heading).to_have_text("Attention head L0H1")


def test_a_link_carries_an_emptied_set_and_the_prompt(open_page: OpenPage, runs_folder):
    save_runs(runs_folder)
    page = open_page(f"/generations?run={BACKDOOR}&prompt=test-002")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page).to_have_url(re.compile(r"set=none"))
    link = copied(page)
    other = open_page(path_of(link))
    expect(other.locator(".st-key-tray_head")).to_contain_text("0 units")
    expect(other).to_have_url(re.compile(r"prompt=test-002"))


def test_a_long_set_is_linked_by_the_name_it_was_saved_under(open_page: OpenPage, runs_folder):
    save_runs(runs_folder)
    # Every second neuron of a layer: nothing that ranges make short.
    units = "_".join(f"L{layer}N" + ".".join(map(str, range(0, 512, 2))) for layer in range(3))
    page = open_page(f"/?run={BACKDOOR}&set={units}")
    expect(page.locator(".st-key-tray_head")).to_contain_text("768 units")
    expect(page.get_by_text("This set is too long for a link")).to_be_visible()
    page.get_by_text("Save this set", exact=True).click()
    page.get_by_role("textbox", name="Name").fill("every second one")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_role("button", name="Save the 768 units").click()
    expect(page).to_have_url(re.compile(r"saved=every"))
    link = copied(page)
    assert len(link) < 300
    other = open_page(path_of(link))
    expect(other.locator(".st-key-tray_head")).to_contain_text("768 units")
    expect(other.locator(".st-key-tray_head")).to_contain_text("every second one")


def test_without_a_clipboard_the_link_is_shown_to_be_copied_by_hand(
    open_page: OpenPage, runs_folder, browser: Browser
):
    save_runs(runs_folder)
    page = open_page(f"/?run={REFUSAL}")
    expect(page.locator("h1.cv-answer")).to_be_visible()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy link").click()
    field = page.get_by_role("textbox", name="Link to this page")
    expect(field).to_have_value(page.url)
    expect(field).to_be_focused()


def test_a_link_puts_no_image_and_no_other_link_on_the_page(open_page: OpenPage, runs_folder):
    save_runs(runs_folder)
    image = "![x](https://example.org/x.png)"
    asked = []
    page = open_page("/")
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{page.url.split('?')[0]}?run={BACKDOOR}&set=L1H3&saved={image}&ablation={image}")
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("ablation must be one of zero, mean, resample")
    expect(alert.locator("a, img")).to_have_count(0)
    # The name is of no saved set, and is not believed.
    expect(page.locator(".st-key-tray_head")).to_contain_text("A set of your own.")
    assert not [url for url in asked if "example.org" in url.split("?")[0]]
