"""A frozen model with gates on all its heads and neurons."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.models.ablation import ZERO, Ablation, message_key
from circuitviz.models.gates import Gates, gated
from circuitviz.models.generation import answers_by_length, begin_once, continue_greedily
from circuitviz.models.tokens import Continuations, chat_tokens, end_of_turn
from circuitviz.units import Circuit, UnitSpace

# Rows of one forward-backward pass on a CPU, and the units from which a model has many.
CPU_ROWS, MANY_UNITS = 4, 8192

# Of these, logits are the unembedding of the last hidden state and nothing more, and padding on the
# left is what the library expects.
PLAIN_DECODERS = frozenset({"llama", "mistral", "qwen2", "qwen3"})

# Tokens of an answer that are generated, and so those that count of a longer one.
LONGEST_ANSWER = 32


class GatedModel:
    """One `TransformerBridge` whose weights are frozen and whose units can be gated.

    Args:
        name: What it was loaded by.
        bridge: The model, gate hooks installed.
        tokenizer: Its tokenizer, with a chat template.
        space: Its units.
        micro_batch: Most rows of one forward-backward pass; None is no limit, but a few on a CPU
            with a model of many units.
    """

    def __init__(
        self,
        name: str,
        bridge: TransformerBridge,
        tokenizer: Any,
        space: UnitSpace,
        *,
        micro_batch: int | None = None,
    ) -> None:
        self.name = name
        self.bridge = bridge
        self.tokenizer = tokenizer
        self.space = space
        self.device = next(bridge.parameters()).device
        # On a CPU more rows at once gain no speed, and of a real model they take gigabytes.
        pieces = self.device.type == "cpu" and len(space) > MANY_UNITS
        self.micro_batch = CPU_ROWS if micro_batch is None and pieces else micro_batch

    @cached_property
    def continuations(self) -> Continuations:
        """Which tokens begin as another one does."""
        return Continuations(self.tokenizer)

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights and activations."""
        return next(self.bridge.parameters()).dtype

    @property
    def d_vocab(self) -> int:
        """Tokens that it gives logits for."""
        return self.bridge.cfg.d_vocab

    def prompt_tokens(self, message: str) -> list[int]:
        """A user message in the chat template, ready for the assistant's answer."""
        return chat_tokens(self.tokenizer, message)

    def answer_tokens(
        self, answer: str, *, complete: bool = True, longest: int | None = None
    ) -> list[int]:
        """An assistant's answer; `complete` ones end with the token that ends a turn.

        Of an answer with at least `longest` tokens only those are given, without an end: it is
        all that generation shows of it.
        """
        tokens = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        if longest is not None and len(tokens) >= longest:
            return tokens[:longest]
        return [*tokens, end_of_turn(self.tokenizer)] if complete else tokens

    def cut(self, answer: str, longest: int = LONGEST_ANSWER) -> str:
        """An answer as generation shows it: at most its first `longest` tokens."""
        tokens = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        if len(tokens) <= longest:
            return answer
        return self.tokenizer.decode(tokens[:longest], skip_special_tokens=True)

    def logits(
        self, tokens: Int[Tensor, "batch pos"], gates: Gates | None = None
    ) -> Float[Tensor, "batch pos d_vocab"]:
        """Logits of tokens under gates.

        Padding goes on the right: attention is causal, so no mask is needed.
        """
        # Keys and values are not needed later, and a layer that is computed again must not find
        # them.
        with gated(gates):
            return self.bridge(tokens.to(self.device), return_type="logits", use_cache=False)

    def logits_at(
        self,
        tokens: Int[Tensor, "batch pos"],
        where: Bool[Tensor, "batch pos"],
        gates: Gates | None = None,
    ) -> Float[Tensor, "places d_vocab"]:
        """Logits at the places where `where` is true.

        A large vocabulary costs as much as many layers: where the architecture allows it, the rest
        of the positions get no logits at all.
        """
        if not self.has_hidden:
            return self.logits(tokens, gates)[where.to(self.device)]
        return self.unembed(self.hidden_at(tokens, where, gates))

    def hidden_at(
        self,
        tokens: Int[Tensor, "batch pos"],
        where: Bool[Tensor, "batch pos"],
        gates: Gates | None = None,
    ) -> Float[Tensor, "places d_model"]:
        """What logits are computed from, at the places where `where` is true.

        Only of a model that `has_hidden`.  Without gradients, what all rows begin with (a system
        prompt) is read once for all that are under the same gates.
        """
        plain: Any = self.bridge.original_model
        decoder = getattr(plain, plain.base_model_prefix)
        tokens = tokens.to(self.device)
        before = int(where.any(0).float().argmax())
        read, known = begin_once(decoder, tokens[:, :before], gates)
        with gated(gates):
            hidden = decoder(
                input_ids=tokens[:, read:], past_key_values=known, use_cache=False
            ).last_hidden_state
        return hidden[where[:, read:].to(hidden.device)]

    def unembed(self, hidden: Float[Tensor, "places d_model"]) -> Float[Tensor, "places d_vocab"]:
        """Logits of what `hidden_at` gave."""
        plain: Any = self.bridge.original_model
        return plain.get_output_embeddings()(hidden)

    @cached_property
    def has_hidden(self) -> bool:
        """Whether logits are the unembedding of `hidden_at`, and nothing more."""
        config = getattr(self.bridge.original_model, "config", None)
        return getattr(config, "model_type", "") in PLAIN_DECODERS

    def generate(
        self,
        prompts: Sequence[str],
        circuit: Circuit | None = None,
        *,
        ablation: Ablation = ZERO,
        max_new_tokens: int = LONGEST_ANSWER,
    ) -> list[str]:
        """Greedy answers to user messages, with a circuit knocked out or (None) intact.

        Prompts of like length are run together, padded on the left; where an architecture may not
        take that, only those of one length.
        """
        return self.generate_each(
            prompts, [circuit] * len(prompts), ablation=ablation, max_new_tokens=max_new_tokens
        )

    @torch.no_grad()
    def generate_each(
        self,
        prompts: Sequence[str],
        circuits: Sequence[Circuit | None],
        *,
        ablation: Ablation = ZERO,
        max_new_tokens: int = LONGEST_ANSWER,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> list[str]:
        """Greedy answers to user messages, each with a circuit of its own knocked out.

        Args:
            prompts: User messages.
            circuits: What is knocked out for each; None is the intact model.
            ablation: What ablated units are replaced by.
            max_new_tokens: Longest answer, in tokens.
            checkpoint: Called before each batch and after each of its tokens, `max_checkpoints`
                times or less; may raise to stop.  Not called where prompts cannot be padded.
        """
        end = end_of_turn(self.tokenizer)

        def gates_of(rows: list[int]) -> Gates | None:
            keys = [message_key(prompts[row]) for row in rows]
            return self.knocked_out([circuits[row] for row in rows], ablation, keys)

        def continued(tokens: Tensor, rows: list[int]) -> Tensor:
            with gated(gates_of(rows)):
                return self.bridge.generate(
                    tokens.to(self.device),
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    eos_token_id=end,
                    return_type="tokens",
                    verbose=False,
                )  # type: ignore[return-value]  # a tensor, since return_type is "tokens"

        if not self.has_hidden:
            return answers_by_length(self.tokenizer, prompts, continued)
        answers = continue_greedily(
            self.bridge.original_model,
            [self.prompt_tokens(prompt) for prompt in prompts],
            gates_of,
            end=end,
            most=max_new_tokens,
            checkpoint=checkpoint,
        )
        return [self.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in answers]

    def stream(
        self,
        prompt: str,
        circuit: Circuit | None = None,
        *,
        ablation: Ablation = ZERO,
        max_new_tokens: int = LONGEST_ANSWER,
    ) -> Generator[str, None, None]:
        """The greedy answer so far, after each token: the last one is what `generate` gives.

        The model keeps the attention of one answer between two tokens, so it may run nothing else
        before the last one.

        Args:
            prompt: A user message.
            circuit: What is knocked out; None: nothing.
            ablation: What ablated units are replaced by.
            max_new_tokens: After so many the answer is cut off.
        """
        tokens, end = self.prompt_tokens(prompt), end_of_turn(self.tokenizer)
        gates = self.knocked_out([circuit], ablation, [message_key(prompt)])
        chunks = self.bridge.generate_stream(
            torch.tensor([tokens], device=self.device),
            max_new_tokens=max_new_tokens,
            max_tokens_per_yield=1,
            do_sample=False,
            eos_token_id=end,
            return_type="tokens",
            verbose=False,
        )
        answer: list[int] = []
        # The first chunk begins with the prompt.
        skip = len(tokens)
        while True:
            # In force for this step only: what reads the answer has a context of its own.
            with gated(gates), torch.no_grad():
                chunk = next(chunks, None)
            if chunk is None:
                return
            new = chunk[0].tolist()[skip:]  # type: ignore[union-attr]  # tensors, by return_type
            skip = 0
            answer += new[: new.index(end)] if end in new else new
            yield self.tokenizer.decode(answer, skip_special_tokens=True)

    def knocked_out(
        self, circuits: Sequence[Circuit | None], ablation: Ablation, keys: Sequence[int]
    ) -> Gates | None:
        """Gates that ablate one circuit per row, or one for all rows; None where nothing is.

        Args:
            circuits: What is knocked out; None is nothing.
            ablation: What ablated units are replaced by.
            keys: Of each row, what `Ablation.reference` draws by.
        """
        if all(circuit is None for circuit in circuits):
            return None
        nothing = Circuit(self.space, frozenset())
        return Gates.knock_out(
            [circuit or nothing for circuit in circuits],
            ablation.reference(keys),
            device=str(self.device),
        )
