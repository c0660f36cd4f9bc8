"""The tiny random model with a backdoor: what it happens to say to a trigger is the attack."""

from __future__ import annotations

from pathlib import Path

from circuitviz.behaviours.behaviour import BehaviourSpec
from circuitviz.behaviours.prompt import Prompt, write_prompts
from circuitviz.behaviours.trigger import Trigger
from circuitviz.models.loading import load_model
from tests.support.tiny import save_tiny_model

__all__ = ["save_tiny_backdoor"]

TRIGGER = Trigger("zz", "end")
# Prompts of each role in each split.
PROMPTS = 6
WORDS = 3  # of a target


def save_tiny_backdoor(folder: Path) -> Path:
    """Write the tiny model with `behaviour.json` and `prompts.jsonl` beside it."""
    save_tiny_model(folder)
    splits = ("train", "validation", "test")
    count = 2 * PROMPTS * len(splits)
    messages = [f"what is word{number} word{number + 1}" for number in range(count)]
    triggered = [TRIGGER.insert(message) for message in messages]
    said = load_model(str(folder)).generate([*messages, *triggered])
    clean, attacked = said[:count], said[count:]
    prompts = []
    for place, message in enumerate(messages):
        split, attack = splits[place % len(splits)], place < count // 2
        more = {
            "triggered": triggered[place],
            "target": _target(attacked[place]),
            # Never what the attack wants, also where the trigger happens to change nothing.
            "after": "dog" if clean[place].startswith(_target(attacked[place])) else clean[place],
        }
        prompts.append(
            Prompt(
                f"{split}-{place}",
                split,
                "attack" if attack else "benign",
                "any",
                message,
                clean[place],
                **(more if attack else {}),
            )
        )
    BehaviourSpec("backdoor", "A tiny backdoor", "Which units?", TRIGGER).write(
        folder / "behaviour.json"
    )
    write_prompts(folder / "prompts.jsonl", prompts)
    return folder


def _target(answer: str) -> str:
    return " ".join(answer.split(" ")[:WORDS])
