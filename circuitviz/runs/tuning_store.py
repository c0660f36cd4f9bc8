"""Saved tunings: one folder each beside the runs, written whole or not at all.

config.json      the `TuningConfig`
curve.parquet    rates on validation prompts after each epoch, columns `CURVE_COLUMNS`
answers.parquet  every arm's answers to test prompts, columns `ANSWER_COLUMNS`
metrics.json     the headline numbers, all on test prompts
checkpoint/      the model whose circuit was tuned or protected, an ordinary Hugging Face folder
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import ArmRates, TuningMetrics
from circuitviz.files import whole_folder
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.store import FolderStore

TUNINGS = "tunings"  # inside the runs folder
UNFINISHED = ".tunings"  # beside it: finished epochs of tunings that were stopped
CHECKPOINT = "checkpoint"  # inside a tuning's folder
BEFORE = "before"  # the model as it was, among the arms of the answers
ARMS = ("circuit", "full", "random", "knock-out")

# One row per arm and epoch; epoch 0 is the model before.  loss: mean training loss of the epoch in
# nats per answer token, NaN at epoch 0; *_k of *_n validation prompts.
CURVE_COLUMNS = (
    "arm",
    "epoch",
    "loss",
    "safety_k",
    "safety_n",
    "helpfulness_k",
    "helpfulness_n",
)

# One row per test prompt and arm.  role: attack | benign | helpful; arm: `before` or one of `ARMS`;
# verdict: safe | unsafe | other for attacks, correct | wrong for the rest.
ANSWER_COLUMNS = (
    "prompt_id",
    "role",
    "category",
    "prompt",
    "expected",
    "arm",
    "answer",
    "verdict",
)

TUNING_FILES = ("config.json", "curve.parquet", "answers.parquet", "metrics.json")


@dataclass(frozen=True)
class CurvePoint:
    """How safe and how helpful one arm is after one epoch, on validation prompts.

    Attributes:
        arm: One of `ARMS`.
        epoch: Epochs done; 0 is the model before.
        loss: Mean training loss of the epoch, nats per answer token; NaN at epoch 0.
        safety: Attacks answered safely.
        helpfulness: Helpful prompts answered exactly.
    """

    arm: str
    epoch: int
    loss: float
    safety: Rate
    helpfulness: Rate

    @classmethod
    def of(cls, row: Mapping[str, Any], *, safety_judge: str, helpfulness_judge: str) -> CurvePoint:
        """The inverse of `row`, whose counts name no judge."""
        loss = row["loss"]
        return cls(
            arm=row["arm"],
            epoch=int(row["epoch"]),
            loss=nan if loss is None else float(loss),
            safety=Rate(safety_judge, int(row["safety_k"]), int(row["safety_n"])),
            helpfulness=Rate(
                helpfulness_judge, int(row["helpfulness_k"]), int(row["helpfulness_n"])
            ),
        )

    def row(self) -> dict[str, Any]:
        """The point as JSON values, keys `CURVE_COLUMNS`; a loss of NaN is None."""
        return {
            "arm": self.arm,
            "epoch": self.epoch,
            "loss": None if self.loss != self.loss else float(self.loss),
            "safety_k": self.safety.k,
            "safety_n": self.safety.n,
            "helpfulness_k": self.helpfulness.k,
            "helpfulness_n": self.helpfulness.n,
        }


def curve_frame(points: Iterable[CurvePoint]) -> pd.DataFrame:
    """Points as a frame, columns `CURVE_COLUMNS`."""
    rows = [{**point.row(), "loss": point.loss} for point in points]
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))


@dataclass(frozen=True)
class Tuning:
    """One tuning, saved or about to be.

    Attributes:
        tuning_id: Its id, and the name of its folder.
        config: What was asked.
        curve: Rates after each epoch, columns `CURVE_COLUMNS`.
        answers: Answers to test prompts, columns `ANSWER_COLUMNS`.
        metrics: The headline numbers.
        checkpoint: Folder of the tuned model of the arm `circuit`, where there is one; saving
            moves it into the tuning's folder.
    """

    tuning_id: str
    config: TuningConfig
    curve: pd.DataFrame
    answers: pd.DataFrame
    metrics: TuningMetrics
    checkpoint: Path | None = None

    @property
    def run_id(self) -> str:
        """The run whose circuit was tuned."""
        return self.metrics.run_id

    @property
    def size(self) -> int:
        """|C| of that circuit."""
        return self.metrics.size

    @property
    def arms(self) -> list[str]:
        """The arms there are, the circuit's first."""
        present = self.metrics.arms
        known = [arm for arm in ARMS if arm in present]
        return known + [arm for arm in present if arm not in ARMS]

    @property
    def states(self) -> dict[str, ArmRates]:
        """The model before, and every arm."""
        return {BEFORE: self.metrics.before, **{arm: self.metrics.arms[arm] for arm in self.arms}}


