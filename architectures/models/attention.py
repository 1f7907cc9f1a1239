"""Attention among the tokens of each document, where many documents stand on end without padding.

    documents   [ a a a a | b b | c c c c c ]        one row, positions restart with each document
    a token sees those of its own document up to itself, at most a window back; scores may be capped (Gemma 2)

Known to transformers as "documents", so that every model that takes its attention from there can use it. On a
CPU the gradients are written out and documents of like length are computed together; on a GPU it is flex
attention, which skips foreign blocks.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from architectures.compatibility.torch import softmax_gradient
from architectures.models.documents import Documents, Group
from architectures.models.fused_ops import matmul_dtype
from architectures.values import Context, Layer

ATTENTION = "documents"


class GroupedAttention(torch.autograd.Function):
    """Softmax attention within documents, group by group, with its gradient; keeps the weights, and the
    capped scores if there is a cap.
    """

    @staticmethod
    def forward(
        ctx: Context,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        documents: Documents,
        scale: float,
        cap: float,
        window: int | None,
    ) -> Tensor:
        """query: (tokens, heads, size); key: (tokens, key heads, size); value: (tokens, key heads, value
        size) -> (tokens, heads, value size)
        """
        out = query.new_empty(*query.shape[:2], value.shape[2])
        kept: list[Tensor | None] = []
        for group in documents.groups:
            q, k, v = GroupedAttention.heads(group, query, key, value)
            scores = torch.bmm(q, k.mT).float()
            capped = None
            if cap:
                scores.mul_(2 * scale / cap).sigmoid_().mul_(2).sub_(1)  # tanh, as CPUs do it quickest
                capped = scores.to(query.dtype, copy=True)
                scores.mul_(cap)
            else:
                scores.mul_(scale)
            scores.view(-1, group.width, group.width).masked_fill_(
                documents.hidden(group.width, window), -torch.inf
            )
            weights = scores.softmax(-1).to(query.dtype)
            mixed = torch.bmm(weights, v)
            group.unpad(mixed.view(-1, query.shape[1], group.width, value.shape[2]), out)
            kept += [weights, capped]
        ctx.save_for_backward(query, key, value, *kept)
        ctx.settings = documents, scale
        return out

    @staticmethod
    def heads(group: Group, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Padded; queries that share a key head follow one another: q (documents * key heads, queries,
        size), k and v alike.
        """
        shared = query.shape[1] // key.shape[1]
        q = group.pad(query).reshape(-1, shared * group.width, query.shape[2])
        k, v = (group.pad(x).reshape(-1, group.width, x.shape[2]) for x in (key, value))
        return q, k, v

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        query, key, value, *kept = ctx.saved_tensors
        documents, scale = ctx.settings
        dq, dk, dv = (x.new_empty(x.shape) for x in (query, key, value))
        for group, weights, capped in zip(documents.groups, kept[::2], kept[1::2], strict=True):
            q, k, v = GroupedAttention.heads(group, query, key, value)
            g = group.pad(gradients[0]).reshape(*q.shape[:2], value.shape[2])
            if group.gather is not None:  # what stands in padded places must add nothing
                there = g.new_zeros(len(group.gather)).index_fill_(0, group.scatter, 1)
                g = (
                    g.view(-1, query.shape[1], group.width, value.shape[2])
                    * there.view(-1, 1, group.width, 1)
                ).view(g.shape)
            d = softmax_gradient(torch.bmm(g, v.mT).float(), weights.float())
            if capped is not None:
                d.mul_(torch.mul(capped, capped).neg_().add_(1))
            d = d.mul_(scale).to(query.dtype)
            shapes = [(-1, x.shape[1], group.width, x.shape[2]) for x in (query, key, value)]
            group.unpad(torch.bmm(d, k).view(shapes[0]), dq)
            group.unpad(torch.bmm(d.mT, q).view(shapes[1]), dk)
            group.unpad(torch.bmm(weights.mT, g).view(shapes[2]), dv)
        return dq, dk, dv, None, None, None, None


@cache
def flex_attention() -> Any:
    """Flex attention, compiled for any number of tokens (Dong et al. 2024,
    https://arxiv.org/abs/2412.05496).
    """
    from torch.nn.attention import flex_attention

    return torch.compile(flex_attention.flex_attention, dynamic=True)


def flex_document_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    documents: Documents,
    scale: float,
    cap: float,
    window: int | None,
) -> Tensor:
    """As `GroupedAttention.forward`, in one kernel that passes over the blocks in which no token sees
    another.
    """

    def capped(score: Tensor, *place: Tensor) -> Tensor:
        return cap * torch.tanh(score / cap)

    q, k, v = (x.transpose(0, 1)[None] for x in (query, key, value))
    mask = documents.block_mask(window)
    grouped = query.shape[1] != key.shape[1]
    found: Tensor = flex_attention()(
        q, k, v, score_mod=capped if cap else None, block_mask=mask, scale=scale, enable_gqa=grouped
    )
    return found[0].transpose(0, 1)


def _masked_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float, cap: float
) -> Tensor:
    """Attention under a mask, as in generation from padded prompts and a cache of keys.

    query: (batch, heads, queries, size); key, value: (batch, key heads, keys, size); mask: bool (batch, 1,
    queries, keys), true where a key is seen -> as query
    """
    if not cap:
        grouped = query.shape[1] != key.shape[1]
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped
        )
    batch, heads, queries, size = query.shape
    q = query.reshape(batch, key.shape[1], -1, size)
    scores = (q @ key.mT).float().mul_(scale / cap).tanh_().mul_(cap).view(batch, heads, queries, -1)
    weights = scores.masked_fill_(~mask, torch.finfo(torch.float32).min).softmax(-1).to(value.dtype)
    return (weights.view(batch, key.shape[1], -1, key.shape[2]) @ value).view(query.shape)


def _attend(
    module: Layer,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    documents: Documents | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """What transformers calls. query: (batch, heads, tokens, size) -> (batch, tokens, heads, size)

    Documents and a batch of one row, or neither and a mask, or neither of them: each row is one document.
    """
    if dropout or others.get("s_aux") is not None:
        raise ValueError(
            "model.attention=auto knows neither dropout nor sinks in attention: set model.attention=eager"
        )
    scale, cap = scaling or query.shape[-1] ** -0.5, softcap or 0.0
    if documents is None and (attention_mask is not None or query.shape[2] != key.shape[2]):
        mask = (
            torch.ones(1, 1, 1, 1, dtype=torch.bool, device=query.device)
            if attention_mask is None
            else attention_mask
        )
        return _masked_attention(query, key, value, mask, scale, cap).transpose(1, 2), None
    if documents is None:
        documents = Documents([query.shape[2]] * query.shape[0], query.device)
    q, k, v = (x.transpose(1, 2).flatten(0, 1).to(matmul_dtype(value)) for x in (query, key, value))
    window = sliding_window if sliding_window and sliding_window < max(documents.lengths) else None
    found = (flex_document_attention if query.is_cuda else GroupedAttention.apply)(
        q, k, v, documents, scale, cap, window
    )
    return found.view(query.shape[0], query.shape[2], query.shape[1], -1), None


def _padding_mask(*, attention_mask: Tensor | None = None, **settings: Any) -> Tensor | None:
    """The mask of padded rows; none where nothing is padded, since `_attend` knows what is seen then."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None:
        return None
    found: Tensor | None = sdpa_mask(
        attention_mask=attention_mask, **settings | {"allow_is_causal_skip": False}
    )
    return found


def register_attention() -> None:
    """Make it known to transformers."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, _padding_mask)
