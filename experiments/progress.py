"""How a long study behaves beside other programs, and what it says on the way."""

from __future__ import annotations

import sys
import time

NICENESS = 10
"""Of its processes."""


def say(line: str) -> None:
    """Print a line of progress with the time of day."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
