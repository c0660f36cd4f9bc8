"""Settings that fit into memory are those that the advice of preflight names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from circuitviz.ui.models.model import fitting


def looked(there: int, supported: bool = True):
    """A model that takes as many bytes as rows, twice as many without layers computed again."""
    asked = []

    def check(rows, checkpointing, dtype):
        asked.append((rows, checkpointing, dtype))
        needed = rows * (1 if checkpointing else 2) * (2 if dtype == "float32" else 1)
        return SimpleNamespace(
            supported=supported,
            memory=SimpleNamespace(total=needed),
            memory_available=there,
            asked=asked[-1],
        )

    return fitting(check).asked, len(asked)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("there", "chosen", "tries"),
    [
        (192, (48, False, "float32"), 1),
        (191, (48, True, "float32"), 2),
        (95, (24, True, "float32"), 3),
        (2, (1, True, "float32"), 7),
        (1, (1, True, "bfloat16"), 13),
        (0, (1, True, "bfloat16"), 13),
    ],
)
def test_layers_are_computed_again_before_rows_are_fewer_and_numbers_are_halved_last(
    there, chosen, tries
):
    assert looked(there) == (chosen, tries)


def test_a_model_that_is_refused_is_looked_at_once():
    assert looked(0, supported=False) == ((48, False, "float32"), 1)
