"""Progress on standard error, for every command that takes a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 5.0
"""Time between two lines of progress where standard error is no terminal."""

_REFRESH_INTERVAL_S = 0.2


class ProgressDisplay:
    """Progress on standard error: a bar on a terminal, a line every few seconds elsewhere.

    Args:
        label: What is going on, such as "training".
        total: Units of work.
        unit: Their plural, such as "steps".
        is_quiet: Show nothing at all.
    """

    def __init__(self, label: str, total: int, unit: str, *, is_quiet: bool = False) -> None:
        self._label, self.total, self._unit = label, total, unit
        self._is_quiet = is_quiet
        self._started_s = self._shown_s = time.monotonic()
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if console.is_terminal and not is_quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[text]}"),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task(label, total=total, text=unit)

    def __enter__(self) -> Self:
        """Show the bar, if there is one."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away and give the terminal back."""
        if self._bar is not None:
            self._bar.stop()

    def update(
        self, done: int, note: Callable[[], str] | None = None, *, is_last: bool = False
    ) -> None:
        """Show ``done`` units and a note, unless the last picture is still fresh.

        Args:
            done: Units of work done.
            note: Returns more to say; called only when it is shown.
            is_last: Show it in any case.
        """
        now_s = time.monotonic()
        interval_s = PLAIN_INTERVAL_S if self._bar is None else _REFRESH_INTERVAL_S
        if self._is_quiet or (now_s - self._shown_s < interval_s and not is_last):
            return
        self._shown_s = now_s
        rate = done / max(now_s - self._started_s, 1e-9)
        said = note() if note else ""
        text = f"{self._unit}, {rate:,.3g} {self._unit}/s{said and ', '}{said}"
        if self._bar is not None:
            self._bar.update(self._task, completed=min(done, self.total), text=text)
            return
        left_s = max(self.total - done, 0) / max(rate, 1e-9)
        sys.stderr.write(f"{self._label}: {done:,}/{self.total:,} {text}, ETA {left_s:.0f} s\n")
        sys.stderr.flush()
