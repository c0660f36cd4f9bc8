"""What every gradient learner minimises: the behaviour must vanish, everything else must stay.

Both losses are means over answer tokens, in nats, with some units ablated:

    removal = -log p(answer expected once the behaviour is gone | attack)
    utility = KL(intact || ablated) on benign answers, and on a backdoor's own prompts without
              the trigger

Of an open answer one token decides: the first in which it differs from what the attack wants.  It
counts more than the others, and once it is right the attack has ended: given its beginning, even a
model under attack goes on with the right answer.

Whoever gives open answers may comply with a harmful request in any words.  Of such refusals the
first token of the answer decides, by how likely it begins no refusal, -log(1 - p(refusal)), where
p(refusal) sums over the tokens that the intact model's own refusals begin with: after the refusal
metric of Arditi et al. (arXiv:2406.11717), the log-odds of such a token.

The objective is SafeSeek's, arXiv:2603.23268, with the KL in place of its cross-entropy on benign
answers, so that a model that is wrong somewhere may stay so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitviz.behaviours.answer_text import are_open
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.models.ablation import Ablation
from circuitviz.models.answer import (
    AnswerRows,
    Teacher,
    answer_log_probs,
    encode_answers,
)
from circuitviz.models.gates import Gates
from circuitviz.models.model import LONGEST_ANSWER, GatedModel

# Of open answers to attacks, the tokens that are learned from, and what the deciding one counts.
REMOVAL_TOKENS, DECIDING_WEIGHT = 12, 8.0
# Tokens that begin fewer of the refusals than this are no sign of one.
LEAST_COMMON = 0.02


@dataclass(frozen=True)
class TrainingRows:
    """Training prompts, tokenised: removal rows first, then utility rows.

    Attributes:
        rows: All of them.
        removal: Indices of attack prompts with the answer expected after knocking out.
        utility: Indices of benign prompts, and of a backdoor's prompts without the trigger.
        teacher: What the intact model thinks of the utility rows.
        deciding: Where the answers to attacks are open, the place [rows] of the token in each
            that decides; -1 in utility rows.
        refusals: Of a model that refuses in open answers, the tokens [tokens] that its refusals
            begin with.
    """

    rows: AnswerRows
    removal: range
    utility: range
    teacher: Teacher
    deciding: Tensor | None = None
    refusals: Tensor | None = None

    @classmethod
    def of(cls, model: GatedModel, behaviour: Behaviour) -> TrainingRows:
        """The training prompts of a behaviour, answered by the intact model once."""
        attack = behaviour.prompts("train", "attack")
        # A backdoor's own prompts must stay right without the trigger.
        kept = [prompt for prompt in attack if prompt.triggered is not None]
        kept += behaviour.prompts("train", "benign")
        right = [answer_after(prompt) for prompt in attack]
        refusals = _refusals(model, behaviour)
        is_open = refusals is not None or are_open(right)
        places = [0] * len(attack) if refusals is not None else _deciding(model, attack)
        deciding = torch.tensor([*places, *[-1] * len(kept)]) if is_open else None
        first = REMOVAL_TOKENS if is_open else LONGEST_ANSWER
        rows = encode_answers(
            model,
            [prompt.asked for prompt in attack] + [prompt.text for prompt in kept],
            right + [prompt.answer for prompt in kept],
            # Nobody is taught to stop behind an opening.
            complete=[not behaviour.spec.after_is_opening] * len(attack) + [True] * len(kept),
            longest=[first] * len(attack) + [LONGEST_ANSWER] * len(kept),
        )
        utility = range(len(attack), len(rows))
        teacher = Teacher(model, rows, utility)
        return cls(rows, range(len(attack)), utility, teacher, deciding, refusals)

    def decides(self, picks: Tensor) -> Tensor:
        """Boolean [tokens]: which tokens of the answers of `picks` decide; none of closed ones."""
        owner = self.rows.predicts[picks].nonzero()[:, 0]
        if self.deciding is None:
            return torch.zeros(len(owner), dtype=torch.bool)
        return _place_in_answer(owner) == self.deciding[picks][owner]

    def costs(self, log_probs: Tensor, targets: Tensor, decides: Tensor) -> Tensor:
        """What each token of the answers expected to attacks costs, nats [tokens].

        Those that decide count `DECIDING_WEIGHT` times.

        Args:
            log_probs: [tokens d_vocab].
            targets: [tokens], the expected ones.
            decides: Boolean [tokens]; see `decides`.
        """
        costs = -log_probs.gather(-1, targets[:, None])[:, 0]
        deciding = costs
        if self.refusals is not None:
            others = log_probs.index_fill(-1, self.refusals.to(log_probs.device), -torch.inf)
            deciding = -others.logsumexp(-1)
        return torch.where(decides, DECIDING_WEIGHT * deciding, costs)

    def mistakes(self, log_probs: Tensor, targets: Tensor, decides: Tensor) -> Tensor:
        """Boolean [tokens]: where the likeliest token is not as expected; arguments as of `costs`.

        Of open answers only the deciding token says so.
        """
        likeliest = log_probs.argmax(-1)
        if self.refusals is not None:
            return decides & torch.isin(likeliest, self.refusals.to(likeliest.device))
        wrong = likeliest != targets
        return wrong if self.deciding is None else wrong & decides

    def picks(self, removal: int, utility: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Endless batches: indices of `removal` attack rows, then of `utility` benign ones."""
        attacks = shuffled_picks(len(self.removal), removal, generator)
        others = shuffled_picks(len(self.utility), utility, generator)
        while True:
            yield torch.cat([next(attacks), len(self.removal) + next(others)])


