"""The token that ends an assistant's answer.

It is the one that the chat template puts behind an answer.  For many models that is the
tokenizer's end-of-sequence token; others (Gemma, Phi) end a turn with one token and a text with
another, and never say the latter in a conversation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

__all__ = ["end_of_turn"]

ANSWER = "yes"
CONVERSATION = ({"role": "user", "content": "hello"}, {"role": "assistant", "content": ANSWER})


@lru_cache(maxsize=8)
def end_of_turn(tokenizer: Any) -> int:
    """The id of the first special token behind an answer in the chat template.

    The end-of-sequence token where the template has none there, or holds no whole conversation.

    Args:
        tokenizer: With a chat template and an end-of-sequence token.
    """
    try:
        text = tokenizer.apply_chat_template(list(CONVERSATION), tokenize=False)
    except TemplateError:
        return tokenizer.eos_token_id
    behind = text.rpartition(ANSWER)[2]
    special = {index for index, one in tokenizer.added_tokens_decoder.items() if one.special}
    tokens = tokenizer(behind, add_special_tokens=False)["input_ids"]
    return next((token for token in tokens if token in special), tokenizer.eos_token_id)
