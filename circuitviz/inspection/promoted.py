"""Which tokens a unit makes likelier where the answer is decided, and which less likely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuitviz.inspection.prompt_pair import PromptPair, token_label
from circuitviz.inspection.readout import Readout, last_state
from circuitviz.models.model import GatedModel
from circuitviz.units import Unit

__all__ = ["PromotedToken", "Written", "look_at_writing"]

TOKENS = 8


@dataclass(frozen=True)
class PromotedToken:
    """One token and a unit's share of its logit, less the unit's mean share over all tokens.

    Attributes:
        token: The token, for people.
        clean: The share on the clean prompt.
        triggered: The share on the triggered prompt.
        direction: The share of the output direction itself, at activation 1; None for heads.
    """

    token: str
    clean: float
    triggered: float
    direction: float | None = None


@dataclass(frozen=True)
class Written:
    """What a unit writes where the answer is decided.

    Attributes:
        promoted: Most promoted tokens, the strongest first.
        suppressed: Most suppressed tokens, the strongest first.
        towards: By how much the unit itself raises the behaviour's token over the other one, in
            logits, on the clean and on the triggered prompt.
        by_direction: Whether tokens are ranked by the output direction and not by what is
            written on the triggered prompt.
        cap: What the model caps its logits at afterwards, in size; None where it does not.
    """

    promoted: tuple[PromotedToken, ...]
    suppressed: tuple[PromotedToken, ...]
    towards: tuple[float, float]
    by_direction: bool
    cap: float | None = None


@torch.no_grad()
def look_at_writing(
    model: GatedModel, pair: PromptPair, unit: Unit, *, tokens: int = TOKENS
) -> Written:
    """Direct logit attribution of one unit; see `circuitviz.inspection.readout`.

    A head is ranked by what it writes on the triggered prompt.  A neuron has one output
    direction, and is ranked by that: what it does whenever it is active.

    Args:
        model: The model.
        pair: The prompts.
        unit: A head or neuron.
        tokens: How many to name at either end.
    """
    readouts = [
        Readout(model, last_state(model, row.tokens)) for row in (pair.clean, pair.triggered)
    ]
    clean, triggered = (readout.logits(readout.write(unit)) for readout in readouts)
    direction = None
    if unit.kind == "neuron":
        one = torch.ones((), device=clean.device)
        direction = _centred(readouts[1].logits(readouts[1].write(unit, one)))
    towards = [float(logits[pair.target] - logits[pair.other]) for logits in (clean, triggered)]
    clean, triggered = _centred(clean), _centred(triggered)
    by = triggered if direction is None else direction

    def named(index: int) -> PromotedToken:
        return PromotedToken(
            token_label(model, index),
            float(clean[index]),
            float(triggered[index]),
            None if direction is None else float(direction[index]),
        )

    order = by.argsort(descending=True).tolist()
    return Written(
        tuple(named(index) for index in order[:tokens]),
        tuple(named(index) for index in order[: -tokens - 1 : -1]),
        (towards[0], towards[1]),
        direction is not None,
        readouts[1].cap,
    )


def _centred(logits: Tensor) -> Tensor:
    # A number added to all logits changes no probability.
    return logits - logits.mean()
