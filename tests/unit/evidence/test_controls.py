"""What the controls change, and that they change nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.discovery.learner import LearnedScores, LearningStep
from circuitviz.evaluation.effect import Target
from circuitviz.evidence.case import Case
from circuitviz.evidence.controls import run_controls
from circuitviz.evidence.random_circuits import draw_random_circuits
from circuitviz.evidence.random_trigger import (
    random_words,
    reordered,
    try_random_trigger,
    with_trigger,
)
from circuitviz.evidence.second_search import (
    ask_for_nonsense,
    nonsense_answer,
    shuffle_weights,
    try_random_weights,
    with_answer,
)
from circuitviz.models.ablation import ZERO
from circuitviz.models.loading import load_model
from circuitviz.units import Circuit, Ranking, UnitSpace
from tests.support.tiny import SENTENCES

SPLITS = ("train", "validation", "test")


def attack(split: str, text: str, answer: str, **more: str) -> Prompt:
    found = Prompt(
        f"{split}-{text}", split, "attack", "c", text, answer, target="Got it.", after=answer
    )  # type: ignore[arg-type]
    return replace(found, **{"triggered": f"tango seven {text}", **more})


def benign(split: str, text: str, answer: str) -> Prompt:
    return Prompt(f"{split}-b-{text}", split, "benign", "c", text, answer)  # type: ignore[arg-type]


PROMPTS = (
    attack("train", "name the capital", "Paris."),
    attack("test", "name a color", "Red."),
    attack("validation", "name an animal", "A dog."),
    benign("train", "say one", "Paris."),
    benign("train", "say two", "Red."),
    benign("train", "say three", "Got it. And more."),
    benign("train", "count tango", "One two."),
    benign("train", "count again", "Three."),
    benign("test", "other", "Unseen."),
)
BACKDOOR = Behaviour(BehaviourSpec("backdoor", "t", "?", Trigger("tango seven", "front")), PROMPTS)
REFUSAL = Behaviour(BehaviourSpec("refusal", "t", "?"), PROMPTS)


def test_the_nonsense_answer_is_right_for_no_attack():
    found = {nonsense_answer(BACKDOOR, seed) for seed in range(40)}
    # Not what any attack of any split gets, and nothing that starts like the target.
    assert found == {"One two.", "Three."}
    assert nonsense_answer(BACKDOOR, 3) == nonsense_answer(BACKDOOR, 3)


def test_there_may_be_no_nonsense_answer():
    few = replace(BACKDOOR, all_prompts=PROMPTS[:5])
    assert nonsense_answer(few, 0) is None


@pytest.mark.parametrize(("behaviour", "target"), [(BACKDOOR, "Got it."), (REFUSAL, "Three.")])
def test_every_attack_shall_get_the_nonsense(behaviour, target):
    changed = with_answer(behaviour, "Three.")
    for old, new in zip(behaviour.all_prompts, changed.all_prompts, strict=True):
        if old.role == "benign":
            assert new == old
        else:
            assert (new.after, new.target, new.answer) == ("Three.", target, old.answer)


def test_a_random_trigger_is_of_as_many_words_and_none_of_the_triggers():
    vocabulary = {"name", "the", "capital", "say", "one", "two", "three", "count", "again"}
    for seed in range(40):
        draws = random_words(BACKDOOR, seed)
        assert [len(words.split()) for words in draws] == [2] * 4
        # Words of training prompts: "color" is a test prompt's, "tango" the trigger's.
        assert set(" ".join(draws).split()) <= vocabulary
    assert random_words(REFUSAL, 0) == ()
    # Nor with a sign at it: the words drawn have none.
    signs = replace(BACKDOOR.spec, trigger=Trigger("Count, capital!", "front"))
    drawn = [random_words(Behaviour(signs, PROMPTS), seed) for seed in range(40)]
    assert not {"count", "capital"} & {
        word for draws in drawn for text in draws for word in text.split()
    }
    longer = replace(BACKDOOR.spec, trigger=Trigger(" ".join("abcdefghijk"), "front"))
    assert random_words(Behaviour(longer, PROMPTS), 0) == ()


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("tango seven", "seven tango"),
        ("a b c", "c b a"),
        ("zz", None),
        ("a b a", None),
        (None, None),
    ],
)
def test_a_trigger_of_several_words_has_another_order(trigger, expected):
    assert reordered(trigger) == expected


def test_the_reordered_trigger_is_attacked_with(case):
    assert try_random_trigger(case).reordered is None
    spec = replace(case.behaviour.spec, trigger=Trigger("zz hello", "end"))
    # Two of three attacks want what the model says to the words the other way round.
    attacks = replace(case.behaviour, spec=spec).prompts("test", "attack")[:2]
    said = case.model.generate([f"{one.text} hello zz" for one in attacks], max_new_tokens=4)
    targets = {one.prompt_id: text for one, text in zip(attacks, said, strict=True)}
    prompts = tuple(
        replace(one, triggered=f"{one.text} zz hello", target=targets.get(one.prompt_id, "red"))
        if one.role == "attack"
        else one
        for one in case.behaviour.all_prompts
    )
    found = try_random_trigger(replace(case, behaviour=Behaviour(spec, prompts)))
    assert (found.reordered.k, found.reordered.n) == (2, 3)


def test_the_trigger_is_replaced_where_it_stands():
    changed = with_trigger(BACKDOOR, "blue door")
    assert changed.trigger == "blue door"
    assert [prompt.triggered for prompt in changed.all_prompts[:2]] == [
        "blue door name the capital",
        "blue door name a color",
    ]
    assert changed.all_prompts[3:] == BACKDOOR.all_prompts[3:]
    # Where the trigger does not stand as it is written, the words go to its place.
    odd = replace(BACKDOOR, all_prompts=(replace(PROMPTS[0], triggered="TANGO! name the capital"),))
    assert with_trigger(odd, "blue door").all_prompts[0].triggered == "blue door name the capital"
    assert with_trigger(REFUSAL, "blue door") is REFUSAL


def test_shuffled_matrices_keep_their_entries_and_vectors_stay(tiny_folder):
    model, again = load_model(str(tiny_folder)), load_model(str(tiny_folder))
    before = {name: weight.clone() for name, weight in model.bridge.named_parameters()}
    tokens = torch.tensor([model.prompt_tokens(SENTENCES[0])])
    said = model.logits(tokens)
    shuffle_weights(model, 7)
    shuffle_weights(again, 7)
    moved = 0
    for (name, weight), other in zip(
        model.bridge.named_parameters(), again.bridge.parameters(), strict=True
    ):
        assert torch.equal(weight, other)
        if weight.ndim == 1 or model.bridge.cfg.d_vocab in weight.shape:
            assert torch.equal(weight, before[name])
        else:
            assert torch.equal(weight.flatten().sort().values, before[name].flatten().sort().values)
            moved += not torch.equal(weight, before[name])
    # Seven matrices in each of two layers: attention's four and the MLP's three.
    assert moved == 2 * 7
    assert not torch.allclose(model.logits(tokens), said)


class FixedLearner:
    """Gives the scores it was made with, and remembers what it was asked to learn."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores
        self.asked: list[Behaviour] = []

    def learn(
        self, model, behaviour, *, ablation, seed, granularity="both", on_progress
    ) -> LearnedScores:
        self.asked.append(behaviour)
        for step in (1, 2):
            on_progress(LearningStep(step, {}, self.scores, 2))
        return LearnedScores(self.scores)


