"""Answers of the intact model, kept beside the behaviour that needs them.

They lie in `answered-<model>-<weights>.jsonl`: whoever has the model finds those of its very
weights, and whoever has only its name those that were written last.  What became of the prompts
that showed nothing stands in the `.json` of the same name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt, read_prompts, write_prompts
from circuitviz.behaviours.screening import Screening
from circuitviz.errors import PromptFileError
from circuitviz.files import whole_file


def answered_before(behaviour: Behaviour, model: str, weights: str = "*") -> Behaviour | None:
    """The behaviour with the answers that a model gave before; None if it gave none yet.

    Args:
        behaviour: A draft.
        model: What the model is called.
        weights: Digest of its weights; without it, whatever was written last.
    """
    if behaviour.folder is None:
        return None
    found = behaviour.folder.glob(f"answered-{_digest(model)}-{weights}.jsonl")
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is None:
        return None
    try:
        told = json.loads(newest.with_suffix(".json").read_text(encoding="utf-8"))
        return behaviour.answered(read_prompts(newest), Screening.from_json(told))
    except (PromptFileError, OSError, ValueError, KeyError, TypeError):
        # Half a file, or an older version's: the model is asked again.
        return None


def keep_answers(
    behaviour: Behaviour,
    prompts: Iterable[Prompt],
    screening: Screening,
    model: str,
    weights: str,
) -> Path | None:
    """Keep answered prompts beside their behaviour; None where nothing can be written."""
    if behaviour.folder is None or not os.access(behaviour.folder, os.W_OK):
        return None
    final = behaviour.folder / f"answered-{_digest(model)}-{weights}.jsonl"
    told = json.dumps(screening.to_json(), indent=1) + "\n"
    with whole_file(final.with_suffix(".json")) as draft:
        draft.write_text(told, encoding="utf-8")
    # Last: whoever finds it finds the other.
    with whole_file(final) as draft:
        write_prompts(draft, prompts)
    return final


def _digest(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()[:12]
