"""Answers of the intact model, kept beside the behaviour that needs them.

They lie in `answered-<model>-<weights>.jsonl`: whoever has the model finds those of its very
weights, and whoever has only its name those that were written last.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt, read_prompts, write_prompts
from circuitviz.errors import PromptFileError

__all__ = ["answered_before", "keep_answers"]


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
        return behaviour.answered(read_prompts(newest))
    except PromptFileError:
        # Half a file, or an older version's: the model is asked again.
        return None


def keep_answers(
    behaviour: Behaviour, prompts: Iterable[Prompt], model: str, weights: str
) -> Path | None:
    """Keep answered prompts beside their behaviour; None where nothing can be written."""
    if behaviour.folder is None or not os.access(behaviour.folder, os.W_OK):
        return None
    final = behaviour.folder / f"answered-{_digest(model)}-{weights}.jsonl"
    # Under its name only once it is whole: others may look for it meanwhile.
    handle, draft = tempfile.mkstemp(prefix=".answered-", dir=behaviour.folder)
    os.close(handle)
    try:
        write_prompts(Path(draft), prompts)
        os.replace(draft, final)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return final


def _digest(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()[:12]
