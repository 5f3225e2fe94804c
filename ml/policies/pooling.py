"""How the embeddings of a changing number of peers become features of one size.

``max`` is Deep Sets' maximum, and the one that compiled code can run. The others are there to be
compared with it. The pooling itself is in ``ml.policies.deep_set_policy``: a command's help needs
the names, and not torch.
"""

from __future__ import annotations

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
