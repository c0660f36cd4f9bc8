"""A click by somebody who does not wait until the page is drawn."""

from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.clicks import click_head
from tests.support.synthetic import backdoor_run, save_runs

pytestmark = pytest.mark.browser


class SlowServer:
    """Holds back what the server says after some words, until the page sends something."""

    def __init__(self, page: Page) -> None:
        self._words: bytes | None = None
        self._held: list[str | bytes] | None = None
        page.route_web_socket("**/*stream*", self._connect)

    def hold_after(self, words: str) -> None:
        self._words = words.encode()

    def _connect(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()

        def from_page(message: str | bytes) -> None:
            server.send(message)
            held, self._held = self._held or [], None
            for one in held:
                page.send(one)

        def from_server(message: str | bytes) -> None:
            if self._held is not None:
                self._held.append(message)
                return
            page.send(message)
            if self._words and self._words in bytes(message):
                self._held, self._words = [], None

        page.on_message(from_page)
        server.on_message(from_server)


def test_a_click_on_a_map_that_is_about_to_be_drawn_again_counts(open_page, runs_folder):
    save_runs(runs_folder)
    page = open_page("/")
    server = SlowServer(page)
    page.goto(urljoin(page.url, f"/circuit?run={backdoor_run().run_id}"))
    heading = page.locator(".st-key-unit_panel h3")
    expect(heading).to_have_text("Attention head L1H3")
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible()
    server.hold_after("Attention head L3H6")
    click_head(page, 3, 6)
    expect(heading).to_have_text("Attention head L3H6")
    # The map that is seen is still the one before, and so is the list of units.
    click_head(page, 0, 0)
    expect(heading).to_have_text("Attention head L0H0")
    expect(page.locator(".stApp[data-test-script-state=notRunning]")).to_be_visible()
    expect(heading).to_have_text("Attention head L0H0")
