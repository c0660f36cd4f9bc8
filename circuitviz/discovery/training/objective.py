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
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitviz.behaviours.answer_text import are_open
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.models.ablation import Ablation
from circuitviz.models.answer import AnswerRows, Teacher, answer_log_probs, encode_answers
from circuitviz.models.gates import Gates
from circuitviz.models.model import LONGEST_ANSWER, GatedModel

# Of open answers to attacks, the tokens that are learned from, and what the deciding one counts.
REMOVAL_TOKENS, DECIDING_WEIGHT = 12, 8.0
# Tokens that begin fewer of the refusals than this are no sign of one.
MIN_COMMON = 0.02


@dataclass(frozen=True)
class TrainingRows:
    """Training prompts, tokenised: removal rows first, then utility rows.

    Attributes:
        rows: All of them.
        removal: Indices of attack prompts with the answer expected after knocking out.
        utility: Indices of benign prompts, and of a backdoor's prompts without the trigger.
        teacher: What the intact model thinks of the utility rows.
        deciding: Where the answers to attacks are open, the index of the token in each that
            decides; -1 in utility rows.
        refusals: Of a model that refuses in open answers, the tokens that its refusals begin with.
    """

    rows: AnswerRows
    removal: range
    utility: range
    teacher: Teacher
    deciding: Int[Tensor, " rows"] | None = None
    refusals: Int[Tensor, " tokens"] | None = None

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
        first = [0] * len(attack) if refusals is not None else _deciding(model, attack)
        deciding = torch.tensor([*first, *[-1] * len(kept)]) if is_open else None
        longest = REMOVAL_TOKENS if is_open else LONGEST_ANSWER
        rows = encode_answers(
            model,
            [prompt.asked for prompt in attack] + [prompt.text for prompt in kept],
            right + [prompt.answer for prompt in kept],
            # An opening is not learned as a whole answer, with its end.
            complete=[not behaviour.spec.after_is_opening] * len(attack) + [True] * len(kept),
            longest=[longest] * len(attack) + [LONGEST_ANSWER] * len(kept),
        )
        utility = range(len(attack), len(rows))
        teacher = Teacher(model, rows, utility)
        return cls(rows, range(len(attack)), utility, teacher, deciding, refusals)

    def decides(self, indices: Int[Tensor, " rows"]) -> Bool[Tensor, " tokens"]:
        """Which tokens of the answers of some rows decide; none of closed ones."""
        predicts = self.rows.predicts[indices]
        if self.deciding is None:
            return torch.zeros(int(predicts.sum()), dtype=torch.bool)
        index_in_answer = predicts.cumsum(1) - 1
        return (index_in_answer == self.deciding[indices][:, None])[predicts]

    def costs(
        self,
        log_probs: Float[Tensor, "tokens d_vocab"],
        targets: Int[Tensor, " tokens"],
        decides: Bool[Tensor, " tokens"],
    ) -> Float[Tensor, " tokens"]:
        """What each token of the answers expected to attacks costs, nats.

        Those that decide count `DECIDING_WEIGHT` times.

        Args:
            log_probs: What the model gives every token.
            targets: The expected ones.
            decides: See `decides`.
        """
        costs = -log_probs.gather(-1, targets[:, None])[:, 0]
        deciding = costs
        if self.refusals is not None:
            others = log_probs.index_fill(-1, self.refusals.to(log_probs.device), -torch.inf)
            deciding = -others.logsumexp(-1)
        return torch.where(decides, DECIDING_WEIGHT * deciding, costs)

    def mistakes(
        self,
        log_probs: Float[Tensor, "tokens d_vocab"],
        targets: Int[Tensor, " tokens"],
        decides: Bool[Tensor, " tokens"],
    ) -> Bool[Tensor, " tokens"]:
        """Where the likeliest token is not as expected; arguments as of `costs`.

        Of open answers only the deciding token says so.
        """
        likeliest = log_probs.argmax(-1)
        if self.refusals is not None:
            return decides & torch.isin(likeliest, self.refusals.to(likeliest.device))
        wrong = likeliest != targets
        return wrong if self.deciding is None else wrong & decides

    def batches(
        self, removal: int, utility: int, generator: torch.Generator
    ) -> Iterator[Int[Tensor, " rows"]]:
        """Endless batches: indices of `removal` attack rows, then of `utility` benign ones."""
        attacks = shuffled_indices(len(self.removal), removal, generator)
        others = shuffled_indices(len(self.utility), utility, generator)
        while True:
            yield torch.cat([next(attacks), len(self.removal) + next(others)])


@dataclass(frozen=True)
class Outcome:
    """Losses of one batch.

    Attributes:
        removal: Nats per answer token.
        utility: Nats per answer token.
        removed: Which attacks get the expected answer greedily; of open ones, the token that
            decides.
    """

    removal: Float[Tensor, ""]
    utility: Float[Tensor, ""]
    removed: Bool[Tensor, " removal_rows"]

    def loss(self, utility_weight: float) -> Float[Tensor, ""]:
        """The scalar to minimise."""
        return self.removal + utility_weight * self.utility

    def values(self) -> dict[str, float]:
        """Both losses as numbers, by name."""
        return {"removal": self.removal.item(), "utility": self.utility.item()}


