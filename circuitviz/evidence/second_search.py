"""Two controls that search again where nothing may be found: a nonsense target, and random weights.

The same method must not find units that make attacks get one nonsense answer. A method that could,
at the same size, would show that masks can write answers into this model, and that reaching the
target proves little about where the behaviour is.

Nor may anything be found in a model whose weights know nothing. Masks alone can compute things:
with the right subset of random weights a network does well on tasks it was never trained for (Zhou
et al. 2019, arXiv:1905.01067; Ramanujan et al. 2020, arXiv:1911.13299). If masks did that here,
what they find in the real model would be theirs too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import torch

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.evaluation.effect import Effect, Target
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.results import (
    NonsenseCut,
    NonsenseResult,
    RandomWeightsResult,
    WeightsCut,
)
from circuitviz.evidence.case import Case
from circuitviz.models.ablation import measure_ablation
from circuitviz.models.model import GatedModel
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit


def nonsense_cut(size: int, effect: Effect, intact: Effect, target: Target) -> NonsenseCut:
    """What one size of the circuit learned for the nonsense does, by the discovery's target.

    The nonsense has to come as often as the right answer has to come again for a backdoor (its
    recovery), or as a refusal has to give way (its ASR), with the same utility kept.
    """
    needed = target.recovery if target.kind == "backdoor" else target.asr
    retention = effect.retention(intact)
    return NonsenseCut(
        size=size,
        success=effect.recovery,
        utility_retention=retention,
        reached=effect.recovery.rate >= needed and retention >= target.utility,
    )


def ask_for_nonsense(case: Case, on_progress: OnProgress = unwatched) -> NonsenseResult | None:
    """Look for a circuit whose removal makes attacks get a nonsense answer; None without one."""
    answer = nonsense_answer(case.behaviour, case.seed)
    if answer is None:
        return None
    wanted = with_answer(case.behaviour, answer)
    ranking = case.learn_again(case.model, wanted, case.ablation, on_progress)
    circuits = case.cuts(ranking)
    probe = Evaluator(case.model, wanted, "test", ablation=case.ablation)
    nothing = Circuit(case.model.space, frozenset())
    intact, *effects = probe.effects([nothing, *circuits], on_progress=lambda _: on_progress(1.0))
    cut, before = (
        nonsense_cut(len(circuit), effect, intact, case.target)
        for circuit, effect in zip(circuits, effects, strict=True)
    )
    return NonsenseResult(
        answer=answer,
        size=cut.size,
        success=cut.success,
        utility_retention=cut.utility_retention,
        reached=cut.reached or before.reached,
        before_refinement=before,
        shown=before if before.reached and not cut.reached else cut,
    )


def nonsense_answer(behaviour: Behaviour, seed: int) -> str | None:
    """A fluent answer that is right for no attack: that of a benign training prompt.

    None where every such answer is one that some attack of any split may get.
    """
    taken = {
        text
        for prompt in behaviour.all_prompts
        if prompt.role == "attack"
        for text in (prompt.answer, prompt.target, prompt.after)
        if text
    }
    targets = tuple(
        prompt.target
        for prompt in behaviour.all_prompts
        if prompt.role == "attack" and prompt.target
    )
    answers = {prompt.answer for prompt in behaviour.prompts("train", "benign")} - taken
    usable = sorted(answer for answer in answers if not answer.startswith(targets))
    return random.Random(seed).choice(usable) if usable else None


def with_answer(behaviour: Behaviour, answer: str) -> Behaviour:
    """The behaviour with this as the answer that every attack should get once it is gone.

    Where refusing is what must end, it is also what the attack wants.
    """
    changed = (
        {"after": answer} if behaviour.kind == "backdoor" else {"after": answer, "target": answer}
    )
    return replace(
        behaviour,
        all_prompts=tuple(
            replace(prompt, **changed) if prompt.role == "attack" else prompt
            for prompt in behaviour.all_prompts
        ),
    )


# Share of benign prompts answered rightly from which a shuffled model has utility to lose: below,
# a few lucky answers would decide whether it was kept.
MIN_UTILITY = 0.1


def weights_cut(size: int, effect: Effect, intact: Effect, target: Target) -> WeightsCut:
    """What one size of the circuit learned in shuffled weights does, by the discovery's target.

    A shuffled model that gets hardly any benign prompt right has no utility to lose: there the
    behaviour alone decides, or this control could not fail.
    """
    if intact.utility.rate >= MIN_UTILITY:
        reached = target.met(effect, intact)
    else:
        reached = target.shortfall(effect) <= 0 and target.recovered(effect)
    return WeightsCut(size=size, effect=effect.rates(intact), reached=reached)


def try_random_weights(
    case: Case, load: Callable[[], GatedModel], on_progress: OnProgress = unwatched
) -> RandomWeightsResult:
    """Look for the behaviour in a model of the same make-up whose weights are shuffled.

    Args:
        case: The discovery.
        load: Gives a copy of its model whose weights may be changed.
        on_progress: Told the share that is done; may raise to stop.
    """
    on_progress(0.0)
    model = load()
    shuffle_weights(model, case.seed)
    ablation = measure_ablation(
        model, case.ablation.name, case.behaviour.neutral_messages, seed=case.seed
    )
    ranking = case.learn_again(model, case.behaviour, ablation, on_progress)
    circuits = case.cuts(ranking)
    probe = Evaluator(model, case.behaviour, "test", ablation=ablation)
    intact, *effects = probe.effects(
        [Circuit(model.space, frozenset()), *circuits], on_progress=lambda _: on_progress(1.0)
    )
    cut, before = (
        weights_cut(len(circuit), effect, intact, case.target)
        for circuit, effect in zip(circuits, effects, strict=True)
    )
    return RandomWeightsResult(
        size=cut.size,
        effect=cut.effect,
        reached=cut.reached or before.reached,
        intact=intact.rates(intact),
        before_refinement=before,
        shown=before if before.reached and not cut.reached else cut,
    )


@torch.no_grad()
def shuffle_weights(model: GatedModel, seed: int) -> None:
    """Shuffle every matrix but those of the vocabulary entry by entry, in place.

    Each keeps the distribution of its entries, so activations keep their scale, and loses
    everything else.  Vectors (norms, biases) and embeddings stay: words remain words.
    """
    generator = torch.Generator().manual_seed(seed)
    for weight in model.bridge.parameters():
        if weight.ndim >= 2 and model.bridge.cfg.d_vocab not in weight.shape:
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
