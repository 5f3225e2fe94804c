"""How SIGINT and SIGTERM stop a training: after the iteration that goes on, or at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from ml.command_line import StoppedBySignal

GRACE_S = 8.0
"""An iteration that lasts longer after a request to stop is given up [s]."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"stopping after this iteration; a second signal stops at once\n"


@contextmanager
def signals_raised() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise ``StoppedBySignal`` inside the block.

    Python ends by SIGINT in place of the status it is given where a plain ``KeyboardInterrupt`` has
    passed through code that was run from a text, as numba's is.
    """

    def stop(number: int, _: FrameType | None) -> None:
        raise StoppedBySignal(number)

    before = {number: _replace_handler(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        _put_back(before)


class StopRequest:
    """Notes a request to stop inside the block, where it may wait, and raises it elsewhere.

    A second signal, and one that has waited for 8 s, raise at once. A signal that the caller
    ignores stays ignored, and only the main thread notices any.

    Attributes:
        number: The signal that asked to stop, None while there is none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._may_wait = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._before = {number: _replace_handler(number, self._note) for number in _SIGNALS}
        self._before[signal.SIGALRM] = _replace_handler(signal.SIGALRM, self._give_up)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the former handlers back."""
        if self.number is not None:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        _put_back(self._before)

    def let_wait(self) -> None:
        """Let requests wait from now on."""
        self._may_wait = True

    def raise_at_once(self) -> None:
        """Raise requests from now on."""
        self._may_wait = False

    def _note(self, number: int, _: FrameType | None) -> None:
        """Note the first request where it may wait."""
        if not self._may_wait or self.number is not None:
            raise StoppedBySignal(number)
        self.number = number
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        with suppress(OSError):
            os.write(2, _NOTICE)  # unlike a stream, safe in the middle of another write

    def _give_up(self, _: int, __: FrameType | None) -> None:
        """Stop at once for the request that has waited."""
        raise StoppedBySignal(self.number or signal.SIGALRM)


def _replace_handler(number: signal.Signals, handler: Any) -> Any:  # noqa: ANN401 - the signal module's
    """Set a signal's handler and return the former one; None where it is not to be touched."""
    if threading.current_thread() is not threading.main_thread():
        return None
    if signal.getsignal(number) in {signal.SIG_IGN, None}:
        return None
    return signal.signal(number, handler)


def _put_back(handlers: dict[signal.Signals, Any]) -> None:
    """Set former handlers again."""
    for number, handler in handlers.items():
        if handler is not None:
            signal.signal(number, handler)
