"""Tunings: a saved one, with arms, curves, answers and downloads; one at work, followed live."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.jobs.runner import Job
from circuitviz.narrative.numbers import count, sparsity
from circuitviz.narrative.tuning_story import (
    arm_title,
    helpfulness_label,
    safety_label,
    tuning_doubts,
)
from circuitviz.plots.bars import tuning_arms
from circuitviz.plots.catalogue import BANDS, Chart
from circuitviz.plots.curves import tuning_curve
from circuitviz.runs.store import Run
from circuitviz.runs.tuning_store import BEFORE, Tuning
from circuitviz.tables.rows import matching, records
from circuitviz.tables.tuning_frame import (
    arm_frame,
    curve_rates,
    last_epoch,
    prompts_measured,
    tuning_table,
)
from circuitviz.ui import services, state
from circuitviz.ui.elements import keys
from circuitviz.ui.elements.answers import Answer, answer_cells
from circuitviz.ui.elements.components import (
    CHART_CONFIG,
    Card,
    cards,
    checks,
    download,
    draw_chart,
    error,
    rate_card,
    split,
    table,
    table_twin,
    warn,
)
from circuitviz.ui.elements.words import how_to_read, literal, literal_code
from circuitviz.ui.jobs import follow
from circuitviz.ui.run_names import plan_note, tuning_note
from circuitviz.ui.tuning.form import command_line
from circuitviz.ui.view_state import ViewState

THREE_ROW = 4  # more models than this stand in rows of three
CURVES_HELP = (
    "Across: epochs of training. Upwards: the share of validation prompts, from where the dotted "
    "line says it began. Both high at the end is good, and a line that falls late was trained too "
    "long. Few prompts make lines jump: read them with their intervals."
)
_STAGES = {
    "load": "Loading the model",
    "tune": "Training",
    "test": "Measuring on held-out test prompts",
    "save": "Saving the tuning",
}


def chosen_tuning(run: Run, choice: ViewState) -> Tuning | None:
    """The tuning of the link, else the newest of the run that can be read."""
    ids = list(services.tuning_configs(run.run_id))
    wanted = [choice.tuning] if choice.tuning in ids else []
    if choice.tuning and not wanted:
        warn([f"This run has no tuning {choice.tuning!r}; showing the newest instead."])
    for tuning_id in [*wanted, *ids]:
        try:
            tuning = services.load_tuning(str(tuning_id))
        except CircuitvizError as failure:
            error(str(failure))
            continue
        if choice.tuning != tuning.tuning_id:
            # The link names what is seen: a later tuning does not change what it opens.
            state.choose(tuning=tuning.tuning_id)
        return tuning
    return None


def not_tuned(run: Run) -> tuple[str, str]:
    """The page's answer and its lead before anything was tuned."""
    return (
        f"Not tried yet on the {count(run.size, 'unit')} of this circuit",
        "Protecting freezes the circuit's weights while all others learn new answers; repairing "
        "trains the circuit's weights and leaves all others as they are. Full fine-tuning and a "
        "random circuit of the same size are trained beside it, and held-out prompts decide.",
    )


def tuning_picker(run: Run, tuning: Tuning) -> None:
    """Which of the run's tunings is shown, where there are several."""
    names = {
        name: tuning_note(config) for name, config in services.tuning_configs(run.run_id).items()
    }
    if len(names) < 2:
        return
    keys.picker(
        "Tuning of this run",
        names,
        tuning.tuning_id,
        lambda name: state.choose(tuning=name),
        key=keys.listing_key("tuning_picker", names.values()),
    )


def show_tuning(tuning: Tuning, choice: ViewState) -> None:
    """Everything a saved tuning says, the most important first."""
    _cards(tuning)
    checks(tuning_doubts(tuning))
    _arms(tuning)
    _curves(tuning)
    _answers(tuning, choice)
    _downloads(tuning)


def _cards(tuning: Tuning) -> None:
    before, circuit = tuning.metrics.before, tuning.metrics.arms["circuit"]
    items = [
        rate_card(safety_label(tuning), circuit.safety, before.safety),
        rate_card(helpfulness_label(tuning), circuit.helpfulness, before.helpfulness),
        Card(
            "Parameters trained",
            sparsity(circuit.parameters_trained_share or 0.0),
            f"{circuit.parameters_trained:,} parameters; circuit of "
            f"{count(tuning.size, 'unit')} · {circuit.seconds:.0f} s of training",
        ),
    ]
    with st.container(key="tuning_cards"):
        cards(items)