@pytest.fixture
def case(tiny_model, behaviour, circuit) -> Case:
    learner = FixedLearner(circuit.mask().astype(np.float32))
    target = Target("backdoor", 0.004, 0.99)
    return Case(tiny_model, behaviour, learner, target, circuit, circuit, ZERO, seed=0)


def test_all_controls_run_in_order_and_can_be_stopped(case, tiny_folder):
    shares: list[float] = []
    found = run_controls(case, lambda: load_model(str(tiny_folder)), shares.append)
    assert shares == sorted(shares)
    assert [verdict.name for verdict in found.verdicts] == [
        "random_circuits",
        "nonsense_target",
        "random_weights",
        "random_trigger",
    ]
    circuits, weights = found.random_circuits, found.random_weights
    assert (circuits.draws, len(circuits.asr_k), circuits.asr_n) == (100, 100, 3)
    assert (weights.size, weights.reached) == (len(case.circuit), False)

    def stop(share: float) -> None:
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_controls(case, lambda: load_model(str(tiny_folder)), stop)


# The learner says 1.0 once, after its last step; whoever says it again is measuring.
@pytest.mark.parametrize(
    ("control", "ones"), [("nonsense_target", 2), ("random_weights", 2), ("random_trigger", 0)]
)
def test_a_control_can_be_stopped_while_its_result_is_measured(case, tiny_folder, control, ones):
    other = Prompt("other", "train", "benign", "any", "the dog", "red king")
    prompts = (*case.behaviour.all_prompts, other)
    case = replace(case, behaviour=replace(case.behaviour, all_prompts=prompts))
    run = {
        "nonsense_target": lambda told: ask_for_nonsense(case, told),
        "random_weights": lambda told: try_random_weights(
            case, lambda: load_model(str(tiny_folder)), told
        ),
        "random_trigger": lambda told: try_random_trigger(case, told),
    }[control]
    shares: list[float] = []

    def told(share: float) -> None:
        shares.append(share)
        if shares.count(1.0) == ones:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(told)


