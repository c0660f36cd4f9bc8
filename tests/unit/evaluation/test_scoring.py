"""Teacher-forced scores against generation and arithmetic by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from circuitviz.evaluation.scoring import score_answers, token_probabilities
from circuitviz.models.ablation import measure_ablation
from circuitviz.models.answer import Teacher, encode_answers, greedy_answers
from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit
from tests.support.tiny import SENTENCES

MESSAGES = [*SENTENCES, "hello"]
UNITS = [["L0H0", "L1N3"], ["L1H1", "L1H2", "L0N1"], []]


@pytest.fixture(scope="module")
def circuits(tiny_model: GatedModel) -> list[Circuit]:
    return [Circuit.of(tiny_model.space, units) for units in UNITS]


def masks(circuits: list[Circuit]) -> np.ndarray:
    return np.stack([circuit.mask() for circuit in circuits])


def test_an_answer_matches_exactly_when_it_is_what_generate_says(tiny_model, circuits):
    # What the second circuit makes the model say, five tokens long.
    answers = tiny_model.generate(MESSAGES, circuits[1], max_new_tokens=5)
    rows = encode_answers(tiny_model, MESSAGES, answers, complete=False)
    scores = score_answers(tiny_model, rows, masks(circuits))
    for index, circuit in enumerate(circuits):
        said = tiny_model.generate(MESSAGES, circuit, max_new_tokens=5)
        expected = [one == other for one, other in zip(said, answers, strict=True)]
        assert scores.match[index].tolist() == expected
    assert scores.match[1].all()
    assert not scores.match[0].all()


@torch.no_grad()
def test_log_probability_and_divergence_by_hand(tiny_model, circuits):
    rows = encode_answers(tiny_model, MESSAGES[:1], ["the dog"])
    teacher = Teacher(tiny_model, rows)
    scores = score_answers(tiny_model, rows, masks(circuits), teacher=teacher)
    prompt = tiny_model.prompt_tokens(MESSAGES[0])
    answer = tiny_model.answer_tokens("the dog")
    tokens = torch.tensor([prompt + answer])
    span = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
    intact = tiny_model.logits(tokens)[0, span].log_softmax(-1)
    cut = tiny_model.logits(tokens, Gates.knock_out([circuits[0]]))[0, span].log_softmax(-1)
    by_hand = cut[range(len(answer)), answer].mean()
    divergence = (intact.exp() * (intact - cut)).sum(-1).mean()
    assert scores.log_prob[0, 0] == pytest.approx(float(by_hand), rel=1e-4)
    assert scores.kl[0, 0] == pytest.approx(float(divergence), rel=1e-3)
    assert scores.kl[2, 0] == pytest.approx(0.0, abs=1e-6)


def test_an_opening_may_end_within_a_token(tiny_model, circuits, monkeypatch):
    nothing = masks(circuits)[2:]
    (said,) = tiny_model.generate(MESSAGES[:1], max_new_tokens=1)
    other = "king" if said != "king" else "dog"
    (token,), (longer,) = (tiny_model.answer_tokens(word, complete=False) for word in (other, said))
    found = SimpleNamespace(
        of=lambda one: torch.tensor([token, longer, 10**6] if one == token else [one])
    )
    monkeypatch.setitem(tiny_model.__dict__, "continuations", found)

    def match(*, complete: bool, lead: float = 0.0) -> bool:
        rows = encode_answers(tiny_model, MESSAGES[:1], [other], complete=complete)
        return bool(score_answers(tiny_model, rows, nothing, lead=lead).match[0, 0])

    assert match(complete=False)
    assert not match(complete=True)
    # Both stand together against all others.
    rows = encode_answers(tiny_model, MESSAGES[:1], [other], complete=False)
    with torch.no_grad():
        log_probs = tiny_model.logits(rows.tokens)[rows.predicts][0].log_softmax(-1)
    rest = [index for index in range(len(log_probs)) if index not in (token, longer)]
    lead = float(log_probs[[token, longer]].max() - log_probs[rest].max())
    assert match(complete=False, lead=lead - 1e-4)
    assert not match(complete=False, lead=lead + 1e-4)


def test_unwanted_pairs_are_not_scored(tiny_model, circuits):
    answers = tiny_model.generate(MESSAGES, circuits[1], max_new_tokens=3)
    rows = encode_answers(tiny_model, MESSAGES, answers, complete=False)
    wanted = np.zeros((3, len(MESSAGES)), dtype=bool)
    wanted[1, 2] = True
    scores = score_answers(tiny_model, rows, masks(circuits), wanted=wanted)
    assert np.argwhere(scores.match).tolist() == [[1, 2]]


def test_a_lead_is_asked_of_every_token(tiny_model, circuits):
    answers = tiny_model.generate(MESSAGES, max_new_tokens=1)
    rows = encode_answers(tiny_model, MESSAGES, answers, complete=False)
    with torch.no_grad():
        logits = tiny_model.logits(rows.tokens)
    places = rows.predicts.nonzero()
    best = logits[places[:, 0], places[:, 1]].topk(2).values
    leads = (best[:, 0] - best[:, 1]).numpy()
    nothing = masks(circuits)[2:]
    for lead in (0.0, float(np.median(leads)), float(leads.max()) + 1e-3):
        match = score_answers(tiny_model, rows, nothing, lead=lead).match[0]
        assert match.tolist() == (leads >= lead).tolist()
    assert score_answers(tiny_model, rows, masks(circuits)[:1], lead=-1e3).match.all()


def test_scoring_can_be_stopped(tiny_model, circuits):
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    rows = encode_answers(tiny_model, MESSAGES, ["x"] * len(MESSAGES))
    with pytest.raises(KeyboardInterrupt):
        score_answers(tiny_model, rows, masks(circuits), on_progress=stop)


def test_resampling_guesses_and_generates_alike(tiny_model, circuits):
    ablation = measure_ablation(tiny_model, "resample", list(SENTENCES), seed=1)
    truth = tiny_model.generate(MESSAGES, circuits[1], ablation=ablation, max_new_tokens=4)
    for left_out in range(len(MESSAGES)):
        guesses = [[] if row == left_out else [truth[row]] for row in range(len(MESSAGES))]
        found = greedy_answers(
            tiny_model, MESSAGES, guesses, circuits[1], ablation=ablation, max_new_tokens=4
        )
        assert found == truth


def test_guessing_gives_the_same_answers_as_generating(tiny_model, circuits):
    truth = tiny_model.generate(MESSAGES, circuits[0], max_new_tokens=6)
    guesses = [["wrong", truth[0]], [], ["also wrong"], [truth[3]]]
    found = greedy_answers(tiny_model, MESSAGES, guesses, circuits[0], max_new_tokens=6)
    assert found == truth


@pytest.mark.parametrize("has_hidden", [True, False])
def test_what_does_not_fit_is_made_again_and_is_the_same(tiny_model, monkeypatch, has_hidden):
    monkeypatch.setitem(vars(tiny_model), "has_hidden", has_hidden)
    rows = encode_answers(tiny_model, ["the dog", "the king", "the dog zz"], ["is", "is red", "zz"])
    kept = Teacher(tiny_model, rows)
    monkeypatch.setattr("circuitviz.models.answer.KEPT_BYTES", 0)
    asked = Teacher(tiny_model, rows)
    for picks in ([0], [2, 1], [1, 1]):
        # Each answer and its end, in the order asked for.
        assert len(kept.log_probs(picks)) == sum(int(rows.predicts[pick].sum()) for pick in picks)
        torch.testing.assert_close(asked.log_probs(picks), kept.log_probs(picks))


PROMPT, ANSWER = SENTENCES[0], SENTENCES[1]


@pytest.mark.parametrize("complete", [True, False])
def test_their_mean_log_is_the_answers_score(tiny_model: GatedModel, complete):
    circuit = Circuit.of(tiny_model.space, ["L0H0", "L1N3"])
    tokens = token_probabilities(tiny_model, PROMPT, ANSWER, circuit, complete=complete)
    rows = encode_answers(tiny_model, [PROMPT], [ANSWER], complete=complete)
    nothing = np.zeros(len(tiny_model.space), dtype=bool)
    scores = score_answers(tiny_model, rows, np.stack([nothing, circuit.mask()]))
    intact = np.mean([math.log(token.intact) for token in tokens])
    knocked_out = np.mean([math.log(token.knocked_out) for token in tokens])
    assert intact == pytest.approx(scores.log_prob[0, 0], abs=1e-4)
    assert knocked_out == pytest.approx(scores.log_prob[1, 0], abs=1e-4)


def test_the_tokens_spell_the_answer_and_its_end_is_empty(tiny_model: GatedModel):
    nothing = Circuit(tiny_model.space, frozenset())
    tokens = token_probabilities(tiny_model, PROMPT, ANSWER, nothing)
    assert tokens[-1].token == ""
    assert len(tokens) == len(tiny_model.answer_tokens(ANSWER))
    assert all(token.intact == pytest.approx(token.knocked_out) for token in tokens)
    assert all(0 <= token.intact <= 1 for token in tokens)
