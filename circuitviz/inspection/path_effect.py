"""How the units of a small circuit work together: effects along every path among them.

Path patching (Goldowsky-Dill et al. 2023, "Localizing model behavior with path patching",
arXiv:2304.05969; first in Wang et al. 2022, arXiv:2211.00593): to see what a sender does to a
receiver, run the model with the sender ablated and everything else of the circuit held at what it
does in the intact model, and note what the receiver would do then; in a second run give the
receiver that activation and let all that comes after it follow.

With M = log p(behaviour's token) - log p(token expected without it) where the answer is decided,

    effect(s -> v) = M(intact) - M(v as it would be without s)         in nats, on each prompt
    effect(s -> answer) = M(intact) - M(s ablated, all other units of the circuit held)

so that what a receiver loses arrives in the answer by whatever way leads there.  Heads and neurons
that are not in the circuit are never held: what they pass on counts as part of the edge.  A
difference of log-probabilities, because a probability near 1 hardly moves however much is lost
(logit difference, Wang et al., section 3).

The senders at the left end are the tokens that set the behaviour off.  One is ablated by blanking
it: its embedding becomes the mean embedding of the prompts' other tokens, its place is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt, Split
from circuitviz.errors import ConfigError
from circuitviz.evaluation.evaluator import subsample
from circuitviz.evaluation.scoring import score_answers
from circuitviz.inspection.path_graph import MAX_UNITS, REQUEST, TRIGGER, PathGraph, Sampled
from circuitviz.inspection.prompt_pair import PromptPair, answers_of, pair_of
from circuitviz.models.ablation import ZERO, Ablation, message_key
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import edited, recorded
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit, Unit

# Tokens run together.
_BATCH_TOKENS = 4096

# The activation [prompts pos dims] of units; a neuron has one dimension.
Values = Mapping[Unit, Tensor]

_PROMPTS = 12
# Tokens that set the behaviour off, at most, for each to be a sender of its own.
MAX_TRIGGER_WORDS = 5
# Relative: an activation that moves by less did not move.
STILL = 1e-5


@dataclass(frozen=True)
class AskedRows:
    """Prompts that are run again and again, padded on the right.

    Attributes:
        tokens: [prompts pos].
        last: [prompts], the position where the answer is decided.
        target: [prompts], the behaviour's token there.
        other: [prompts], the token expected without the behaviour.
    """

    tokens: Tensor
    last: Tensor
    target: Tensor
    other: Tensor

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Patch:
    """What one run replaces.

    Attributes:
        values: Units whose activation is given, at every position.
        blank: Boolean [prompts pos], tokens whose embedding is replaced; None for none.
    """

    values: Values = field(default_factory=dict)
    blank: Tensor | None = None


@dataclass(frozen=True)
class Trace:
    """What a run came to.

    Attributes:
        log_odds: [prompts], log p(target) - log p(other) in nats.
        wanted: What each watched unit would do there, before anything is replaced.
    """

    log_odds: Tensor
    wanted: Values


@torch.no_grad()
def run_patched(
    model: GatedModel,
    rows: AskedRows,
    patches: Sequence[Patch],
    *,
    watched: Sequence[Unit] = (),
    blank_embedding: Tensor | None = None,
) -> list[Trace]:
    """Run all prompts under each patch.

    Args:
        model: The model.
        rows: The prompts.
        patches: What each run replaces.
        watched: Units whose activations to give back.
        blank_embedding: [d_model], what a blanked token has instead of its own embedding.
    """
    count = max(1, _BATCH_TOKENS // rows.tokens.numel())
    traces: list[Trace] = []
    for start in range(0, len(patches), count):
        chunk = patches[start : start + count]
        traces += _run(model, rows, chunk, watched, blank_embedding)
    return traces


def _run(
    model: GatedModel,
    rows: AskedRows,
    patches: Sequence[Patch],
    watched: Sequence[Unit],
    blank_embedding: Tensor | None,
) -> list[Trace]:
    many, prompts = len(patches), len(rows)
    seen: dict[Unit, Tensor] = {}

    def keep(kind: str, layer: int, activation: Tensor) -> None:
        for unit in watched:
            if (unit.kind, unit.layer) == (kind, layer):
                seen[unit] = _own(activation, unit).clone()

    def replace(kind: str, layer: int, activation: Tensor) -> Tensor | None:
        if kind == "embedding":
            return _blanked(activation, patches, prompts, blank_embedding)
        return _replaced(activation, patches, prompts, kind, layer)

    with recorded(keep), edited(replace):
        logits = model.logits(rows.tokens.repeat(many, 1))
    at = torch.arange(many * prompts, device=logits.device)
    decided = logits[at, rows.last.repeat(many).to(logits.device)].float().log_softmax(-1)
    odds = decided[at, rows.target.repeat(many).to(logits.device)]
    odds = odds - decided[at, rows.other.repeat(many).to(logits.device)]
    pieces = odds.cpu().split(prompts)
    parts = {unit: values.split(prompts) for unit, values in seen.items()}
    return [
        Trace(pieces[run], {unit: values[run] for unit, values in parts.items()})
        for run in range(many)
    ]


def _own(activation: Tensor, unit: Unit) -> Tensor:
    """A unit's part [rows pos dims] of its layer's activation."""
    if unit.kind == "head":
        return activation[:, :, unit.index]
    return activation[:, :, unit.index, None]


def _replaced(
    activation: Tensor, patches: Sequence[Patch], prompts: int, kind: str, layer: int
) -> Tensor | None:
    edited_copy = None
    for run, patch in enumerate(patches):
        for unit, values in patch.values.items():
            if (unit.kind, unit.layer) == (kind, layer):
                edited_copy = activation.clone() if edited_copy is None else edited_copy
                part = _own(edited_copy[run * prompts : (run + 1) * prompts], unit)
                part.copy_(values.to(part))
    return edited_copy


def _blanked(
    activation: Tensor, patches: Sequence[Patch], prompts: int, blank: Tensor | None
) -> Tensor | None:
    if blank is None or all(patch.blank is None for patch in patches):
        return None
    edited_copy = activation.clone()
    for run, patch in enumerate(patches):
        if patch.blank is not None:
            edited_copy[run * prompts : (run + 1) * prompts][patch.blank] = blank.to(activation)
    return edited_copy


def path_effects(
    model: GatedModel,
    behaviour: Behaviour,
    circuit: Circuit,
    *,
    split: Split = "test",
    limit: int = _PROMPTS,
    ablation: Ablation = ZERO,
) -> PathGraph:
    """Measure every edge of a circuit's graph.

    Args:
        model: The model.
        behaviour: Whose attack prompts to use.
        circuit: At most `MAX_UNITS` units.
        split: Which of its splits.
        limit: At most this many prompts, drawn at random, the same ones every time.
        ablation: What ablated units are replaced by.

    Raises:
        ConfigError: The circuit is empty or too large, or the behaviour shows on no prompt.
    """
    if not 1 <= len(circuit) <= MAX_UNITS:
        raise ConfigError(
            f"a circuit graph takes 1 to {MAX_UNITS} units; got {len(circuit)}: choose a "
            "smaller size"
        )
    prompts = subsample(behaviour.prompts(split, "attack"), limit)
    pairs = _pairs(model, behaviour, prompts)
    if not pairs:
        raise ConfigError(
            f"the behaviour shows on none of {len(prompts)} {split} prompts: there is no effect to "
            "take apart; choose another model or other prompts"
        )
    with_trigger = all(prompt.triggered for prompt in prompts)
    measured = _Measurement(model, pairs, circuit, ablation, with_trigger=with_trigger)
    return measured.graph(len(prompts))


def _pairs(model: GatedModel, behaviour: Behaviour, prompts: Sequence[Prompt]) -> list[PromptPair]:
    """The pairs of the prompts on which the intact model's greedy answer shows the behaviour."""
    pairs, shown = [], []
    for prompt in prompts:
        try:
            pairs.append(pair_of(model, behaviour, prompt))
        except ConfigError:
            # Its answers cannot be told apart: there is nothing to measure on it.
            continue
        shown.append(answers_of(behaviour, prompt)[0])
    if not pairs:
        return []
    rows = encode_answers(
        model,
        [pair.triggered.text for pair in pairs],
        shown,
        complete=behaviour.kind != "backdoor",
    )
    nothing = np.zeros((1, len(model.space)), dtype=bool)
    fires = score_answers(model, rows, nothing).match[0]
    return [pair for pair, fired in zip(pairs, fires, strict=True) if fired]


