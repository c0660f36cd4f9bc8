"""Attention whose heads share keys and values, without a copy of these for every head.

Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245) keeps one key and value for a group
of query heads.  Repeating them for each head, as is usual, takes nearly half the time of a token
that is generated on a CPU.  Queries of one group follow each other here instead, so that each
key is used where it is; every hook point sees what it would see otherwise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components.position_embeddings_attention import (
    PositionEmbeddingsAttentionBridge,
)
from transformers.models.llama.modeling_llama import LlamaAttention, apply_rotary_pos_emb
from transformers.models.mistral.modeling_mistral import MistralAttention
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention

# These rotate queries and keys whole, norm neither, and scale scores by one number.
GROUPED = (LlamaAttention, MistralAttention, Qwen2Attention)


class GroupedAttention(PositionEmbeddingsAttentionBridge):
    """The same attention, computed group by group."""

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Output [batch pos d_model] and pattern [batch n_heads pos keys] of hidden states."""
        given: Tensor = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        plain: Any = self.original_component
        hidden = self.hook_in(given)
        batch, pos, _ = hidden.shape
        query, key, value = (
            project(hidden).view(batch, pos, -1, plain.head_dim).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        turns = self._apply_position_embedding_hooks(kwargs["position_embeddings"])
        query, key = apply_rotary_pos_emb(query, key, *turns)
        query, key = self.hook_rot_q(query), self.hook_rot_k(key)
        cache = kwargs.get("past_key_values")
        key, value = self._update_kv_cache(key, value, past_key_values=cache)
        groups, keys = key.shape[1:3]
        scores = query.reshape(batch, groups, -1, plain.head_dim) @ key.transpose(-2, -1)
        scores = self._apply_reconstruct_attention_mask(
            scores.view(batch, -1, pos, keys) * plain.scaling,
            kwargs.get("attention_mask"),
            keys,
            pos,
        )
        pattern = torch.softmax(self.hook_attn_scores(scores), dim=-1, dtype=torch.float32)
        pattern = self.hook_pattern(pattern.to(query.dtype))
        mixed = pattern.reshape(batch, groups, -1, keys) @ value
        z = mixed.view(batch, -1, pos, plain.head_dim).transpose(1, 2)
        return self.hook_out(self.o(z.reshape(batch, pos, -1))), pattern


def share_keys(bridge: TransformerBridge) -> None:
    """Let a model that groups its heads compute attention by groups, once, where it is known how.

    The same module with another `forward`: a model's parts are found where they were.
    """
    for block in bridge.blocks:
        attention = block.attn
        plain = getattr(attention, "original_component", None)
        groups = getattr(plain, "num_key_value_groups", 1)
        known = type(attention) is PositionEmbeddingsAttentionBridge and type(plain) in GROUPED
        if known and groups > 1:
            attention.__class__ = GroupedAttention
