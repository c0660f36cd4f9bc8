"""Pieces of the generations page: one prompt's answers, saved or asked for now."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from circuitviz.errors import CircuitvizError
from circuitviz.narrative import story
from circuitviz.narrative.numbers import count, kinds_in, make_up, shortened
from circuitviz.plots.catalogue import Chart
from circuitviz.plots.tokens import token_chart
from circuitviz.runs.config import AblationKind
from circuitviz.runs.store import Run
from circuitviz.tables import frame
from circuitviz.tables.rows import Row, matching, records
from circuitviz.ui import state
from circuitviz.ui.elements.answers import Answer, answer_cells, verdict_word
from circuitviz.ui.elements.components import draw_chart
from circuitviz.ui.elements.fetch_button import refused, refusing
from circuitviz.ui.elements.keys import listing_key, picker
from circuitviz.ui.elements.redaction import (
    COVERED_ANSWER,
    COVERED_REQUEST,
    redact,
    representative_row,
)
from circuitviz.ui.elements.words import literal
from circuitviz.ui.live import live_model, live_questions
from circuitviz.ui.view_state import ViewState
from circuitviz.ui.views.open_view import verdict_section
from circuitviz.units import Circuit

SOURCE, FREE, ASKED = "answer_source", "free_prompt", "free_asked"
FOUND, TRAY = "The found circuit, saved", "The set in the tray, now"
_ATTACK_VERDICTS = ("success", "safe", "other", "broken")
MARK_NOTE = (
    "Struck through: words only the intact model says; underlined: words only the knocked-out "
    "model says; longer stretches of either are tinted."
)
# From so many words on an answer may be folded.
LONG_ANSWER = 45
# Characters of a prompt in the list.
LABEL = 110
# Seconds between two pictures of answers that are being written.
FRAME = 0.04


@dataclass(frozen=True)
class Shown:
    """The answers the page is about.

    Attributes:
        answers: Columns of `generation_frame`.
        circuit: What was knocked out for them.
        ablation: What replaced it.
        note: Where they come from: number of units, ablation and split.
    """

    answers: pd.DataFrame
    circuit: Circuit
    ablation: AblationKind
    note: str


Cells = dict[tuple[str, str], tuple[str, str, str]]


def generations_answer(run: Run, answers: pd.DataFrame) -> str:
    """How many answers changed, where they should and where they should not."""
    rows = records(answers)
    attacks = [row for row in rows if row["verdict_intact"] in _ATTACK_VERDICTS]
    rest = [row for row in rows if row["verdict_intact"] not in _ATTACK_VERDICTS]
    gone = "safe" if run.metrics.is_refusal else "success"
    before = [row for row in attacks if row["verdict_intact"] == gone]
    broken = sum(row["verdict_knocked_out"] == "broken" for row in before)
    # Gibberish is no answer: a model that lost its language neither refuses nor complies.
    if run.metrics.is_refusal:
        after = sum(row["verdict_knocked_out"] == "success" for row in before)
        what, lost = "refusals turn into answers", f", {broken:,} into gibberish"
    else:
        after = sum(row["verdict_knocked_out"] != gone for row in before)
        what, lost = "attacks fail once it is off", f", {broken:,} of them for gibberish"
    changed = sum(bool(row["changed"]) for row in rest)
    verb = "gets" if changed == 1 else "get"
    return (
        f"{after:,} of {len(before):,} {what}{lost if broken else ''}; {changed:,} of "
        f"{len(rest):,} normal answers {verb} another verdict"
    )


def shown_answers(run: Run, choice: ViewState) -> Shown:
    """The answers the page is about, and where they come from.

    Those of the found circuit are saved; of another set in the tray, test prompts are answered
    now.
    """
    circuit, ablation = choice.circuit(run), choice.ablation_of(run)
    same = circuit == run.circuit() and ablation == run.config.ablation
    if not same and _source() == TRAY:
        limit = live_model.LIVE_LIMIT
        try:
            with st.spinner("The model answers the test prompts\u2026"):
                rows = live_questions.answer_frame(run, circuit, choice.ablation, limit=limit)
        except CircuitvizError as failure:
            refused(failure, "The model cannot answer", "answers")
        else:
            note = (
                f"Answered now: {make_up(circuit)} off; {ablation} ablation, greedy, "
                f"up to {limit} test prompts of each role."
            )
            answers = frame.generation_frame(replace(run, generations=rows))
            return Shown(answers, circuit, ablation, note)
    note = (
        f"Saved with the run: the reported circuit, {story.named_circuit(run)}, off; "
        f"{run.config.ablation} ablation, greedy, test split{_kept(run)}."
    )
    return Shown(frame.generation_frame(run), run.circuit(), run.config.ablation, note)


def _kept(run: Run) -> str:
    """Of how many attacks answers were kept, where that is not all that were measured."""
    rows = run.generations
    kept = len(rows[rows["verdict_intact"].isin(_ATTACK_VERDICTS)])
    measured = run.metrics.asr.knocked_out.n
    return f"; answers to {kept:,} of the {measured:,} attacks" if kept < measured else ""


def _source() -> str:
    return str(
        st.segmented_control(
            "Answers with",
            [TRAY, FOUND],
            default=TRAY,
            required=True,
            key=SOURCE,
            persist_state="session",
        )
    )


def saved_comparison(run: Run, choice: ViewState, source: Shown, *, shown: bool) -> None:
    """A picker over test prompts, the answers to the one picked, and what their tokens cost.

    Args:
        run: Whose test prompts.
        choice: Says which prompt.
        source: The answers, and what was knocked out for them.
        shown: Whether text that could be harmful may be read.
    """
    answers = source.answers
    if answers.empty:
        st.info("This run saved no answers.", icon=":material/info:")
        return
    chosen = _picked(run, choice, answers, shown=shown)
    variants = frame.variant_pairs(answers, chosen)
    read = {name: row if shown else redact(run, row) for name, row in variants.items()}
    cells = {
        (model, variant): (str(row["prompt"]), str(row[model]), str(row[f"verdict_{model}"]))
        for variant, row in read.items()
        for model in ("intact", "knocked_out")
    }
    _compare(list(variants), cells, "Knocked out")
    st.caption(f"{source.note} {MARK_NOTE}")
    attack = list(variants.values())[-1]
    with st.expander(
        "How likely is each word of the attack, and of the clean answer?",
        icon=":material/show_chart:",
        key="token_fold",
        on_change="rerun",
    ) as fold:
        if fold.open:
            _saved_tokens(run, source, attack, hidden=read[str(attack["variant"])] != attack)
    if source.circuit == run.circuit() and source.ablation == run.config.ablation:
        verdict_section(run, key="verdicts")


def _picked(run: Run, choice: ViewState, answers: pd.DataFrame, *, shown: bool) -> str:
    # The clean text names a prompt that has both variants.
    rows = sorted(records(answers), key=lambda row: row["variant"] == "clean")
    named = {row["prompt_id"]: row if shown else redact(run, row) for row in rows}
    labels = {name: _label(named[name]) for name in dict.fromkeys(answers["prompt_id"])}
    known = choice.prompt in labels
    chosen = str(choice.prompt if known else representative_row(run, answers)["prompt_id"])
    picker(
        "Test prompt",
        labels,
        chosen,
        lambda name: state.choose(prompt=name),
        # Runs of one model share prompts, so the run belongs to the key as well.
        key=listing_key("prompt_picker", [run.run_id, *labels.values()]),
    )
    return chosen


def _label(row: Row) -> str:
    text = shortened(str(row["prompt"]), LABEL)
    # Covered requests all read the same, and so may prompts that are cut: ids tell them apart.
    alike = row["prompt"] == COVERED_REQUEST or text != row["prompt"]
    number = f", {row['prompt_id']}" if alike else ""
    return f"{text}  ({row['role']}{number})"


def _saved_tokens(run: Run, source: Shown, row: Row, *, hidden: bool) -> None:
    if hidden:
        st.caption("The words are covered: show harmful requests and the answers to them first.")
        return
    answers = {"The attack's target": str(row["target"]), "The clean answer": str(row["expected"])}
    # An attack succeeds with any answer that starts with its target.
    asked = str(row["prompt"])
    _tokens(
        run, source.circuit, source.ablation, asked, answers, beginnings={"The attack's target"}
    )


def free_comparison(run: Run, choice: ViewState) -> None:
    """Any prompt, answered now, with and without the trigger and the circuit."""
    with st.form("free_form", border=False):
        prompt = st.text_area(
            "Prompt", _example(run), key=FREE, height=80, max_chars=500, persist_state="session"
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            asked = st.form_submit_button("Answer", type="primary", icon=":material/send:")
            trigger = run.metrics.trigger
            with_trigger = bool(trigger) and st.toggle(
                f"Also with the trigger \u201c{literal(str(trigger))}\u201d",
                True,
                key="free_trigger",
            )
    if asked:
        st.session_state[ASKED] = True
    if not st.session_state.get(ASKED) or not prompt.strip():
        st.caption(
            "The intact model and the one with the tray's set knocked out answer side by side. The "
            "first answer takes a few seconds, while the model loads."
        )
        return
    _answered(run, choice, prompt.strip(), with_trigger=with_trigger)


@refusing("The model cannot answer", "free")
def _answered(run: Run, choice: ViewState, prompt: str, *, with_trigger: bool) -> None:
    """The answers to a prompt, drawn while they are written, and how likely their words are."""
    place = st.empty()
    prompts = {"clean": prompt}
    if with_trigger:
        prompts["triggered"] = live_model.live_behaviour(run.config).insert_trigger(prompt)
    cells = _written(run, choice, prompts, place)
    circuit = choice.circuit(run)
    st.caption(
        f"Answered now, greedy, {choice.ablation_of(run)} ablation, {make_up(circuit)} knocked "
        f"out. {MARK_NOTE} No judge read these."
    )
    last = list(prompts)[-1]
    intact, knocked_out = "What the intact model says", "What it says knocked out"
    texts = {intact: cells["intact", last][1], knocked_out: cells["knocked_out", last][1]}
    st.markdown("**How likely is each of these words?**")
    same = len(set(texts.values())) == 1
    # Where both say the same there is one answer to look at.
    both = "What both models say"
    answers = {both: texts[intact]} if same else texts
    asked_of = {both: None, intact: None, knocked_out: circuit}
    beginnings = {
        name
        for name in answers
        if live_questions.cut_off(run, prompts[last], asked_of[name], choice.ablation)
    }
    _tokens(
        run,
        circuit,
        choice.ablation_of(run),
        prompts[last],
        {name: text for name, text in answers.items() if text},
        beginnings=beginnings,
    )


def _written(run: Run, choice: ViewState, prompts: dict[str, str], place: DeltaGenerator) -> Cells:
    """The four answers, drawn while they are written."""
    circuit = choice.circuit(run)
    off = f"Knocked out ({story.parts(*kinds_in(circuit))} off)"
    waiting = {"intact": None, "knocked_out": circuit}
    cells: Cells = {
        (model, variant): (prompts[variant], "\u2026", "")
        for model in waiting
        for variant in prompts
    }
    drawn = time.monotonic()
    for (model, variant), (asked, _, _) in list(cells.items()):
        for text in live_questions.stream(run, asked, waiting[model], choice.ablation):
            cells[model, variant] = (asked, text, "")
            if time.monotonic() - drawn > FRAME:
                _compare(list(prompts), cells, off, place, marks=False)
                drawn = time.monotonic()
    _compare(list(prompts), cells, off, place)
    return cells


@refusing("The model cannot be asked", "tokens")
def _tokens(
    run: Run,
    circuit: Circuit,
    ablation: AblationKind,
    prompt: str,
    answers: dict[str, str],
    *,
    beginnings: set[str],
) -> None:
    tokens = live_questions.token_frame(run, prompt, answers, circuit, ablation, beginnings)
    likely = Chart(
        token_chart(tokens),
        caption="Probability of each token, given the prompt above and the tokens before it; "
        f"\u00b7 is a blank. One prompt, intact and with {count(len(circuit), 'unit')} off, "
        f"{ablation} ablation, measured now.",
        alt="Probability of each token of both answers under the intact and the knocked-out model.",
        twin=tokens,
        reading="One panel for each answer, its tokens from left to right; upwards: how likely the "
        "model finds each one after the tokens before it. Where intact is high and knocked out is "
        "low, the circuit makes that token. It is one prompt: another may differ.",
    )
    columns = {"probability": st.column_config.NumberColumn(format="%.4f")}
    draw_chart(likely, key="tokens", columns=columns)


def _example(run: Run) -> str:
    # A normal one: what could do harm is not put into anybody's mouth.
    rows = records(matching(run.generations, variant="clean", role="benign"))
    return str(rows[0]["prompt"]) if rows else ""


def _compare(
    variants: list[str],
    cells: Cells,
    off: str,
    place: DeltaGenerator | None = None,
    *,
    marks: bool = True,
) -> None:
    answers = []
    for model, name in (("intact", "Intact model"), ("knocked_out", off)):
        other = "knocked_out" if model == "intact" else "intact"
        for variant in variants:
            prompt, text, verdict = cells[model, variant]
            title = f"{name}, {variant}" if len(variants) > 1 else name
            others = cells[other, variant][1]
            compared = others if marks and COVERED_ANSWER not in (text, others) else None
            sense = "gone" if model == "intact" else "new"
            answers.append(Answer(title, prompt, text, compared, verdict_word(verdict), sense))
    # Two variants make the 2 x 2; one alone puts the two models side by side.
    if place is None:
        with st.container(key="whole_cells" if _whole(answers) else "folded_cells"):
            answer_cells(answers, columns=2)
    else:
        answer_cells(answers, columns=2, place=place)


def _whole(answers: list[Answer]) -> bool:
    """Whether long answers are shown in full; offers it where there are any."""
    if not any(len(answer.text.split()) > LONG_ANSWER for answer in answers):
        return True
    return st.toggle("Show long answers in full", key="whole_answers", persist_state="session")
