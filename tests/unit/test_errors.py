from __future__ import annotations

import pytest

from circuitviz import errors


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_ours_documented_and_in_the_tree(name):
    error = getattr(errors, name)
    assert issubclass(error, errors.CircuitvizError)
    assert error.__doc__
    assert name in (errors.__doc__ or "")


def test_all_errors_are_exported():
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == set(errors.__all__)
