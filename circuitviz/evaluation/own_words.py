"""Whether answers that are given for the intact model are what it says."""

from __future__ import annotations

from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate

__all__ = ["LEAST_OWN", "check_own_answers"]

# Share of the given answers that must be the model's own words: utility is the share of answers
# that stay the same, so below this next to nothing could be lost.
LEAST_OWN = 0.5


def check_own_answers(model: str, benign: Rate, clean: Rate | None = None) -> None:
    """Refuse answers that are somebody else's.

    Args:
        model: What the model is called.
        benign: Benign prompts that it answers exactly as given.
        clean: A backdoor's prompts, without the trigger, that it answers exactly as given.

    Raises:
        ConfigError: It answers fewer than half of either like that.
    """
    what = [(benign, "benign prompts"), (clean, "clean attack prompts")]
    found = [f"{rate.k} of {rate.n} {name}" for rate, name in what if rate]
    if any(rate.rate < LEAST_OWN for rate, _ in what if rate):
        raise ConfigError(
            f"{model} answers {' and '.join(found)} as the data says, and at least half are "
            "needed: leave the column answer out, and the model is asked"
        )
