"""Whether answers that are given for the intact model are what it says."""

from __future__ import annotations

from collections.abc import Mapping

from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate

__all__ = ["LEAST_OWN", "check_own_answers"]

# Share of the given answers that must be the model's own words: utility is the share of answers
# that stay the same, so below this next to nothing could be lost.
LEAST_OWN = 0.5


def check_own_answers(model: str, given: Mapping[str, Rate]) -> None:
    """Refuse answers that are somebody else's.

    Args:
        model: What the model is called.
        given: By what the prompts are called, those that it answers exactly as given.

    Raises:
        ConfigError: It answers fewer than half of any kind like that.
    """
    if any(rate.rate < LEAST_OWN for rate in given.values()):
        found = [f"{rate.k} of {rate.n} {name}" for name, rate in given.items()]
        raise ConfigError(
            f"{model} answers {' and '.join(found)} as the data says, and at least half are "
            "needed: leave the column answer out, and the model is asked"
        )
