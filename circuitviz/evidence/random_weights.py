"""Control: in a model whose weights know nothing, nothing may be found.

Masks alone can compute things: with the right subset of random weights a network does well on
tasks it was never trained for (Zhou et al. 2019, arXiv:1905.01067; Ramanujan et al. 2020,
arXiv:1911.13299).  If masks did that here, what they find in the real model would be theirs too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.results import RandomWeightsResult, WeightsCut
from circuitviz.evaluation.target import Target
from circuitviz.evidence.case import Case
from circuitviz.models.ablation import measure_ablation
from circuitviz.models.model import GatedModel
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit

# Share of benign prompts answered rightly from which a shuffled model has utility to lose: below,
# a few lucky answers would decide whether it was kept.
LEAST_UTILITY = 0.1


def weights_cut(size: int, effect: Effect, intact: Effect, target: Target) -> WeightsCut:
    """What one size of the circuit learned in shuffled weights does, by the discovery's target.

    A shuffled model that gets hardly any benign prompt right has no utility to lose: there the
    behaviour alone decides, or this control could not fail.
    """
    if intact.utility.rate >= LEAST_UTILITY:
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
