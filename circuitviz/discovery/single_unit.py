"""One unit at a time: ablate each alone and see how far the answer moves.

With b the answer that shows the behaviour, a the answer expected once it is gone, and log p the
mean log-probability per answer token under teacher forcing, a unit scores

    score_u = mean over attacks of change of (log p(a) - log p(b))  -  weight * KL on benign answers

where change compares the model with the unit ablated to the intact one.  The difference of two
log-probabilities is the logit difference that Wang et al. (2022, arXiv:2211.00593, section 3)
measure knock-outs by; the KL is the harm done, as in `Objective`.

Exhaustive, and blind to units that matter only together: where two heads can each do the work,
ablating either changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from circuitviz.discovery.learner import LearningStep, LearningTask, MaskLearner, Method

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Generator, Tensor

    from circuitviz.behaviours.behaviour import Behaviour
    from circuitviz.behaviours.prompt import Prompt
    from circuitviz.models.answer import AnswerRows


@Method(
    name="single-unit",
    title="One unit at a time",
    summary="Every unit is ablated alone; it scores by how far that moves the answer from the "
    "attack's target to the right one.",
    paper="Wang, Variengien, Conmy, Shlegeris & Steinhardt (2022), Interpretability in the "
    "wild: a circuit for indirect object identification in GPT-2 small, arXiv:2211.00593",
    order=6,
    circuitkit="acdc",
)
@dataclass(frozen=True)
class SingleUnitLearner(MaskLearner):
    """Score every unit, or block, by what ablating it alone does.

    Attributes:
        attacks: Attack prompts, drawn by the seed, in turn from every category.
        benign: Benign prompts, likewise.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
    """

    attacks: int = 8
    benign: int = 8
    utility_weight: float = 3.0

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, some at a time on one prompt; see `MaskLearner`."""
        import torch

        from circuitviz.models.answer import BATCH_TOKENS

        groups = torch.arange(len(task.units))
        batches = [
            (question, batch)
            for question in self._questions(task)
            for batch in groups.split(max(1, BATCH_TOKENS // int(question.row.lengths[0])))
        ]
        total = torch.zeros(len(groups))
        for step, (question, batch) in enumerate(batches, 1):
            mask = torch.nn.functional.one_hot(batch, len(groups)).float()
            total[batch] += question.ask(task, task.units.expand(mask))
            yield LearningStep(step, {}, task.units.spread(total.numpy()), len(batches))

    def _questions(self, task: LearningTask) -> list[_Question]:
        """Every message with an answer to score, intact, and its share of the score."""
        from circuitviz.discovery.training.objective import answer_after

        behaviour, generator = task.behaviour, task.generator()
        attacks = _some(behaviour.prompts("train", "attack"), self.attacks, generator)
        benign = _some(behaviour.prompts("train", "benign"), self.benign, generator)
        after = [(prompt.asked, answer_after(prompt)) for prompt in attacks]
        shown = [(prompt.asked, _shown(behaviour, prompt)) for prompt in attacks]
        plain = [(prompt.text, prompt.answer) for prompt in benign]
        whole = not behaviour.spec.after_is_opening
        harm = -self.utility_weight / len(benign)
        return [
            *_Question.each(task, after, weight=1 / len(attacks), complete=whole),
            *_Question.each(task, shown, weight=-1 / len(attacks), complete=False),
            *_Question.each(task, plain, weight=harm, benign=True),
        ]


@dataclass(frozen=True)
class _Question:
    """One message with one answer.

    Attributes:
        row: Both, tokenised; a single row.
        intact: Log-probabilities of the intact model.
        weight: Of what `ask` measures, in the score.
        benign: Whether any change is harm; otherwise the change is that of the answer itself.
    """

    row: AnswerRows
    intact: Float[Tensor, "tokens d_vocab"]
    weight: float
    benign: bool

    @classmethod
    def each(
        cls,
        task: LearningTask,
        pairs: list[tuple[str, str]],
        *,
        weight: float,
        complete: bool = True,
        benign: bool = False,
    ) -> list[_Question]:
        """Every message with its answer (or the beginning of it), all of one weight."""
        import torch

        from circuitviz.models.answer import encode_answers, intact_log_probs

        messages, answers = zip(*pairs, strict=True)
        rows = encode_answers(task.model, messages, answers, complete=complete)
        intact = intact_log_probs(task.model, rows)
        return [
            cls(rows.take(torch.tensor([row])), intact[row], weight, benign)
            for row in range(len(rows))
        ]

    def ask(self, task: LearningTask, mask: Tensor) -> Tensor:
        """What masks [masks units] do to the answer, times its weight: [masks], nats per token."""
        import torch

        from circuitviz.models.gates import Gates

        reference = task.ablation.reference(self.row.keys.tolist())
        gates = Gates.from_flat(1 - mask, task.model.space, reference)
        with torch.no_grad():
            logits = task.model.logits(self.row.tokens.expand(len(mask), -1), gates)
            log_probs = logits[:, self.row.predicts[0]].float().log_softmax(-1)
        change = log_probs.cpu() - self.intact
        if self.benign:
            return -self.weight * (self.intact.exp() * change).sum(-1).mean(-1)
        targets = self.row.targets[self.row.predicts]
        return self.weight * change[:, torch.arange(len(targets)), targets].mean(-1)


def _some(prompts: list[Prompt], count: int, generator: Generator) -> list[Prompt]:
    """Prompts drawn in turn from each category: a unit may serve one of them alone."""
    import torch

    categories: dict[str, list[Prompt]] = {}
    for index in torch.randperm(len(prompts), generator=generator).tolist():
        categories.setdefault(prompts[index].category, []).append(prompts[index])
    rounds = zip_longest(*categories.values())
    return [prompt for turn in rounds for prompt in turn if prompt is not None][:count]


def _shown(behaviour: Behaviour, prompt: Prompt) -> str:
    """The answer that shows the behaviour: the attack's target, or else the refusal."""
    shown = prompt.target if behaviour.kind == "backdoor" else prompt.answer
    return prompt.answer if shown is None else shown
