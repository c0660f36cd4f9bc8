"""`circuitviz models`: the embedded models."""

from __future__ import annotations

import argparse
from typing import Any

from circuitviz.cli_text import aligned_table
from circuitviz.commands.library import Library
from circuitviz.commands.options import AddParser, add_json_option, command
from circuitviz.commands.output import say, say_json
from circuitviz.models.catalog import ModelCard

__all__ = ["add"]


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(commands, "models", _models, "list the embedded models")
    add_json_option(parser)


def _models(options: argparse.Namespace, library: Library) -> int:
    cards = library.models()
    if options.json:
        say_json([_card_json(card) for card in cards])
    else:
        rows = [(card.name, card.behaviour_kind or "-", card.summary) for card in cards]
        say(aligned_table(("MODEL", "BEHAVIOUR", "WHAT IT IS"), rows))
    return 0


def _card_json(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "behaviour_kind": card.behaviour_kind,
        "headline": card.headline,
        "folder": str(card.folder),
    }
