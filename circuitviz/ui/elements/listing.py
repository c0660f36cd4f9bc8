"""Lists whose entries, or their names, may change while a browser shows them."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

__all__ = ["listing_key"]


def listing_key(name: str, labels: Iterable[str]) -> str:
    """A widget key that changes with what the list shows.

    Browsers name the chosen entry by its label.  A message that was under way while the labels
    changed would choose another entry, or one that is not there; under a new key, and taken by
    `when_changed`, it chooses none.

    Args:
        name: What the list is, unique on the page.
        labels: What it shows, in order.
    """
    return f"{name}_{crc32(chr(0).join(labels).encode()):08x}"
