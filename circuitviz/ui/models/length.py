"""How many tokens the prompts are long, as far as the tokenizer's file alone says it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["longest_prompt"]

TOKENIZER = "tokenizer.json"
# A usual chat template's own tokens.
TEMPLATE = 16
# The longest by characters hold the longest by tokens.
LOOKED_AT = 32


def longest_prompt(behaviour: Behaviour, folder: str) -> int | None:
    """Tokens of the longest prompt with its answer; None without a tokenizer.json that reads.

    Args:
        behaviour: What is asked.
        folder: Of the model.
    """
    # Late: imports torch.
    from circuitviz.models.model import LONGEST_ANSWER

    path = Path(folder) / TOKENIZER
    try:
        tokenizer = _tokenizer(str(path), path.stat().st_mtime_ns)
    # The library raises plain exceptions for whatever it cannot read.
    except Exception:
        return None

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    def total(prompt: Prompt) -> int:
        answers = [text for text in (prompt.answer, prompt.target, prompt.after) if text]
        longest = max(map(tokens, answers), default=LONGEST_ANSWER)
        return tokens(prompt.asked) + min(longest, LONGEST_ANSWER)

    by_characters = sorted(behaviour.all_prompts, key=lambda prompt: -len(prompt.asked))
    return TEMPLATE + max(map(total, by_characters[:LOOKED_AT]), default=0)


@st.cache_resource(max_entries=2, show_spinner=False)
def _tokenizer(path: str, modified: int) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)