@dataclass(frozen=True)
class Outcome:
    """Losses of one batch.

    Attributes:
        removal: Scalar, nats per answer token.
        utility: Scalar, nats per answer token.
        removed: Boolean [removal rows], which attacks get the expected answer greedily; of open
            ones, the token that decides.
    """

    removal: Tensor
    utility: Tensor
    removed: Tensor

    def loss(self, utility_weight: float) -> Tensor:
        """The scalar to minimise."""
        return self.removal + utility_weight * self.utility

    def values(self) -> dict[str, float]:
        """Both losses as numbers, by name."""
        return {"removal": self.removal.item(), "utility": self.utility.item()}


def learn_from(
    model: GatedModel,
    data: TrainingRows,
    picks: Tensor,
    mask: Tensor,
    ablation: Ablation,
    *,
    utility_weight: float,
) -> tuple[Tensor, Outcome]:
    """The gradient of removal + utility_weight * utility in the mask, and the losses.

    The batch is run in pieces of at most `model.micro_batch` rows, one after the other, so that
    activations of one piece at a time are kept.  Pieces count by their answer tokens: the gradient
    is that of the batch as a whole.

    Args:
        model: The model.
        data: Where rows are picked from.
        picks: [rows] indices into `data.rows`, attack rows first, at least one of each role.
        mask: [rows units], or [1 units] for all rows, on the model's device.
        ablation: What ablated units are replaced by.
        utility_weight: Weight of the utility.

    Returns:
        The gradient, of the mask's shape, and the losses without a graph.
    """
    leaf = mask.detach().requires_grad_()
    gradient = torch.zeros_like(leaf)
    roles = _Roles.of(data, picks)
    whole: list[Outcome] = []
    for part in torch.arange(len(picks)).split(model.micro_batch or len(picks)):
        rows = leaf if len(leaf) == 1 else leaf[part]
        outcome = measure_objective(model, data, picks[part], rows, ablation)
        removal, utility = roles.shares(part)
        outcome = replace(
            outcome, removal=outcome.removal * removal, utility=outcome.utility * utility
        )
        (piece,) = torch.autograd.grad(outcome.loss(utility_weight), leaf)
        gradient += piece
        whole.append(Outcome(outcome.removal.detach(), outcome.utility.detach(), outcome.removed))
    removal, utility = (
        torch.stack([getattr(outcome, name) for outcome in whole]).sum()
        for name in ("removal", "utility")
    )
    return gradient, Outcome(removal, utility, torch.cat([outcome.removed for outcome in whole]))