def _arms(tuning: Tuning) -> None:
    st.header("What each way of training does", anchor=False)
    arms = Chart(
        tuning_arms(arm_frame(tuning)),
        caption=_note(tuning),
        alt="Safety and helpfulness before and after each way of training, with intervals.",
        twin=arm_frame(tuning),
        reading="Each row is one way of training, with a point for safety and one for helpfulness "
        "on test prompts. Both far to the right is good; full fine-tuning and the random circuit "
        f"are what the circuit has to be compared with. {BANDS}",
    )
    draw_chart(arms, key="tuning_arms")
    table(tuning_table(tuning), key="tuning_table")


def _note(tuning: Tuning) -> str:
    rates = tuning.metrics.arms["circuit"]
    parts = (
        f"n = {rates.safety.n:,} test prompts for safety and {rates.helpfulness.n:,} for "
        "helpfulness",
        _judges(tuning),
        "intervals are 95 % Wilson; the table has them in brackets",
        plan_note(tuning.metrics.plan),
    )
    return " · ".join(filter(None, parts))


def _judges(tuning: Tuning) -> str:
    rates = tuning.metrics.arms["circuit"]
    return f"judges: {rates.safety.judge} (safety), {rates.helpfulness.judge} (helpfulness)"


def _curves(tuning: Tuning) -> None:
    st.header("Epoch by epoch", anchor=False)
    frame = curve_rates(records(tuning.curve))
    curve_pair(frame, mode=tuning.config.mode, epochs=last_epoch(frame), key="tuned")
    st.caption(
        f"n = {prompts_measured(frame)} (validation prompts) · {_judges(tuning)} · intervals are "
        "95 % Wilson"
    )
    how_to_read(CURVES_HELP, key="tuning_curves")
    table_twin(frame, key="tuning_curve")


def _answers(tuning: Tuning, choice: ViewState) -> None:
    st.header("What each model says", anchor=False)
    if tuning.answers.empty:
        st.info("This tuning saved no answers.", icon=":material/info:")
        return
    order = prompt_order(tuning.answers)
    firsts = tuning.answers.drop_duplicates("prompt_id").set_index("prompt_id")
    chosen = choice.prompt if choice.prompt in order else order[0]
    labels = {name: f"{firsts.at[name, 'prompt']}  ({firsts.at[name, 'role']})" for name in order}
    keys.picker(
        "Test prompt",
        labels,
        chosen,
        lambda name: state.choose(prompt=name),
        # Tunings share prompts, so the tuning belongs to the key as well.
        key=keys.listing_key("tuning_prompt", [tuning.tuning_id, *labels.values()]),
        note="Prompts on which the models disagree come first.",
    )
    cells = _cells(tuning, str(chosen))
    answer_cells(cells, columns=3 if len(cells) > THREE_ROW else 2)
    st.caption(
        f"Expected: \u201c{literal(str(firsts.at[chosen, 'expected']))}\u201d. Greedy, test split. "
        "Words that differ from the answer before are marked."
    )


def _cells(tuning: Tuning, prompt_id: str) -> list[Answer]:
    rows = {str(row["arm"]): row for row in records(matching(tuning.answers, prompt_id=prompt_id))}
    before = str(rows[BEFORE]["answer"]) if BEFORE in rows else None
    return [
        Answer(
            arm_title(tuning.config.mode, arm),
            str(rows[arm]["prompt"]),
            str(rows[arm]["answer"]),
            None if arm == BEFORE else before,
            str(rows[arm]["verdict"]),
        )
        for arm in (BEFORE, *tuning.arms)
        if arm in rows
    ]


def prompt_order(answers: pd.DataFrame) -> list[str]:
    """Ids of the prompts: those first on which the trained models' verdicts differ.

    Then those on which they differ from before; otherwise as they were saved.
    """
    verdicts: dict[str, dict[str, str]] = {}
    for row in records(answers):
        verdicts.setdefault(str(row["prompt_id"]), {})[str(row["arm"])] = str(row["verdict"])

    def place(name: str) -> int:
        of_arms = verdicts[name]
        after = {verdict for arm, verdict in of_arms.items() if arm != BEFORE}
        return 0 if len(after) > 1 else 1 if len(set(of_arms.values())) > 1 else 2

    return sorted(verdicts, key=place)


