"""Clicks of the mouse on pictures."""

from __future__ import annotations

from playwright.sync_api import Error, Page, Position, expect

# What the map of heads of a planted specimen shows.
LAYERS, HEADS = 4, 8
# How often the place of a click is measured, and for how long, in ms, each is tried.
ATTEMPTS, PATIENCE = 12, 5_000
# The size of a picture that has kept it for two frames; an error of one that is gone.
SIZE = """async plot => {
    for (let last = null;;) {
        await new Promise(requestAnimationFrame);
        if (!plot.isConnected) throw new Error("the picture was drawn again");
        const { width, height } = plot.getBoundingClientRect();
        if (last && last[0] === width && last[1] === height) return last;
        last = [width, height];
    }
}"""


def click_head(
    page: Page, layer: int, head: int, *, across: float = 0.5, down: float = 0.5
) -> None:
    """Click on the cell of a head, so far from its left and its upper edge.

    A map that is being drawn again has no box for a moment, and may have another size after it; a
    click that finds something else at its place is measured again.
    """
    plot = page.locator(".st-key-heads .nsewdrag").first
    for left in reversed(range(ATTEMPTS)):
        expect(plot).to_be_visible()
        try:
            width, height = plot.evaluate(SIZE)
            x, y = width * (head + across) / HEADS, height * (layer + down) / LAYERS
            plot.click(position=Position(x=x, y=y), timeout=PATIENCE)
        except Error:
            if not left:
                raise
        else:
            return
