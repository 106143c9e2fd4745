"""Runs the command on a pseudo-terminal, as a person has it in front of them."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

needs_terminal = pytest.mark.skipif(
    sys.platform == "win32", reason="Python can open pseudo-terminals on POSIX systems only"
)
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Session:
    """What a person saw: `raw` is all that was written, `screen` the lines that stayed, without colours."""

    code: int
    raw: str

    @property
    def screen(self) -> list[str]:
        return [_drawn_over(line) for line in _ESCAPE.sub("", self.raw).split("\n")]


def on_terminal(
    environment: dict[str, str], *arguments: str, typed: Iterable[tuple[str, str]] = (), columns: int = 100
) -> Session:
    """Runs ``cipp-mcp`` with stdin, stdout and stderr on one terminal.

    `typed` are pairs: once the first text has been written, the second is typed and Enter pressed.
    """
    import pty
    import termios

    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"this system has no pseudo-terminals ({error}); a chroot may lack /dev/pts")
    termios.tcsetwinsize(theirs, (40, columns))
    base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CIPP_OPENAPI")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cipp_mcp", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=base | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | environment,
    )
    os.close(theirs)
    waiting = list(typed)
    written = b""
    try:
        while True:
            if not select.select([ours], [], [], 30)[0]:
                pytest.fail(f"nothing happens any more after {written!r}")
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux' word for the end: nobody has the terminal open any more
                break
            if not piece:
                break
            written += piece
            if waiting and waiting[0][0].encode() in written:
                os.write(ours, waiting.pop(0)[1].encode() + b"\n")
        code = process.wait(30)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert not waiting, f"never written: {waiting[0][0]!r} in {written!r}"
    return Session(code, written.decode("utf-8").replace("\r\n", "\n"))


def _drawn_over(line: str) -> str:
    """What is left of a line whose parts after a carriage return were drawn over those before."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()
