"""Values as JSON that every reader takes."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

__all__ = ["json_bytes"]


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """The value as UTF-8 JSON, with null for what has no value: JSON knows no NaN."""
    text = json.dumps(_known(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