def _downloads(tuning: Tuning) -> None:
    st.header("Take it with you", anchor=False)
    with st.container(horizontal=True):
        if tuning.checkpoint is not None:
            folder = tuning.checkpoint
            download(
                "Download the tuned model (zip)",
                lambda: zipped(folder, tuning.tuning_id),
                f"{tuning.tuning_id}.zip",
                "application/zip",
                key="download_checkpoint",
            )
        download(
            "Download the table (CSV)",
            lambda: arm_frame(tuning).to_csv(index=False).encode(),
            f"{tuning.tuning_id}.csv",
            "text/csv",
            key="download_tuning_table",
        )
    if tuning.checkpoint is not None:
        st.caption(
            f"The model of \u201c{arm_title(tuning.config.mode, 'circuit').lower()}\u201d, an "
            f"ordinary Hugging Face folder. It is on this machine in "
            f"{literal_code(str(tuning.checkpoint))}."
        )
    st.caption("The same from a shell:")
    st.code(command_line(tuning.config), language="bash", wrap_lines=True)


def zipped(folder: Path, name: str) -> bytes:
    """The folder's files as a zip archive, inside a folder of that name."""
    buffer = io.BytesIO()
    # Weights do not get smaller; what takes no time to store takes none to download.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{name}/{path.relative_to(folder).as_posix()}")
    return buffer.getvalue()


def reached(job: Job) -> tuple[str, int | None]:
    """The arm a tuning is, or was, at work on, and how many of its epochs are finished.

    None where the curve does not have the arm, as while refusing is worn away.
    """
    curve = job.progress.curve if job.progress else []
    arm = (job.progress.arm if job.progress else "") or (str(curve[-1]["arm"]) if curve else "")
    return arm, max((int(row["epoch"]) for row in curve if row["arm"] == arm), default=None)


def stopped(job: Job) -> str:
    """What is said of a tuning that was stopped: whether, and from where, it can go on."""
    if job.progress is None or job.progress.stage == "load":
        return "The tuning was stopped before it began to train."
    arm, epoch = reached(job)
    place = (
        "go on"
        if epoch is None
        else f"go on from epoch {epoch} of \u201c{arm_title(job.tuning.mode, arm).lower()}\u201d"
    )
    return (
        "The tuning was stopped. Finished epochs are kept: start it again, with the same "
        f"settings, to {place}."
    )


def live_header(job: Job) -> tuple[str, str]:
    """The page's answer and its lead while a tuning is at work."""
    return (
        f"Tuning {services.run_model_title(job.tuning.run)}",
        f"{tuning_note(job.tuning)}. You can leave this page or close it; the tuning goes on and "
        "is found again here. Stopped, it can go on later from its last finished epoch.",
    )


def live_tuning(job_id: str) -> None:
    """Progress and curves of a tuning, drawn again each second while it is active."""
    follow(job_id, _doing, _live_curves)


def _live_curves(job: Job) -> None:
    frame = curve_rates(job.progress.curve if job.progress else [])
    epochs = max(job.tuning.epochs or 0, last_epoch(frame), 1)
    curve_pair(frame, mode=job.tuning.mode, epochs=epochs, key="live")
    st.caption(
        "The first points come with the first measurement."
        if frame.empty
        else f"n = {prompts_measured(frame)} (validation prompts); intervals are 95 % Wilson. "
        "The final numbers come from test prompts."
    )


def curve_pair(frame: pd.DataFrame, *, mode: str, epochs: int, key: str) -> None:
    """Safety and helpfulness over the epochs, side by side."""
    for column, series in zip(
        split(f"{key}_curves", (1, 1)), ("safety", "helpfulness"), strict=True
    ):
        column.plotly_chart(
            tuning_curve(frame, series=series, mode=mode, epochs=epochs),
            key=f"{key}_{series}",
            config=CHART_CONFIG,
            alt=f"{series.capitalize()} after each epoch, one line per trained model.",
        )


def _doing(job: Job) -> str:
    progress = job.progress
    if progress is None:
        return ""
    text = _STAGES.get(progress.stage, progress.stage)
    if progress.arm:
        text += f", {arm_title(job.tuning.mode, progress.arm).lower()}"
    if progress.stage == "tune":
        _, epoch = reached(job)
        text += (
            f" · step {progress.step:,} of {progress.steps:,}"
            if epoch is None
            else f" · {count(epoch, 'epoch')} done"
        )
    return text
