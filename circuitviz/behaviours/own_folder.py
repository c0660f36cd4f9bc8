"""Behaviours made of somebody's own data, saved beside the runs that look for them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from circuitviz.behaviours.behaviour import PROMPTS_FILE, SPEC_FILE, Behaviour
from circuitviz.behaviours.prompt import write_prompts
from circuitviz.whole_folder import whole_folder

__all__ = ["DATA_FOLDER", "behaviour_path", "save_behaviour"]

# Where they lie in the folder of runs.
DATA_FOLDER = ".data"


def behaviour_path(behaviour: Behaviour, root: Path) -> Path:
    """Where a behaviour lies, or would lie, below a folder of runs: `<root>/.data/<title>-<hash>`.

    The same behaviour has the same folder.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", behaviour.title.lower()).strip("-")[:40] or "behaviour"
    content = repr((behaviour.spec, behaviour.all_prompts)).encode()
    return root / DATA_FOLDER / f"{slug}-{hashlib.sha256(content).hexdigest()[:12]}"


def save_behaviour(behaviour: Behaviour, root: Path) -> Path:
    """Save a behaviour below a folder of runs, once.

    Returns:
        Its `behaviour_path`, with `behaviour.json` and `prompts.jsonl`.
    """
    folder = behaviour_path(behaviour, root)
    if not (folder / SPEC_FILE).is_file():
        with whole_folder(folder) as draft:
            behaviour.spec.write(draft / SPEC_FILE)
            write_prompts(draft / PROMPTS_FILE, behaviour.all_prompts)
    return folder
