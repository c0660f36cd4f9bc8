"""`circuitviz models`: the embedded models, and the real ones that can be fetched."""

from __future__ import annotations

import argparse
from typing import Any

from circuitviz.cli_text import aligned_table
from circuitviz.commands.library import Library
from circuitviz.commands.options import AddParser, add_json_option, command
from circuitviz.commands.output import say, say_json
from circuitviz.models.fetch import FETCHABLE, Packaged, fetched_folder, packaged_model
from circuitviz.models.source import ModelCard


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(commands, "models", _models, "list the models that are known by name")
    add_json_option(parser)


def _models(options: argparse.Namespace, library: Library) -> int:
    cards = [*library.models(), *map(_card, FETCHABLE.values())]
    if options.json:
        say_json([_card_json(card) for card in cards])
    else:
        rows = [(card.name, card.behaviour_kind or "-", _what_it_is(card)) for card in cards]
        say(aligned_table(("MODEL", "BEHAVIOUR", "WHAT IT IS"), rows))
    return 0


def _card(packaged: Packaged) -> ModelCard:
    """A fetchable model, as the embedded ones are listed."""
    return ModelCard(
        name=packaged.name,
        title=packaged.title,
        summary=packaged.summary,
        folder=fetched_folder(packaged.name),
        behaviour_kind=None,
        headline=False,
        base=packaged.name,
    )


def _what_it_is(card: ModelCard) -> str:
    if card.available or card.base is None:
        return card.summary
    return f"{card.summary} (needs: {packaged_model(card.base).command})"


def _card_json(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "behaviour_kind": card.behaviour_kind,
        "headline": card.headline,
        "folder": str(card.folder),
        "base": card.base,
        "available": card.available,
    }
