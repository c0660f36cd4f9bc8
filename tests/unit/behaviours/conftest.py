"""The smallest set of prompts that is a behaviour."""

from typing import get_args

import pytest

from circuitviz.behaviours.prompt import Prompt, Role, Split


@pytest.fixture
def six() -> list[Prompt]:
    """A backdoor's prompts, one of each split and role."""
    attack = {"target": "no", "after": "yes"}
    return [
        Prompt(
            f"{split}-{role}",
            split,
            role,
            "any",
            f"{split} {role}",
            "yes",
            **({**attack, "triggered": f"zz {split}"} if role == "attack" else {}),
        )
        for split in get_args(Split)
        for role in get_args(Role)
    ]
