"""Answers of a model, token by token, and what it makes of given ones; asked for now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from circuitviz.plots.token_charts import TOKEN_COLUMNS
from circuitviz.runs.config import AblationKind, DiscoveryConfig
from circuitviz.runs.store import GENERATION_COLUMNS, Run
from circuitviz.ui.live import live_model
from circuitviz.ui.live.live_model import CONFIG_HASH, config_key
from circuitviz.units import Circuit

# Answers that are kept; asked for again, they are there at once.
MOST_KEPT = 256
Names = tuple[str, ...] | None


@dataclass(frozen=True)
class Kept:
    """An answer, and whether it was cut at the most tokens that are said."""

    text: str
    cut: bool


def stream(
    run: Run, prompt: str, circuit: Circuit | None, ablation: AblationKind | None = None
) -> Iterator[str]:
    """The model's greedy answer so far, after each token; with a circuit knocked out or intact.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    config = live_model.ablated_by(run, ablation if circuit else None)
    key, kept = _key(config, prompt, circuit), _kept()
    if key in kept:
        yield kept[key].text
        return
    text, said = "", 0
    # Closed at once when the page is drawn anew half-way: others wait for the model.
    with closing(_tokens(config, prompt, circuit)) as texts:
        for answer in texts:
            # The end of an answer adds nothing to it.
            said += answer != text
            text = answer
            yield text
    kept[key] = Kept(text, cut=said >= live_model.ANSWER_TOKENS)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)


def cut_off(
    run: Run, prompt: str, circuit: Circuit | None, ablation: AblationKind | None = None
) -> bool:
    """Whether an answer that `stream` gave stops for its length and not because it ends."""
    config = live_model.ablated_by(run, ablation if circuit else None)
    kept = _kept().get(_key(config, prompt, circuit))
    return kept is not None and kept.cut


def _key(config: DiscoveryConfig, prompt: str, circuit: Circuit | None) -> tuple[str, str, Names]:
    return config_key(config), prompt, _names(circuit)


def _tokens(
    config: DiscoveryConfig, prompt: str, circuit: Circuit | None
) -> Generator[str, None, None]:
    from circuitviz.models.model import stream_answer

    with live_model.model_at_work(config) as (model, ablation):
        yield from stream_answer(
            model,
            prompt,
            circuit,
            ablation=ablation,
            max_new_tokens=live_model.ANSWER_TOKENS,
        )


@st.cache_resource(show_spinner=False)
def _kept() -> OrderedDict[tuple[str, str, Names], Kept]:
    return OrderedDict()


def token_frame(
    run: Run,
    prompt: str,
    answers: dict[str, str],
    circuit: Circuit,
    ablation: AblationKind | None = None,
    beginnings: Collection[str] = (),
) -> pd.DataFrame:
    """How likely each token of given answers to a prompt is, columns `TOKEN_COLUMNS`.

    Args:
        run: Gives model, ablation and seed.
        prompt: A user message.
        answers: By name; empty ones are left out.
        circuit: What is knocked out.
        ablation: What replaces it; None: what the run used.
        beginnings: Names of answers that may go on: of these, the end is no token.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    config = live_model.ablated_by(run, ablation)
    given = tuple((name, text, name not in beginnings) for name, text in answers.items())
    return _token_frame(config, prompt, given, _names(circuit) or ())


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=CONFIG_HASH)
def _token_frame(
    config: DiscoveryConfig,
    prompt: str,
    answers: tuple[tuple[str, str, bool], ...],
    units: tuple[str, ...],
) -> pd.DataFrame:
    from circuitviz.evaluation.token_probability import token_probabilities

    rows = []
    with live_model.model_at_work(config) as (model, ablation):
        circuit = Circuit.of(model.space, units)
        for name, answer, complete in answers:
            if not answer:
                continue
            tokens = token_probabilities(
                model, prompt, answer, circuit, ablation=ablation, complete=complete
            )
            for position, token in enumerate(tokens, start=1):
                rows += [
                    (name, position, token.token, "intact", token.intact),
                    (name, position, token.token, "knocked out", token.knocked_out),
                ]
    return pd.DataFrame(rows, columns=list(TOKEN_COLUMNS))


def answer_frame(
    run: Run, circuit: Circuit, ablation: AblationKind | None = None, *, limit: int | None = None
) -> pd.DataFrame:
    """Answers to test prompts of each role with exactly this circuit knocked out.

    Args:
        run: Gives model, prompts, ablation and seed.
        circuit: What is knocked out.
        ablation: What replaces it; None: what the run used.
        limit: Prompts of each role; None: all.

    Returns:
        Columns `GENERATION_COLUMNS`.

    Raises:
        CircuitvizError: The model or its prompts cannot be used.
    """
    return _answer_frame(live_model.ablated_by(run, ablation), _names(circuit) or (), limit)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=CONFIG_HASH)
def _answer_frame(
    config: DiscoveryConfig, units: tuple[str, ...], limit: int | None
) -> pd.DataFrame:
    from circuitviz.evaluation.answers import answer_test_prompts

    behaviour = live_model.behaviour_of(config)
    with live_model.model_at_work(config) as (model, ablation):
        circuit = Circuit.of(model.space, units)
        answered = answer_test_prompts(
            model,
            behaviour,
            circuit,
            limit=limit,
            ablation=ablation,
            on_progress=lambda _: live_model.give_way(),
        )
    return pd.DataFrame([asdict(one) for one in answered], columns=list(GENERATION_COLUMNS))


def _names(circuit: Circuit | None) -> Names:
    return None if circuit is None else tuple(str(unit) for unit in circuit)
