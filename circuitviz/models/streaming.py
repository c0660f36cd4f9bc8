"""One greedy answer, token by token."""

from __future__ import annotations

from collections.abc import Generator

import torch

from circuitviz.models.ablation import ZERO, Ablation, message_key
from circuitviz.models.gates import Gates, gated
from circuitviz.models.model import GatedModel
from circuitviz.models.tokens import end_of_turn
from circuitviz.units import Circuit


def stream_answer(
    model: GatedModel,
    prompt: str,
    circuit: Circuit | None = None,
    *,
    ablation: Ablation = ZERO,
    max_new_tokens: int = 32,
) -> Generator[str, None, None]:
    """The answer so far, after each token: the last one is what `generate` gives.

    The model keeps the attention of one answer between two tokens, so nobody else may run it
    before the last one.

    Args:
        model: The model.
        prompt: A user message.
        circuit: What is knocked out; None: nothing.
        ablation: What ablated units are replaced by.
        max_new_tokens: After so many the answer is cut off.
    """
    asked = model.prompt_tokens(prompt)
    gates = None
    if circuit is not None:
        reference = ablation.reference([message_key(prompt)])
        gates = Gates.knock_out([circuit], reference, device=str(model.device))
    end = end_of_turn(model.tokenizer)
    chunks = model.bridge.generate_stream(
        torch.tensor([asked], device=model.device),
        max_new_tokens=max_new_tokens,
        max_tokens_per_yield=1,
        do_sample=False,
        eos_token_id=end,
        return_type="tokens",
        verbose=False,
    )
    said: list[int] = []
    skip = len(asked)
    while True:
        # In force for this step only: whoever reads the answer has a context of their own.
        with gated(gates), torch.no_grad():
            chunk = next(chunks, None)
        if chunk is None:
            return
        new = chunk[0].tolist()[skip:]  # type: ignore[union-attr]  # tensors, by return_type
        skip = 0
        said += new[: new.index(end)] if end in new else new
        yield model.tokenizer.decode(said, skip_special_tokens=True)
