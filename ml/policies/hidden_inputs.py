"""What a network can be kept from seeing, so as to tell what it is worth."""

from __future__ import annotations

HIDDEN_INPUTS = ("radio", "age")
"""``radio``: the peers, and the ego's number of fresh peers.

``age``: each peer's time since reception, state age and sequence gap, which tell how old it is.
"""

# Columns of `peers` and the index of `ego`; the environment's tables name them.
AGE_COLUMNS = (6, 7, 8)
NUM_FRESH_PEERS = -1
