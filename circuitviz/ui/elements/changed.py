"""Callbacks of widgets that act on what a user changed, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

__all__ = ["when_changed"]


def when_changed(key: str, take: Callable[[Any], None]) -> Callable[[], None]:
    """The `on_change` or `on_select` of a widget that is about to be drawn.

    Streamlit calls it for a widget that is gone as well: a browser that has not yet heard the end
    of a run sends the values of all widgets it had, and the server, which has forgotten those
    that are gone, takes each for changed.  Somebody who clicks fast would have an earlier choice
    back.

    Args:
        key: The widget's key, whose value is set by now if it is to have one.
        take: Called with the widget's value, if it is another than was shown or taken last.
    """
    last = st.session_state.get(key)

    def changed() -> None:
        nonlocal last
        value = st.session_state[key]
        # The script may not get as far as the widget before the next change.
        if value != last:
            last = value
            take(value)

    return changed
