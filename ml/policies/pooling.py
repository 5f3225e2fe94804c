"""How the embeddings of a changing number of peers become features of one size.

``max`` is Deep Sets' maximum, and the one that compiled code can run. The others are there to be
compared with it.
"""

from __future__ import annotations

import torch

POOLINGS = ("max", "mean", "attention", "slots")
"""``mean``: of the peers present. ``attention``: their mean, weighed by a softmax of a learned
score (Ilse et al., "Attention-based Deep Multiple Instance Learning", ICML 2018). ``slots``: one
after the other as they stand in their slots, so that their order counts."""


def pooled_size(pooling: str, embed_dim: int, num_slots: int) -> int:
    """Return the number of features that pooling makes of embeddings.

    >>> pooled_size("max", 32, 8), pooled_size("slots", 32, 8)
    (32, 256)
    """
    return embed_dim * num_slots if pooling == "slots" else embed_dim


def pool(
    pooling: str,
    embedded: torch.Tensor,
    is_present: torch.Tensor,
    score: torch.nn.Module | None = None,
) -> torch.Tensor:
    """Return the features of all peers; zeros without any.

    Args:
        pooling: One of POOLINGS.
        embedded: (batch, slots, embedding), at least 0, and zeros in an empty slot.
        is_present: (batch, slots, 1), bool.
        score: What weighs an embedding, (..., embedding) to (..., 1); for ``attention`` only.

    Returns:
        (batch, ``pooled_size``).
    """
    if pooling == "max":
        return embedded.amax(dim=1)
    if pooling == "slots":
        return embedded.flatten(start_dim=1)
    if score is None:
        return embedded.sum(dim=1) / is_present.sum(dim=1).clamp(min=1)
    scores = torch.where(is_present, score(embedded), torch.finfo(embedded.dtype).min)
    return (torch.softmax(scores, dim=1) * embedded).sum(dim=1)
