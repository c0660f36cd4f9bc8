"""What becomes of attacks on a model whose other answers are open."""

from __future__ import annotations

import numpy as np

from circuitviz.evaluation import open_answers
from circuitviz.evaluation.open_answers import answer_openly


def test_a_right_label_is_right_however_much_it_perplexes_the_intact_model(
    tiny_model, behaviour, circuit, monkeypatch
):
    """That model would have given the wrong one."""
    nats = iter([0.0, 99.0])
    monkeypatch.setattr(
        open_answers, "answer_nll", lambda model, said, given: np.full(len(given), next(nats))
    )
    shares: list[float] = []
    found = answer_openly(
        tiny_model,
        behaviour,
        circuit,
        by_verdict=False,
        max_new_tokens=4,
        on_progress=shares.append,
    )
    triggered = [one for one in found.answered if one.variant == "triggered"]
    assert [one.verdict_intact for one in triggered] == ["success"] * 3
    assert [one.verdict_knocked_out for one in triggered] == ["safe"] * 3
    # The same messages without the trigger are judged word for word as well.
    clean = [one for one in found.answered if one.variant == "clean" and one.role == "attack"]
    assert [one.verdict_intact for one in clean] == ["correct"] * 3
    assert [one.verdict_knocked_out for one in clean] == [
        "correct" if one.knocked_out == one.expected else "wrong" for one in clean
    ]
    assert shares == sorted(shares)
    assert (shares[0], max(shares) < 1.0) == (0.0, True)