class _Measurement:
    """Everything that stays the same while the edges are measured."""

    def __init__(
        self,
        model: GatedModel,
        pairs: list[PromptPair],
        circuit: Circuit,
        ablation: Ablation,
        *,
        with_trigger: bool,
    ) -> None:
        self.model, self.pairs, self.ablation = model, pairs, ablation
        self.with_trigger = with_trigger
        self.units = tuple(sorted(circuit, key=lambda u: (u.layer, u.kind, u.index)))
        self.rows = _rows(pairs)
        self.words, self.places = _words(
            pairs, self.rows.tokens.shape[1], with_trigger=with_trigger
        )
        self.blank = _mean_embedding(model, self.rows, self.places)
        self.intact = self._run([Patch()])[0]
        self.ablated = self._ablated()

    def graph(self, tried: int) -> PathGraph:
        """All edges; `tried` prompts were looked at to find these."""
        units, words = self.units, self.words
        held = self.intact.wanted
        senders = [Patch(held, places) for places in self.places]
        senders += [Patch({**held, unit: self.ablated[unit]}) for unit in units]
        sent = self._run(senders)
        direct = self._lost(sent)
        edges = self._edges(sent)
        blanked = torch.stack(list(self.places)).any(0)
        alone = [Patch({unit: self.ablated[unit]}) for unit in units]
        *total, off, silent = self._run([*alone, Patch(self.ablated), Patch({}, blanked)])
        return PathGraph(
            units,
            words,
            Sampled(edges[:, : len(words)]),
            Sampled(direct[:, : len(words)]),
            Sampled(edges[:, len(words) :]),
            Sampled(direct[:, len(words) :]),
            Sampled(self._lost(total)),
            Sampled(self._lost([silent])[:, 0]),
            float(self.intact.log_odds.mean()),
            float(off.log_odds.mean()),
            len(self.pairs),
            tried,
            self.ablation.name,
            self._trigger(),
            (
                _same(pair.target_label for pair in self.pairs),
                _same(pair.other_label for pair in self.pairs),
            ),
        )

    def _edges(self, sent: Sequence[Trace]) -> np.ndarray:
        """[prompts senders units]; receivers that do not notice are not run, their effect is 0."""
        edges = np.zeros((len(self.pairs), len(sent), len(self.units)))
        own = len(self.words)
        places = [
            (row, column)
            for row, trace in enumerate(sent)
            for column, unit in enumerate(self.units)
            if row - own != column and self._moved(trace, unit)
        ]
        patches = [
            Patch({self.units[column]: sent[row].wanted[self.units[column]]})
            for row, column in places
        ]
        for (row, column), trace in zip(places, self._run(patches), strict=True):
            edges[:, row, column] = self._lost([trace])[:, 0]
        return edges

    def _moved(self, trace: Trace, unit: Unit) -> bool:
        before = self.intact.wanted[unit]
        change = (trace.wanted[unit] - before).abs().max()
        return bool(change > STILL * (1e-6 + before.abs().max()))

    def _trigger(self) -> str:
        """The trigger in full; empty where there is none, or it differs from prompt to prompt."""
        if not self.with_trigger:
            return ""
        own = torch.stack(list(self.places)).any(0)
        tokenizer = self.model.tokenizer
        return _same(
            str(tokenizer.decode(tokens[place].tolist())).strip()
            for tokens, place in zip(self.rows.tokens, own, strict=True)
        )

    def _lost(self, traces: Sequence[Trace]) -> np.ndarray:
        """[prompts traces], what each run loses of the intact log-odds."""
        intact = self.intact.log_odds
        return torch.stack([intact - trace.log_odds for trace in traces], dim=1).double().numpy()

    def _run(self, patches: Sequence[Patch]) -> list[Trace]:
        return run_patched(
            self.model, self.rows, patches, watched=self.units, blank_embedding=self.blank
        )

    def _ablated(self) -> Values:
        """What each unit is replaced by, [prompts 1 dims]."""
        keys = [message_key(pair.triggered.text) for pair in self.pairs]
        reference = self.ablation.reference(keys)
        if reference is None:
            return {
                unit: torch.zeros_like(values)[:, :1] for unit, values in self.intact.wanted.items()
            }
        parts = {"head": reference.head, "neuron": reference.neuron[..., None]}
        return {unit: parts[unit.kind][:, None, unit.layer, unit.index] for unit in self.units}