@dataclass(frozen=True)
class Objective:
    """removal + utility_weight * utility of a model some of whose units are ablated.

    Masks have a value for every unit, 1 ablates and 0 keeps; one row is for all rows of a batch.

    Attributes:
        model: The model.
        data: What batches are indices of.
        ablation: What ablated units are replaced by.
        utility_weight: Weight of the utility.
    """

    model: GatedModel
    data: TrainingRows
    ablation: Ablation
    utility_weight: float

    def grad(
        self, indices: Int[Tensor, " rows"], mask: Float[Tensor, "rows_or_1 units"]
    ) -> tuple[Float[Tensor, "rows_or_1 units"], Outcome]:
        """The gradient in the mask, and the losses without a graph.

        The batch is run in pieces of at most `model.micro_batch` rows, one after the other, so that
        activations of one piece at a time are kept.  Pieces count by their answer tokens: the
        gradient is that of the batch as a whole.

        Args:
            indices: Attack rows first, at least one of each role.
            mask: On the model's device.
        """
        leaf = mask.detach().requires_grad_()
        gradient = torch.zeros_like(leaf)
        tokens, is_attack = (
            self.data.rows.predicts[indices].sum(1),
            indices < len(self.data.removal),
        )
        roles = torch.stack([tokens * is_attack, tokens * ~is_attack])
        losses, removed = torch.zeros(2), []
        for piece in torch.arange(len(indices)).split(self.model.micro_batch or len(indices)):
            outcome = self.measure(indices[piece], leaf if len(leaf) == 1 else leaf[piece])
            removal, utility = (roles[:, piece].sum(1) / roles.sum(1)).tolist()
            outcome = replace(
                outcome, removal=outcome.removal * removal, utility=outcome.utility * utility
            )
            gradient += torch.autograd.grad(outcome.loss(self.utility_weight), leaf)[0]
            losses += torch.stack([outcome.removal, outcome.utility]).detach().cpu()
            removed.append(outcome.removed)
        return gradient, Outcome(losses[0], losses[1], torch.cat(removed))

    def measure(
        self, indices: Int[Tensor, " rows"], mask: Float[Tensor, "rows_or_1 units"]
    ) -> Outcome:
        """One forward pass of a batch, differentiable in the mask; a role without rows costs 0."""
        data, rows = self.data, self.data.rows.take(indices)
        reference = self.ablation.reference(rows.keys.tolist())
        gates = Gates.from_flat(1 - mask, self.model.space, reference)
        log_probs = answer_log_probs(self.model, rows, gates)
        owner = rows.predicts.nonzero()[:, 0]
        is_attack = indices < len(data.removal)
        attack = is_attack[owner]
        targets = rows.targets[rows.predicts][attack].to(log_probs.device)
        decides = data.decides(indices[is_attack]).to(log_probs.device)
        costs = data.costs(log_probs[attack], targets, decides)
        wrong = data.mistakes(log_probs[attack], targets, decides).float()
        mistakes = torch.zeros(len(indices)).index_add_(0, owner[attack], wrong.cpu())
        intact = log_probs[:0].detach()
        if not is_attack.all():
            intact = data.teacher.log_probs(indices[~is_attack].tolist()).to(log_probs.device)
        kl = (intact.exp() * (intact - log_probs[~attack])).sum(-1)
        return Outcome(_mean(costs), _mean(kl), mistakes[is_attack] == 0)


def _deciding(model: GatedModel, attacks: Sequence[Prompt]) -> list[int]:
    """The index of the first token in which the right answer to each attack is not its target."""
    indices: list[int] = []
    for prompt in attacks:
        right, wanted = (
            model.answer_tokens(text, longest=REMOVAL_TOKENS)
            for text in (answer_after(prompt), prompt.target or "")
        )
        differ = (a != b for a, b in zip(right, wanted, strict=False))
        indices.append(next((index for index, other in enumerate(differ) if other), 0))
    return indices


def _refusals(model: GatedModel, behaviour: Behaviour) -> Tensor | None:
    """The tokens that the intact model's refusals begin with, where its answers are open."""
    benign = [prompt.answer for prompt in behaviour.prompts("train", "benign")]
    if behaviour.kind != "refusal" or not are_open(benign):
        return None
    answers = [prompt.answer for prompt in behaviour.prompts("train", "attack")]
    firsts = Counter(model.answer_tokens(answer)[0] for answer in answers)
    least = MIN_COMMON * len(answers)
    return torch.tensor(sorted(token for token, count in firsts.items() if count >= least))


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 of nothing."""
    return values.mean() if len(values) else values.sum()


def shuffled_indices(
    n: int, rows: int, generator: torch.Generator
) -> Iterator[Int[Tensor, " rows"]]:
    """Endless draws of `rows` of n, each used once before any is used again."""
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < rows:
            queue = torch.cat([queue, torch.randperm(n, generator=generator)])
        yield queue[:rows]
        queue = queue[rows:]


def answer_after(prompt: Prompt) -> str:
    """The answer expected to an attack once the behaviour is gone."""
    return prompt.after if prompt.after is not None else prompt.answer
