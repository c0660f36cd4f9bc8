"""Saved runs, one folder each, whole or not there; and what every store of folders does.

    config.json          the `DiscoveryConfig`
    scores.safetensors   `head` [n_layers n_heads], `neuron` [n_layers d_mlp], fp32
    frontier.parquet     what knocking out each size does, columns `FRONTIER_COLUMNS`
    generations.parquet  answers of the intact and the knocked-out model on test prompts,
                         columns `GENERATION_COLUMNS`
    metrics.json         the headline numbers, the learning curve, versions

There is no pickle anywhere.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from circuitviz.errors import CircuitvizError, RunFormatError, RunNotFoundError
from circuitviz.evaluation.results import Metrics
from circuitviz.files import whole_folder
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.units import Circuit, Ranking, UnitSpace

Saved = TypeVar("Saved")

# What reading a damaged folder raises.
DAMAGED = (
    CircuitvizError,
    SafetensorError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
)


class FolderStore(ABC, Generic[Saved]):
    """Things saved under one folder, and any such folder given by its path.

    Args:
        folder: Where new ones go; made on the first save.
        shipped: Further folders that are only read.

    Attributes:
        noun: What one of them is called.
        files: What a complete folder holds.
        choose: Where to find the id of one.
    """

    noun: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    choose: ClassVar[str]

    def __init__(self, folder: Path, shipped: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.shipped = shipped

    def ids(self) -> list[str]:
        """Ids of all complete ones: own ones newest first, then shipped ones by name."""
        return list(dict.fromkeys(path.name for path in self._folders()))

    def path(self, name: str) -> Path:
        """The folder of the one with an id or under a path.

        Raises:
            RunNotFoundError: There is none.
        """
        candidates = [folder / name for folder in (self.folder, *self.shipped)] + [Path(name)]
        for candidate in candidates:
            if name and candidate.is_dir():
                return candidate
        raise RunNotFoundError(f"no {self.noun} {name!r} under {self.folder}; {self.choose}")

    def load(self, name: str) -> Saved:
        """Read the one with an id or under a path.

        Raises:
            RunNotFoundError: There is none.
            RunFormatError: Its folder is not of this kind, or is damaged.
        """
        folder = self.path(name)
        missing = [file for file in self.files if not (folder / file).is_file()]
        if missing:
            raise RunFormatError(
                f"{folder} is not a {self.noun} folder: {', '.join(missing)} missing"
            )
        try:
            return self._read(folder)
        except DAMAGED as error:
            reason = " ".join(str(error).split())
            raise RunFormatError(f"cannot read the {self.noun} in {folder}: {reason}") from error

    def delete(self, name: str) -> None:
        """Remove an own one.

        Raises:
            RunNotFoundError: No own one has that id.
        """
        folder = self.folder / name
        if not name or folder.parent != self.folder or not self._is_complete(folder):
            raise RunNotFoundError(f"no {self.noun} {name!r} to delete under {self.folder}")
        shutil.rmtree(folder)

    @abstractmethod
    def _read(self, folder: Path) -> Saved:
        """Read a complete folder; may raise any of `DAMAGED`."""

    def _folders(self) -> Iterator[Path]:
        """The complete folders, in the order of `ids`."""
        yield from newest_first(self._complete(self.folder))
        for folder in self.shipped:
            yield from sorted(self._complete(folder))

    def _complete(self, folder: Path) -> Iterator[Path]:
        if folder.is_dir():
            yield from filter(self._is_complete, folder.iterdir())

    def _is_complete(self, folder: Path) -> bool:
        return not folder.name.startswith(".") and all(
            (folder / file).is_file() for file in self.files
        )


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """The folders, the last changed first; one that somebody removes meanwhile is left out."""
    changed = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            changed.append((folder.stat().st_mtime, folder))
    return [folder for _, folder in sorted(changed, key=lambda one: -one[0])]


# One row per evaluated circuit.  split: validation | test; condition: knocked_out | isolated;
# budget: joint (the `size` best units) | separate (the `heads` best heads, `neurons` best
# neurons); *_k of *_n prompts; kl: mean KL(intact || ablated) in nats per answer token on
# benign prompts.
FRONTIER_COLUMNS = (
    "split",
    "condition",
    "budget",
    "size",
    "heads",
    "neurons",
    "sparsity",
    "asr_k",
    "asr_n",
    "utility_k",
    "utility_n",
    "recovery_k",
    "recovery_n",
    "kl",
)

# One row per test prompt and variant.  role: attack | benign; variant: clean | triggered;
# expected: the answer a safe model gives; target: what the attack wants (empty for benign);
# verdict_*: success | safe | other on the prompts ASR counts, correct | wrong on the rest.
GENERATION_COLUMNS = (
    "prompt_id",
    "role",
    "variant",
    "category",
    "prompt",
    "expected",
    "target",
    "intact",
    "knocked_out",
    "verdict_intact",
    "verdict_knocked_out",
)

# What a run folder holds.
RUN_FILES = (
    "config.json",
    "scores.safetensors",
    "frontier.parquet",
    "generations.parquet",
    "metrics.json",
)


@dataclass(frozen=True)
class Run:
    """One saved discovery."""

    run_id: str
    config: DiscoveryConfig
    space: UnitSpace
    scores: np.ndarray
    frontier: pd.DataFrame
    generations: pd.DataFrame
    metrics: Metrics

    @cached_property
    def ranked(self) -> Ranking:
        """The units in order, the most responsible first."""
        return Ranking(self.space, self.scores, self.config.granularity)

    @property
    def ranking(self) -> np.ndarray:
        """Flat unit indices [units], the most responsible first."""
        return self.ranked.order

    @cached_property
    def joint_sizes(self) -> list[int]:
        """Sizes of the joint budget that were evaluated on test prompts, ascending."""
        return sorted({int(size) for size in self._evaluated("joint")["size"]})

    @cached_property
    def budget_points(self) -> list[tuple[int, int]]:
        """Pairs (heads, neurons) that were evaluated with separate budgets, ascending."""
        rows = self._evaluated("separate")
        return sorted(
            {(int(h), int(n)) for h, n in zip(rows["heads"], rows["neurons"], strict=True)}
        )

    def _evaluated(self, budget: str) -> pd.DataFrame:
        rows = self.frontier
        knocked_out = (rows["split"] == "test") & (rows["condition"] == "knocked_out")
        return rows.loc[knocked_out & (rows["budget"] == budget)]

    @property
    def size(self) -> int:
        """|C| of the circuit this run reports."""
        return self.metrics.circuit.size

    def circuit(self, size: int | None = None) -> Circuit:
        """The `size` best units; by default the reported circuit."""
        if size is None or size == self.size:
            return Circuit.of(self.space, self.metrics.circuit.units)
        return self.ranked.best(size)

    def circuit_of(self, heads: int, neurons: int) -> Circuit:
        """The `heads` best heads and the `neurons` best neurons."""
        return self.ranked.best_of_each(heads, neurons)


class RunStore(FolderStore[Run]):
    """Runs under one folder, and any run folder given by its path."""

    noun = "run"
    files = RUN_FILES
    choose = "give an id that `circuitviz runs` lists, or the path of a run folder"

    def save(self, run: Run) -> Path:
        """Write a run; it replaces an earlier one of the same configuration.

        The folder appears only when it is complete.
        """
        final = self.folder / run.run_id
        with whole_folder(final) as draft:
            self._write(run, draft)
        return final

    def _read(self, folder: Path) -> Run:
        scores = load_file(folder / "scores.safetensors")
        heads, neurons = scores["head"], scores["neuron"]
        space = UnitSpace(heads.shape[0], heads.shape[1], neurons.shape[1])
        return Run(
            run_id=folder.name,
            config=DiscoveryConfig.from_json(json.loads((folder / "config.json").read_text())),
            space=space,
            scores=space.join(heads, neurons),
            frontier=pd.read_parquet(folder / "frontier.parquet"),
            generations=pd.read_parquet(folder / "generations.parquet"),
            metrics=Metrics.read(folder / "metrics.json"),
        )

    @staticmethod
    def _write(run: Run, folder: Path) -> None:
        heads, neurons = run.space.split(run.scores.astype(np.float32))
        save_file(
            {"head": np.ascontiguousarray(heads), "neuron": np.ascontiguousarray(neurons)},
            folder / "scores.safetensors",
        )
        run.frontier[list(FRONTIER_COLUMNS)].to_parquet(folder / "frontier.parquet", index=False)
        run.generations[list(GENERATION_COLUMNS)].to_parquet(
            folder / "generations.parquet", index=False
        )
        for name, data in (("config.json", run.config), ("metrics.json", run.metrics)):
            text = json.dumps(data.to_json(), indent=1)
            (folder / name).write_text(text + "\n", encoding="utf-8")
