"""One unit at a time: ablate each alone and see how far the answer moves.

With b the answer that shows the behaviour, a the answer expected once it is gone, and log p the
mean log-probability per answer token under teacher forcing, a unit scores

    score_u = mean over attacks of change of (log p(a) - log p(b))  -  weight * KL on benign answers

where change compares the model with the unit ablated to the intact one.  The difference of two
log-probabilities is the logit difference that Wang et al. (2022, arXiv:2211.00593, section 3)
measure knock-outs by; the KL is the harm done, as in `measure_objective`.

Exhaustive, and blind to units that matter only together: where two heads can each do the work,
ablating either changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.masks import UnitGroups
from circuitviz.discovery.objective import answer_after
from circuitviz.models.ablation import Ablation
from circuitviz.models.answer import BATCH_TOKENS, AnswerRows, encode_answers, intact_log_probs
from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity


@dataclass(frozen=True)
class SingleUnitLearner:
    """Score every unit, or block, by what ablating it alone does.

    Attributes:
        attacks: Attack prompts, drawn by the seed, in turn from every category.
        benign: Benign prompts, likewise.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
    """

    attacks: int = 8
    benign: int = 8
    utility_weight: float = 3.0

    def learn(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        *,
        ablation: Ablation,
        seed: int,
        granularity: Granularity = "both",
        watch: Watch = watch_nothing,
    ) -> LearnedScores:
        """Score every unit from training prompts only; see `Learner`."""
        units = UnitGroups(model.space, granularity)
        questions = self._questions(model, behaviour, torch.Generator().manual_seed(seed))
        counts = [max(1, BATCH_TOKENS // question.length) for question in questions]
        steps = sum(-(-len(units) // count) for count in counts)
        total = torch.zeros(len(units))
        scores = units.spread(total.numpy())
        step = 0
        for question, count in zip(questions, counts, strict=True):
            for part in torch.arange(len(units)).split(count):
                mask = torch.zeros(len(part), len(units))
                mask[torch.arange(len(part)), part] = 1
                total[part] += question.ask(model, units.expand(mask), ablation)
                step += 1
                scores = units.spread(total.numpy())
                watch(LearningStep(step, {}, scores, steps))
        return LearnedScores(scores)

    def _questions(
        self, model: GatedModel, behaviour: Behaviour, generator: torch.Generator
    ) -> list[_Question]:
        """Every message with an answer to score, intact, and its share of the score."""
        attacks = _some(behaviour.prompts("train", "attack"), self.attacks, generator)
        benign = _some(behaviour.prompts("train", "benign"), self.benign, generator)
        asked = [prompt.asked for prompt in attacks]
        plain = [prompt.text for prompt in benign]
        after = [answer_after(prompt) for prompt in attacks]
        whole = not behaviour.spec.after_is_opening
        shown = [_shown(behaviour, prompt) for prompt in attacks]
        harm = -self.utility_weight / len(benign)
        return [
            *_Question.each(model, asked, after, weight=1 / len(attacks), complete=whole),
            *_Question.each(model, asked, shown, weight=-1 / len(attacks), complete=False),
            *_Question.each(model, plain, [p.answer for p in benign], weight=harm, benign=True),
        ]


@dataclass(frozen=True)
class _Question:
    """One message with one answer.

    Attributes:
        row: Both, tokenised; a single row.
        intact: Log-probabilities [answer tokens, d_vocab] of the intact model.
        weight: Of what `ask` measures, in the score.
        benign: Whether any change is harm; otherwise the change is that of the answer itself.
    """

    row: AnswerRows
    intact: Tensor
    weight: float
    benign: bool

    @classmethod
    def each(
        cls,
        model: GatedModel,
        messages: list[str],
        answers: list[str],
        *,
        weight: float,
        complete: bool = True,
        benign: bool = False,
    ) -> list[_Question]:
        """Every message with its answer (or the beginning of it), all of one weight."""
        rows = encode_answers(model, messages, answers, complete=complete)
        intact = intact_log_probs(model, rows)
        picks = torch.arange(len(rows))[:, None]
        return [cls(rows.take(pick), intact[int(pick)], weight, benign) for pick in picks]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return int(self.row.lengths[0])

    @torch.no_grad()
    def ask(self, model: GatedModel, mask: Tensor, ablation: Ablation) -> Tensor:
        """What masks [masks units] do to the answer, times its weight: [masks], nats per token."""
        gates = Gates.from_flat(1 - mask, model.space, ablation.reference(self.row.keys.tolist()))
        logits = model.logits(self.row.tokens.expand(len(mask), -1), gates)
        log_probs = logits[:, self.row.predicts[0]].float().log_softmax(-1)
        change = log_probs.cpu() - self.intact
        if self.benign:
            return -self.weight * (self.intact.exp() * change).sum(-1).mean(-1)
        targets = self.row.targets[self.row.predicts]
        return self.weight * change[:, torch.arange(len(targets)), targets].mean(-1)


def _some(prompts: list[Prompt], count: int, generator: torch.Generator) -> list[Prompt]:
    """Prompts drawn in turn from each category: a unit may serve one of them alone."""
    groups: dict[str, list[Prompt]] = {}
    for place in torch.randperm(len(prompts), generator=generator).tolist():
        groups.setdefault(prompts[place].category, []).append(prompts[place])
    rounds = zip_longest(*groups.values())
    return [prompt for turn in rounds for prompt in turn if prompt is not None][:count]


def _shown(behaviour: Behaviour, prompt: Prompt) -> str:
    """The answer that shows the behaviour: the attack's target, or else the refusal."""
    shown = prompt.target if behaviour.kind == "backdoor" else prompt.answer
    return prompt.answer if shown is None else shown
