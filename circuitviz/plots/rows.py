"""Frames as plain rows."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["Row", "matching", "records"]

Row = dict[str, Any]


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame, in order, by column name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def matching(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows that have these values in these columns, numbered anew."""
    keep = pd.Series(True, index=frame.index)
    for name, value in values.items():
        keep &= frame[name] == value
    return frame.loc[keep].reset_index(drop=True)
