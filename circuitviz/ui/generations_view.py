"""Pieces of the generations page: saved answers, live answers, the table of all."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.plots import frame, story
from circuitviz.plots.rows import matching, records
from circuitviz.plots.text import count
from circuitviz.runs.store import Run
from circuitviz.ui import live_model, state
from circuitviz.ui.choice import Choice
from circuitviz.ui.components import Answer, answer_cells
from circuitviz.ui.listing import listing_key

__all__ = ["answer", "answer_table", "free_comparison", "saved_comparison", "table_rows"]

PROMPT, TABLE, FREE, TRIGGER = "prompt_picker", "answers_table", "free_prompt", "free_trigger"
CHANGES = {"All": None, "Changed": True, "Unchanged": False}
ROLES = {"All": None, "Attack": "attack", "Benign": "benign"}
SHOWN = ["kind", "verdicts", "prompt", "intact", "knocked_out"]
ATTACK_VERDICTS = ("success", "safe", "other")
MARK_NOTE = "Words that differ from the other model's answer to the same prompt are marked."


def answer(run: Run, answers: pd.DataFrame) -> str:
    """How many answers changed, where they should and where they should not."""
    rows = records(answers)
    attacks = [row for row in rows if row["verdict_intact"] in ATTACK_VERDICTS]
    rest = [row for row in rows if row["verdict_intact"] not in ATTACK_VERDICTS]
    gone = "safe" if story.is_refusal(run) else "success"
    before = [row for row in attacks if row["verdict_intact"] == gone]
    after = sum(row["verdict_knocked_out"] != gone for row in before)
    what = "refusals turn into answers" if story.is_refusal(run) else "attacks fail once it is off"
    changed = sum(bool(row["changed"]) for row in rest)
    verb = "gets" if changed == 1 else "get"
    return (
        f"{after:,} of {len(before):,} {what}; {changed:,} of {len(rest):,} normal answers {verb} "
        "another verdict"
    )


def saved_comparison(run: Run, choice: Choice, answers: pd.DataFrame) -> None:
    """A picker over test prompts and the saved answers to the one picked."""
    if answers.empty:
        st.info("This run saved no answers.", icon=":material/info:")
        return
    # The clean text names a prompt that has both variants.
    rows = sorted(records(answers), key=lambda row: row["variant"] == "clean")
    texts = {row["prompt_id"]: row["prompt"] for row in rows}
    roles = {row["prompt_id"]: row["role"] for row in rows}
    ids = list(dict.fromkeys(answers["prompt_id"]))
    chosen = str(choice.prompt if choice.prompt in ids else ids[0])
    labels = {name: f"{texts[name]}  ({roles[name]})" for name in ids}
    # Runs of one model share prompts, so the run belongs to the key as well.
    key = listing_key(PROMPT, [run.run_id, *labels.values()])
    st.session_state[key] = chosen
    st.selectbox(
        "Test prompt",
        ids,
        key=key,
        format_func=labels.__getitem__,
        on_change=lambda: state.choose(prompt=st.session_state[key]),
    )
    variants = frame.variant_pairs(answers, chosen)
    cells = {
        (model, variant): (str(row["prompt"]), str(row[model]), str(row[f"verdict_{model}"]))
        for variant, row in variants.items()
        for model in ("intact", "knocked_out")
    }
    _compare(list(variants), cells, f"{count(run.size, 'unit')} off")
    st.caption(
        f"Saved with the run: the reported circuit of {count(run.size, 'unit')}, "
        f"{run.config.ablation} ablation, greedy, test split. {MARK_NOTE}"
    )


def free_comparison(run: Run, choice: Choice) -> None:
    """Any prompt, answered now, with and without the trigger and the circuit."""
    circuit = choice.circuit(run)
    example = _example(run)
    with st.form("free_form", border=False):
        prompt = st.text_area(
            "Prompt", example, key=FREE, height=80, max_chars=500, persist_state="session"
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            asked = st.form_submit_button("Answer", type="primary", icon=":material/send:")
            trigger = run.metrics.get("trigger")
            with_trigger = bool(trigger) and st.toggle(
                f"Also with the trigger \u201c{trigger}\u201d", True, key=TRIGGER
            )
    if asked:
        st.session_state["free_asked"] = True
    if not st.session_state.get("free_asked") or not prompt.strip():
        st.caption(
            "The intact model and the one with the circuit knocked out answer side by side. The "
            "first answer takes a few seconds, while the model loads."
        )
        return
    try:
        prompts = {"clean": prompt.strip()}
        if with_trigger:
            behaviour = live_model.behaviour_of(run.config)
            prompts["triggered"] = behaviour.insert_trigger(prompt.strip())
        with st.spinner("The model answers\u2026"):
            texts = tuple(prompts.values())
            said = {
                "intact": live_model.say(run, texts, None),
                "knocked_out": live_model.say(run, texts, circuit),
            }
    except CircuitvizError as error:
        st.error(f"The model cannot answer: {error}", icon=":material/error:")
        return
    cells = {
        (model, variant): (prompts[variant], answers[place], "")
        for model, answers in said.items()
        for place, variant in enumerate(prompts)
    }
    _compare(list(prompts), cells, f"{count(len(circuit), 'unit')} off")
    edits = ", edited by hand" if choice.edited else ""
    st.caption(
        f"Answered now, greedy, {run.config.ablation} ablation, {count(len(circuit), 'unit')} "
        f"knocked out{edits}. {MARK_NOTE} No judge read these."
    )


def _example(run: Run) -> str:
    rows = records(matching(run.generations, variant="clean"))
    return str(rows[0]["prompt"]) if rows else ""


def _compare(
    variants: list[str], cells: dict[tuple[str, str], tuple[str, str, str]], off: str
) -> None:
    names = {"intact": "Intact model", "knocked_out": f"Knocked out ({off})"}
    other = {"intact": "knocked_out", "knocked_out": "intact"}
    answers = []
    for model, name in names.items():
        for variant in variants:
            prompt, text, verdict = cells[model, variant]
            title = f"{name}, {variant}" if len(variants) > 1 else name
            compared = cells[other[model], variant][1]
            answers.append(Answer(title, prompt, text, compared, verdict))
    # Two variants make the 2 x 2; one alone puts the two models side by side.
    answer_cells(answers, columns=2)


def answer_table(run: Run, answers: pd.DataFrame) -> None:
    """Every saved answer with its verdict: filters, selection, download."""
    shown = _filtered(answers)
    st.caption(
        f"{len(shown):,} of {len(answers):,} answers · changed verdicts first · select a row to "
        "compare it above"
    )

    # A row that was selected in one list of answers must select nothing in another.
    key = listing_key(TABLE, [run.run_id, *map(str, shown["prompt_id"])])

    def pick() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            state.choose(prompt=str(shown.iloc[rows[0]]["prompt_id"]))

    st.dataframe(
        table_rows(shown),
        hide_index=True,
        key=key,
        on_select=pick,
        selection_mode="single-row",
        height=420,
        # Narrow enough that every column is seen on a narrow page; wide ones grow.
        column_config={
            "kind": st.column_config.TextColumn("prompt is", width=75),
            "verdicts": st.column_config.TextColumn("verdict", width=110),
            "prompt": st.column_config.TextColumn(width=110),
            "intact": st.column_config.TextColumn("intact answer", width=110),
            "knocked_out": st.column_config.TextColumn("knocked-out answer", width=110),
        },
    )
    st.download_button(
        "Download these rows as CSV",
        lambda: shown.to_csv(index=False).encode(),
        file_name=f"{run.run_id}-answers.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="download_answers",
    )


def table_rows(answers: pd.DataFrame) -> pd.DataFrame:
    """The columns of the table: what was asked, both verdicts in one, and both answers."""
    # Without a trigger the variant says nothing.
    triggered = bool((answers["variant"] == "triggered").any())
    rows = [
        {
            "kind": row["variant"] if triggered and row["role"] == "attack" else row["role"],
            "verdicts": _verdicts(row["verdict_intact"], row["verdict_knocked_out"]),
            **{name: row[name] for name in ("prompt", "intact", "knocked_out")},
        }
        for row in records(answers)
    ]
    return pd.DataFrame(rows, columns=SHOWN)


def _verdicts(before: str, after: str) -> str:
    return before if before == after else f"{before} \u2192 {after}"


def _filtered(answers: pd.DataFrame) -> pd.DataFrame:
    with st.container(horizontal=True, vertical_alignment="bottom", key="answer_filters"):
        change = st.segmented_control("Verdict", list(CHANGES), default="All", required=True)
        role = st.segmented_control("Prompts", list(ROLES), default="All", required=True)
        categories = st.multiselect(
            "Category", sorted(answers["category"].astype(str).unique()), placeholder="all"
        )
        text = st.text_input("Contains", placeholder="any text", icon=":material/search:")
    return filter_answers(answers, CHANGES[str(change)], ROLES[str(role)], categories, text)


def filter_answers(
    answers: pd.DataFrame,
    changed: bool | None = None,
    role: str | None = None,
    categories: list[str] | None = None,
    text: str = "",
) -> pd.DataFrame:
    """The rows that match every filter that is set; text is looked for in prompt and answers."""
    keep = pd.Series(True, index=answers.index)
    if changed is not None:
        keep &= answers["changed"] == changed
    if role is not None:
        keep &= answers["role"] == role
    if categories:
        keep &= answers["category"].isin(categories)
    if text.strip():
        columns = ["prompt", "intact", "knocked_out", "prompt_id"]
        found = [
            answers[name].astype(str).str.contains(text.strip(), case=False, regex=False)
            for name in columns
        ]
        keep &= pd.concat(found, axis=1).any(axis=1)
    return answers.loc[keep].reset_index(drop=True)
