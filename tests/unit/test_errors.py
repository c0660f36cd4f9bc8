from __future__ import annotations

import pytest

from circuitviz import errors

NAMES = [name for name, value in vars(errors).items() if isinstance(value, type)]


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_ours_documented_and_in_the_tree(name):
    error = getattr(errors, name)
    assert issubclass(error, errors.CircuitvizError)
    assert error.__doc__
    assert name in (errors.__doc__ or "")
