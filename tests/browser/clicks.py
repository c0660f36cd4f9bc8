"""Clicks of the mouse on pictures."""

from __future__ import annotations

from playwright.sync_api import Page, expect

# What the map of heads of a planted specimen shows.
LAYERS, HEADS = 4, 8
SIZE = "plot => { const box = plot.getBoundingClientRect(); return [box.width, box.height]; }"


def click_head(
    page: Page, layer: int, head: int, *, across: float = 0.5, down: float = 0.5
) -> None:
    """Click on the cell of a head, so far from its left and its upper edge.

    A map that is being drawn again has no box for a moment; this waits for the next one.
    """
    plot = page.locator(".st-key-heads .nsewdrag").first
    expect(plot).to_be_visible()
    width, height = plot.evaluate(SIZE)
    plot.click(
        position={"x": width * (head + across) / HEADS, "y": height * (layer + down) / LAYERS}
    )