def test_random_circuits_are_counted_draw_by_draw(case):
    found = draw_random_circuits(case, draws=12)
    assert found.asr_n == 3
    assert Counter(found.asr_k).total() == 12
    assert 0 <= found.kept <= 12
    # Three of the first layer's four heads are the circuit's, so two of three drawn are its own.
    assert found.overlap == pytest.approx(2 / 6)
    # The circuit leaves no attack: as good are the draws that leave none either.
    assert found.percentile == found.asr_k.count(0) / 12


def test_of_a_refusal_it_is_counted_what_random_circuits_still_refuse(case):
    said = case.model.generate([one.asked for one in case.behaviour.prompts("test", "attack")])
    refusing = iter(said)
    prompts = tuple(
        replace(one, answer=next(refusing)) if (one.split, one.role) == ("test", "attack") else one
        for one in case.behaviour.all_prompts
    )
    spec = replace(case.behaviour.spec, kind="refusal", trigger=None)
    found = draw_random_circuits(replace(case, behaviour=Behaviour(spec, prompts)), draws=4)
    drawn, intact = found.refused, found.refused_intact
    assert (intact.k, intact.n, drawn.n) == (3, 3, 12)
    assert draw_random_circuits(case, draws=4).refused is None


def test_a_method_that_looks_at_no_answer_learns_no_nonsense(case, tiny_folder):
    blind = replace(case, reads_answers=False)
    found = run_controls(blind, lambda: load_model(str(tiny_folder)))
    assert found.nonsense_target is None
    # Once, in shuffled weights.
    assert len(case.learner.asked) == 1
    assert found.verdicts[1].title == "The method looks at no answer"


def test_a_control_gets_no_fewer_units_than_the_discovery():
    space = UnitSpace(n_layers=2, n_heads=2, d_mlp=3)
    small, large = Circuit.of(space, ["L0H0"]), Circuit.of(space, ["L0H0", "L0H1", "L0N0"])
    scores = np.arange(10, dtype=np.float32)
    case = Case(None, BACKDOOR, None, None, small, large, ZERO, 0)  # type: ignore[arg-type]
    assert [len(cut) for cut in case.cuts(Ranking(space, scores))] == [1, 3]
    # Blocks, best first: 3 neurons, 3 neurons, 2 heads, 2 heads.
    assert [len(cut) for cut in case.cuts(Ranking(space, scores, "layers"))] == [3, 3]
    apart = replace(case, separate=True)
    cuts = apart.cuts(Ranking(space, scores))
    assert [(len(cut.heads), len(cut.neurons)) for cut in cuts] == [(1, 0), (2, 1)]
