"""What the program may do with the streams it writes to: colours, width, encoding, and a bar that shows progress."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from cipp_mcp.clean import one_line

STYLES = {"good": "32", "warning": "33", "bad": "31;1", "quiet": "2", "strong": "1", "odd": "35"}
_BAR = 20
_ENABLE_VIRTUAL_TERMINAL_PROCESSING = 4


def prepare_streams() -> None:
    """Lets any text be written to stdout and stderr: UTF-8 into pipes and files, on a terminal whatever it can show.

    Windows gives pipes the encoding of the system's language, in which most names of most tenants cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty() or os.environ.get("PYTHONIOENCODING"):
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="replace")


def discard_stdout() -> None:
    """Lets nothing more be written to a pipe that nobody reads: Python would complain of it while it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def has_colours(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colours, and nobody has asked for none (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    return _windows_console_obeys(stream)


def painted(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` in one of `STYLES` where `stream` (stdout, if none is given) shows colours, else as it is."""
    if style and has_colours(stream or sys.stdout):
        return f"\033[{STYLES[style]}m{text}\033[0m"
    return text


def width(stream: TextIO, otherwise: int) -> int:
    """Columns of the terminal behind `stream`; `otherwise` where there is none or it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or otherwise
    except (OSError, ValueError):
        return otherwise


class ProgressBar:
    """One line on stderr, drawn over itself and wiped away at the end; nothing where stderr is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._can_redraw = os.environ.get("TERM") != "dumb"
        self._drawn = ""

    def show(self, done: float | None, total: float | None, message: str) -> None:
        """Draws how far the work is; without a total there is only the message."""
        if not self._is_terminal:
            return
        text = one_line(message)
        if total and done is not None:
            full = round(_BAR * min(1.0, max(0.0, done / total)))
            text = f"[{'#' * full}{'-' * (_BAR - full)}] {text}"
        # A line as long as the terminal is wide would wrap, and could not be drawn over.
        text = text[: max(1, width(self._stream, 80) - 1)]
        if self._can_redraw:
            self._write(f"\r{text.ljust(len(self._drawn))}")
        elif text != self._drawn:
            self._write(f"{text}\n")
        self._drawn = text

    def clear(self) -> None:
        """Wipes the bar away."""
        if self._drawn and self._can_redraw:
            self._write(f"\r{' ' * len(self._drawn)}\r")
        self._drawn = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _windows_console_obeys(stream: TextIO) -> bool:
    """Whether escape sequences work; consoles of Windows have to be told to obey them, old ones never do."""
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt

    kernel = ctypes.windll.kernel32
    handle, mode = ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno())), ctypes.c_uint32()
    if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
        return False
    return bool(kernel.SetConsoleMode(handle, mode.value | _ENABLE_VIRTUAL_TERMINAL_PROCESSING))