@dataclass(frozen=True)
class _Roles:
    """How many answer tokens [rows] of each role the rows of a batch have."""

    removal: Tensor
    utility: Tensor

    @classmethod
    def of(cls, data: TrainingRows, picks: Tensor) -> _Roles:
        tokens, attack = data.rows.predicts[picks].sum(1), picks < len(data.removal)
        return cls(tokens * attack, tokens * ~attack)

    def shares(self, part: Tensor) -> tuple[float, float]:
        """The part's share of the batch's answer tokens of either role."""
        return tuple(  # type: ignore[return-value]  # one share for each of the two
            float(tokens[part].sum() / tokens.sum()) for tokens in (self.removal, self.utility)
        )


def measure_objective(
    model: GatedModel, data: TrainingRows, picks: Tensor, mask: Tensor, ablation: Ablation
) -> Outcome:
    """One forward pass of a batch, differentiable in the mask.

    Args:
        model: The model.
        data: Where rows are picked from.
        picks: [rows] indices into `data.rows`; the loss of a role without rows is 0.
        mask: [rows units], or [1 units] for all rows: 1 ablates a unit, 0 keeps it.
        ablation: What ablated units are replaced by.
    """
    rows = data.rows.take(picks)
    gates = Gates.from_flat(1 - mask, model.space, ablation.reference(rows.keys.tolist()))
    log_probs = answer_log_probs(model, rows, gates)
    owner = rows.predicts.nonzero()[:, 0]
    is_attack = picks < len(data.removal)
    attack = is_attack[owner]
    targets = rows.targets[rows.predicts][attack].to(log_probs.device)
    decides = data.decides(picks[is_attack]).to(log_probs.device)
    costs = data.costs(log_probs[attack], targets, decides)
    wrong = data.mistakes(log_probs[attack], targets, decides).float()
    mistakes = torch.zeros(len(picks)).index_add_(0, owner[attack], wrong.cpu())
    intact = log_probs[:0].detach()
    if not is_attack.all():
        intact = data.teacher.log_probs(picks[~is_attack].tolist()).to(log_probs.device)
    kl = (intact.exp() * (intact - log_probs[~attack])).sum(-1)
    return Outcome(_mean(costs), _mean(kl), mistakes[is_attack] == 0)


def _deciding(model: GatedModel, attacks: Sequence[Prompt]) -> list[int]:
    """The place of the first token in which the right answer to each attack is not its target."""
    found: list[int] = []
    for prompt in attacks:
        right, wanted = (
            model.answer_tokens(text, longest=REMOVAL_TOKENS)
            for text in (answer_after(prompt), prompt.target or "")
        )
        pairs = enumerate(zip(right, wanted, strict=False))
        found.append(next((place for place, (one, other) in pairs if one != other), 0))
    return found


def _refusals(model: GatedModel, behaviour: Behaviour) -> Tensor | None:
    """The tokens that the intact model's refusals begin with, where its answers are open."""
    benign = [prompt.answer for prompt in behaviour.prompts("train", "benign")]
    if behaviour.kind != "refusal" or not are_open(benign):
        return None
    said = [prompt.answer for prompt in behaviour.prompts("train", "attack")]
    firsts = Counter(model.answer_tokens(answer)[0] for answer in said)
    least = LEAST_COMMON * len(said)
    return torch.tensor(sorted(token for token, count in firsts.items() if count >= least))


def _place_in_answer(owner: Tensor) -> Tensor:
    """The place of each token in its row's answer, from the row [tokens] that owns each."""
    counts = torch.unique_consecutive(owner, return_counts=True)[1]
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.arange(len(owner), device=owner.device) - starts


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 of nothing."""
    return values.mean() if len(values) else values.sum()


def shuffled_picks(n: int, rows: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless picks of `rows` of n, each used once before any is used again."""
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < rows:
            queue = torch.cat([queue, torch.randperm(n, generator=generator)])
        yield queue[:rows]
        queue = queue[rows:]


def answer_after(prompt: Prompt) -> str:
    """The answer expected to an attack once the behaviour is gone."""
    return prompt.after if prompt.after is not None else prompt.answer
