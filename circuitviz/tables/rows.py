"""Rows of a table: from a rate, of a frame, of a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from circuitviz.evaluation.rate import Rate

Row = dict[str, Any]


def rate_row(rate: Rate) -> Row:
    """A rate as the columns of a frame: `k`, `n`, `rate`, `low`, `high`, `judge`."""
    return {
        "k": rate.k,
        "n": rate.n,
        "rate": rate.rate,
        "low": rate.low,
        "high": rate.high,
        "judge": rate.judge,
    }


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame, in order, by column name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def matching(frame: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows that have these values in these columns, numbered anew."""
    keep = pd.Series(True, index=frame.index)
    for name, value in values.items():
        keep &= frame[name] == value
    return frame.loc[keep].reset_index(drop=True)


def matrix_frame(
    values: np.ndarray,
    corner: str = "layer",
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """A map as a table: a row of the table for each row of the map.

    Args:
        values: [rows, columns].
        corner: What the rows are; the name of the first column.
        rows: Names of the rows; by default their numbers.
        columns: Names of the columns; by default their numbers.
    """
    height, width = values.shape
    frame = pd.DataFrame(values, columns=[str(name) for name in columns or range(width)])
    frame.insert(0, corner, list(rows or range(height)))
    return frame
