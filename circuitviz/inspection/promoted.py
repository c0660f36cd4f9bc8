"""Which tokens a unit makes likelier where the answer is decided, and which less likely.

Direct logit attribution: what a write to the residual stream does to the logits by itself.

The logits are unembed(norm(sum of all writes)).  The norm is no linear map, but with its scale
held at the value it has at one position it is: every write then has a share of the logits, and
the shares add up to them (Elhage et al. 2021, "A mathematical framework for transformer
circuits"; nostalgebraist 2020, "the logit lens").  Two things are left out: that a write changes
the scale, and what later layers make of it.  Where a model caps its logits (Gemma 2 puts them
through cap * tanh(logit / cap)), shares are of the logits before the cap.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from circuitviz.inspection.prompt_pair import PromptPair, token_label
from circuitviz.models.gates import recorded
from circuitviz.models.model import GatedModel
from circuitviz.units import Unit

# Relative, per element: how near two outputs of a norm are to count as one.
SAME = 1e-4

TOKENS = 8


@dataclass(frozen=True)
class FrozenNorm:
    """A layer norm or RMS norm with its scale held at that of one vector: an affine map.

    Attributes:
        gain: [d_model].
        offset: [d_model], what the norm adds by itself.
        centres: Whether the mean is taken away first.
        scale: What vectors are divided by.
    """

    gain: Tensor
    offset: Tensor
    centres: bool
    scale: float

    @classmethod
    @torch.no_grad()
    def at(cls, norm: nn.Module, vector: Tensor) -> FrozenNorm:
        """The norm as it is at a vector [d_model]; asked for its values, so that any norm will do.

        Alternating signs have mean 0 and square mean 1, so that they come out times the gain.
        A copy in fp32 is asked: norms of half precision refuse fp32, or round what they give.
        """
        norm, vector = copy.deepcopy(norm).float(), vector.float()
        signs = torch.ones_like(vector)
        signs[1::2] = -1
        probes = torch.stack([torch.zeros_like(vector), torch.ones_like(vector), signs, vector])
        offset, ones, alternating, out = norm(probes[None])[0].float()
        gain = (alternating - offset) * signs
        centres = bool(((ones - offset).abs() <= SAME * gain.abs().max()).all())
        centred = vector - vector.mean() if centres else vector
        scale = float((gain * centred).norm() / (out - offset).norm())
        return cls(gain, offset, centres, scale)

    def share(self, write: Tensor) -> Tensor:
        """What the norm makes of a part [... d_model] of the vector, its offset aside."""
        centred = write - write.mean(-1, keepdim=True) if self.centres else write
        return self.gain * centred / self.scale


@dataclass(frozen=True)
class ResidualState:
    """What token and units write to the residual stream at the last position of a row.

    The residual holds more where a model has it: the embedding of the position (GPT-2, GPT-Neo,
    OPT), and the biases of output projections and MLPs.

    Attributes:
        embedding: [d_model], of the token alone.
        residual: [d_model] before the final norm.
        heads: [n_layers n_heads d_head].
        neurons: [n_layers d_mlp].
    """

    embedding: Tensor
    residual: Tensor
    heads: Tensor
    neurons: Tensor


@torch.no_grad()
def last_state(model: GatedModel, tokens: tuple[int, ...]) -> ResidualState:
    """The state where the next token after these is decided, in fp32."""
    seen: dict[tuple[str, int], Tensor] = {}

    def keep(kind: str, layer: int, activation: Tensor) -> None:
        seen[kind, layer] = activation[0, -1].float()

    with recorded(keep, ("head", "neuron", "embedding", "residual")):
        model.logits(torch.tensor([tokens]))
    layers = range(model.space.n_layers)
    return ResidualState(
        seen["embedding", -1],
        seen["residual", -1],
        torch.stack([seen["head", layer] for layer in layers]),
        torch.stack([seen["neuron", layer] for layer in layers]),
    )


class Readout:
    """The map from writes at one position to shares of its logits.

    Models that norm a block's output before adding it (Gemma 2, OLMo 2) have those norms frozen
    as well, each at what its block puts out at this position.

    Args:
        model: The model.
        state: The position.

    Attributes:
        cap: What the model caps its logits at, in size; None where it does not.
    """

    def __init__(self, model: GatedModel, state: ResidualState) -> None:
        self.model = model
        self.state = state
        self._norm = FrozenNorm.at(model.bridge.ln_final, state.residual)
        # Granite scales both what blocks add and the logits.
        config = model.bridge.original_model.config
        self._block_factor = float(getattr(config, "residual_multiplier", 1.0))
        self._logit_factor = 1 / float(getattr(config, "logits_scaling", 1.0))
        cap = getattr(config, "final_logit_softcapping", None)
        self.cap = float(cap) if cap else None

    @torch.no_grad()
    def logits(self, write: Tensor) -> Tensor:
        """The share [... d_vocab] of a write [... d_model]; before any cap on the logits."""
        return self._norm.share(write) @ self._unembedding() * self._logit_factor

    @torch.no_grad()
    def constant(self) -> Tensor:
        """What the logits [d_vocab] have from no write: biases of final norm and unembedding."""
        bias = getattr(self.model.bridge, "b_U", None)
        fixed = self._norm.offset @ self._unembedding()
        return (fixed if bias is None else fixed + bias.float()) * self._logit_factor

    @torch.no_grad()
    def write(self, unit: Unit, activation: Tensor | None = None) -> Tensor:
        """What a unit adds to the residual stream, [d_model].

        Args:
            unit: The unit.
            activation: What it does: [d_head] or a scalar; by default its own at this position.
        """
        block = self.model.bridge.blocks[unit.layer]
        values = self.state.heads if unit.kind == "head" else self.state.neurons
        own = values[unit.layer, unit.index] if activation is None else activation
        if unit.kind == "head":
            written = own @ block.attn.W_O[unit.index].float()
        else:
            written = own * block.mlp.W_out[unit.index].float()
        return self._added(unit, written)

    def _added(self, unit: Unit, written: Tensor) -> Tensor:
        block = self.model.bridge.blocks[unit.layer]
        name = "ln1_post" if unit.kind == "head" else "ln2_post"
        norm = getattr(block, name, None)
        if norm is None:
            return written * self._block_factor
        if unit.kind == "head":
            heads = self.state.heads[unit.layer]
            whole = torch.einsum("hd,hdm->m", heads, block.attn.W_O.float())
            bias = block.attn.b_O
        else:
            whole = self.state.neurons[unit.layer] @ block.mlp.W_out.float()
            bias = block.mlp.b_out
        whole = whole if bias is None else whole + bias.float()
        return FrozenNorm.at(norm, whole).share(written) * self._block_factor

    def _unembedding(self) -> Tensor:
        return self.model.bridge.W_U.float()


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
    """Direct logit attribution of one unit; see `circuitviz.inspection.promoted`.

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