def _same(labels: Iterable[str]) -> str:
    distinct = set(labels)
    return distinct.pop() if len(distinct) == 1 else ""


def _rows(pairs: Sequence[PromptPair]) -> AskedRows:
    lengths = torch.tensor([len(pair.triggered.tokens) for pair in pairs])
    tokens = torch.zeros(len(pairs), int(lengths.max()), dtype=torch.long)
    for row, pair in enumerate(pairs):
        tokens[row, : len(pair.triggered.tokens)] = torch.tensor(pair.triggered.tokens)
    return AskedRows(
        tokens,
        lengths - 1,
        torch.tensor([pair.target for pair in pairs]),
        torch.tensor([pair.other for pair in pairs]),
    )


def _words(
    pairs: Sequence[PromptPair], width: int, *, with_trigger: bool
) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """Names of the senders, and where each stands: boolean [prompts pos] apiece.

    The tokens of a trigger are senders of their own.  Where they are many, or there is no trigger
    and what sets the behaviour off differs from prompt to prompt, all of them are one.
    """
    causes = [pair.triggered.labels[slice(*pair.cause)] for pair in pairs]
    shared = [word for word in dict.fromkeys(causes[0]) if all(word in c for c in causes)]
    if not with_trigger or not 1 <= len(shared) <= MAX_TRIGGER_WORDS:
        place = torch.zeros(len(pairs), width, dtype=torch.bool)
        for row, pair in enumerate(pairs):
            place[row, slice(*pair.cause)] = True
        return (TRIGGER if with_trigger else REQUEST,), (place,)
    places = []
    for word in shared:
        place = torch.zeros(len(pairs), width, dtype=torch.bool)
        for row, pair in enumerate(pairs):
            for position in range(*pair.cause):
                place[row, position] = pair.triggered.labels[position] == word
        places.append(place)
    return tuple(shared), tuple(places)


@torch.no_grad()
def _mean_embedding(model: GatedModel, rows: AskedRows, places: Sequence[Tensor]) -> Tensor:
    """[d_model], of all tokens that are neither padding nor a sender's."""
    seen: list[Tensor] = []
    with recorded(lambda kind, layer, activation: seen.append(activation), ("embedding",)):
        model.logits(rows.tokens)
    inside = torch.arange(rows.tokens.shape[1])[None] <= rows.last[:, None]
    ordinary = inside & ~torch.stack(list(places)).any(0)
    return seen[0][ordinary.to(seen[0].device)].mean(0)
