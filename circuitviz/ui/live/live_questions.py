"""What is asked of a loaded model now: looks inside it, answers, and how likely their tokens are.

Whatever it says is kept.  torch is imported when the first question is asked, as in `live_model`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from circuitviz.errors import ConfigError
from circuitviz.plots.tokens import TOKEN_COLUMNS
from circuitviz.report.answers import could_harm
from circuitviz.runs.config import AblationKind, DiscoveryConfig
from circuitviz.runs.store import GENERATION_COLUMNS, Run
from circuitviz.ui.live import live_model
from circuitviz.ui.live.live_model import LIVE_HASH, ablated_by, config_key, model_at_work
from circuitviz.units import Circuit, Unit

if TYPE_CHECKING:
    from circuitviz.inspection.attention import HeadAttention
    from circuitviz.inspection.neuron_trace import NeuronTrace, TopPrompt
    from circuitviz.inspection.path_graph import PathGraph
    from circuitviz.inspection.promoted import Written
    from circuitviz.inspection.prompt_pair import PromptPair

# Answers that are kept; asked for again, they are there at once.
MAX_KEPT = 256


def prompts(run: Run) -> dict[str, str]:
    """The attack prompts of the test split: id to message.

    Raises:
        CircuitvizError: The behaviour is not there.
    """
    attacks = live_model.live_behaviour(run.config).prompts("test", "attack")
    return {prompt.prompt_id: prompt.text for prompt in attacks}


def harmful(run: Run) -> frozenset[str]:
    """Ids of the test prompts that ask for something a safe model refuses.

    Raises:
        CircuitvizError: The behaviour is not there.
    """
    behaviour = live_model.live_behaviour(run.config)
    return frozenset(
        prompt.prompt_id
        for prompt in (*behaviour.prompts("test", "attack"), *behaviour.prompts("test", "benign"))
        if could_harm(
            run,
            {
                "role": prompt.role,
                "category": prompt.category,
                # What is right without the behaviour; for refusal the refusal itself.
                "expected": prompt.answer or prompt.after or "",
            },
        )
    )


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=LIVE_HASH)
def pair(run: Run, prompt_id: str) -> PromptPair:
    """A test prompt, clean and triggered.

    Raises:
        CircuitvizError: There is no such prompt, or the model cannot be used.
    """
    from circuitviz.inspection.prompt_pair import pair_of

    behaviour = live_model.live_behaviour(run.config)
    for prompt in behaviour.prompts("test", "attack"):
        if prompt.prompt_id == prompt_id:
            with model_at_work(run.config) as (model, _):
                return pair_of(model, behaviour, prompt)
    raise ConfigError(f"no test attack prompt {prompt_id!r}; choose one from the list")


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=LIVE_HASH)
def attention(run: Run, prompt_id: str, unit: Unit) -> HeadAttention:
    """Where a head looks; raises `CircuitvizError` as `pair` does."""
    from circuitviz.inspection.attention import look_at_attention

    both = pair(run, prompt_id)
    with model_at_work(run.config) as (model, _):
        return look_at_attention(model, both, unit)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=LIVE_HASH)
def writing(run: Run, prompt_id: str, unit: Unit) -> Written:
    """What a unit writes; raises `CircuitvizError` as `pair` does."""
    from circuitviz.inspection.promoted import look_at_writing

    both = pair(run, prompt_id)
    with model_at_work(run.config) as (model, _):
        return look_at_writing(model, both, unit)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=LIVE_HASH)
def traces(run: Run, prompt_id: str, unit: Unit) -> tuple[NeuronTrace, NeuronTrace]:
    """A neuron over both prompts; raises `CircuitvizError` as `pair` does."""
    from circuitviz.inspection.neuron_trace import look_at_neuron

    both = pair(run, prompt_id)
    with model_at_work(run.config) as (model, _):
        return look_at_neuron(model, both, unit)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=LIVE_HASH)
def top(run: Run, unit: Unit) -> list[TopPrompt]:
    """The prompts that make a neuron most active; raises `CircuitvizError` as `pair` does."""
    from circuitviz.inspection.neuron_trace import top_prompts

    behaviour = live_model.live_behaviour(run.config)
    with model_at_work(run.config) as (model, _):
        return top_prompts(model, behaviour, unit)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=LIVE_HASH)
def graph(run: Run, circuit: Circuit, ablation: AblationKind | None = None) -> PathGraph:
    """The effects along every path among a circuit's units.

    Raises:
        CircuitvizError: The circuit is too large, or the model cannot be used.
    """
    from circuitviz.inspection.path_effect import path_effects

    behaviour = live_model.live_behaviour(run.config)
    with model_at_work(ablated_by(run, ablation)) as (model, replacement):
        return path_effects(
            model, behaviour, Circuit.of(model.space, circuit), ablation=replacement
        )


@dataclass(frozen=True)
class Kept:
    """An answer, and whether it was cut at the most tokens that are said."""

    text: str
    cut: bool


Key = tuple[str, str, tuple[str, ...] | None]


def stream(
    run: Run, prompt: str, circuit: Circuit | None, ablation: AblationKind | None = None
) -> Iterator[str]:
    """The model's greedy answer so far, after each token; with a circuit knocked out or intact.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    config = ablated_by(run, ablation if circuit else None)
    key, kept = _key(config, prompt, circuit), _kept()
    if key in kept:
        yield kept[key].text
        return
    text, tokens = "", 0
    # Closed at once when the page is drawn anew half-way: others wait for the model.
    with closing(_tokens(config, prompt, circuit)) as texts:
        for answer in texts:
            # The end of an answer adds nothing to it.
            tokens += answer != text
            text = answer
            yield text
    kept[key] = Kept(text, cut=tokens >= live_model.ANSWER_TOKENS)
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)