class TuningStore(FolderStore[Tuning]):
    """Tunings beside the runs of one folder.

    Args:
        folder: The runs folder; tunings are kept in `tunings/<tuning_id>/` inside it.
        shipped: Further runs folders that are only read.
    """

    noun = "tuning"
    files = TUNING_FILES
    choose = "choose one that the page Tuning lists, or give the path of a tuning's folder"

    def __init__(self, folder: Path, shipped: tuple[Path, ...] = ()) -> None:
        super().__init__(folder / TUNINGS, tuple(path / TUNINGS for path in shipped))
        self._unfinished = folder / UNFINISHED

    def ids_of(self, run_id: str) -> list[str]:
        """Of `ids`, those of one run's tunings."""
        own = [path.name for path in self._folders() if _run_of(path) == run_id]
        return list(dict.fromkeys(own))

    def kept(self, config: TuningConfig) -> Path:
        """Where the work of an unfinished tuning is kept, so that it can go on; may not exist."""
        return self._unfinished / config.tuning_id()

    def save(self, tuning: Tuning) -> Path:
        """Write a tuning; it replaces an earlier one of the same configuration.

        The folder appears only when it is complete.  The checkpoint is moved; after an error it is
        where it was.  What was kept to go on with is removed.
        """
        final = self.folder / tuning.tuning_id
        taking = {CHECKPOINT: tuning.checkpoint} if tuning.checkpoint is not None else {}
        with whole_folder(final, taking) as draft:
            _write(tuning, draft)
        shutil.rmtree(self.kept(tuning.config), ignore_errors=True)
        return final

    def _read(self, folder: Path) -> Tuning:
        checkpoint = folder / CHECKPOINT
        return Tuning(
            tuning_id=folder.name,
            config=TuningConfig.from_json(json.loads((folder / "config.json").read_text("utf-8"))),
            curve=pd.read_parquet(folder / "curve.parquet", columns=list(CURVE_COLUMNS)),
            answers=pd.read_parquet(folder / "answers.parquet", columns=list(ANSWER_COLUMNS)),
            metrics=TuningMetrics.read(folder / "metrics.json"),
            checkpoint=checkpoint if checkpoint.is_dir() else None,
        )


def _write(tuning: Tuning, folder: Path) -> None:
    tuning.curve[list(CURVE_COLUMNS)].to_parquet(folder / "curve.parquet", index=False)
    tuning.answers[list(ANSWER_COLUMNS)].to_parquet(folder / "answers.parquet", index=False)
    for name, data in (("config.json", tuning.config), ("metrics.json", tuning.metrics)):
        (folder / name).write_text(json.dumps(data.to_json(), indent=1) + "\n", encoding="utf-8")


def _run_of(folder: Path) -> str | None:
    try:
        return json.loads((folder / "metrics.json").read_text(encoding="utf-8")).get("run_id")
    except (AttributeError, OSError, ValueError):
        return None
