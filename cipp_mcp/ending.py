"""The end of the process: signals that ask for it, and a limit to how long it may take."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""As far as the system knows them: SIGHUP is not Windows', SIGBREAK nobody else's."""


@dataclass
class Stopped:
    """The signal that ended the work, if one did."""

    signal: int | None = None


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[Stopped]:
    """Calls `stop` on the running event loop when a signal asks the process to end; a second one ends it at once.

    Outside the main thread, where no signal arrives, it does nothing.
    """
    stopped = Stopped()
    loop = asyncio.get_running_loop()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stopped.signal is not None:
            os._exit(128 + number)
        stopped.signal = number
        loop.call_soon_threadsafe(stop)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_within(seconds: float, code: int) -> None:
    """Ends the process with `code` after `seconds`, if it has not ended by then; what holds it is left behind."""

    def leave() -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