def cut_off(
    run: Run, prompt: str, circuit: Circuit | None, ablation: AblationKind | None = None
) -> bool:
    """Whether an answer that `stream` gave stops for its length and not because it ends."""
    config = ablated_by(run, ablation if circuit else None)
    kept = _kept().get(_key(config, prompt, circuit))
    return kept is not None and kept.cut


def _key(config: DiscoveryConfig, prompt: str, circuit: Circuit | None) -> Key:
    return config_key(config), prompt, None if circuit is None else tuple(map(str, circuit))


def _tokens(
    config: DiscoveryConfig, prompt: str, circuit: Circuit | None
) -> Generator[str, None, None]:
    most = live_model.ANSWER_TOKENS
    with model_at_work(config) as (model, ablation):
        yield from model.stream(prompt, circuit, ablation=ablation, max_new_tokens=most)


@st.cache_resource(show_spinner=False)
def _kept() -> OrderedDict[Key, Kept]:
    return OrderedDict()


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=LIVE_HASH)
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
    from circuitviz.evaluation.scoring import token_probabilities

    rows = []
    with model_at_work(ablated_by(run, ablation)) as (model, replacement):
        units = Circuit.of(model.space, circuit)
        for name, answer in answers.items():
            if not answer:
                continue
            complete = name not in beginnings
            tokens = token_probabilities(
                model, prompt, answer, units, ablation=replacement, complete=complete
            )
            for position, token in enumerate(tokens, start=1):
                rows += [
                    (name, position, token.token, "intact", token.intact),
                    (name, position, token.token, "knocked out", token.knocked_out),
                ]
    return pd.DataFrame(rows, columns=list(TOKEN_COLUMNS))


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=LIVE_HASH)
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
    from circuitviz.evaluation.answers import answer_test_prompts

    behaviour = live_model.live_behaviour(run.config)
    with model_at_work(ablated_by(run, ablation)) as (model, replacement):
        answered = answer_test_prompts(
            model,
            behaviour,
            Circuit.of(model.space, circuit),
            limit=limit,
            ablation=replacement,
            on_progress=lambda _: live_model.give_way(),
        )
    return pd.DataFrame([asdict(one) for one in answered], columns=list(GENERATION_COLUMNS))
