"""Serves one host over stdin and stdout, and ends when the host goes or asks for it."""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections.abc import Iterator

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from cipp_mcp.ending import Stopped, leave_within, stop_on_signals
from cipp_mcp.settings import Settings
from cipp_mcp.telemetry import observing

_log = logging.getLogger(__name__)
_PIECE = 65536
_GRACE = 1.0
_ATOMIC = getattr(select, "PIPE_BUF", 512)
"""What a pipe that is ready takes without blocking (POSIX)."""


def serve_stdio(settings: Settings) -> None:
    """Runs until the host closes stdin or is gone, or a signal asks this process to end.

    stdout carries the protocol and nothing else. Raises SystemExit with 128 + its number after a signal, and with 1
    when the host no longer reads.
    """
    gone: BaseException | None = None
    stopped = Stopped()
    try:
        with observing(settings):
            stopped = anyio.run(_serve, settings)
    except* OSError as lost:  # a pipe whose other end is closed, under each system's own error
        # What is raised here would come out as a group of exceptions in some releases of Python 3.11, with a traceback.
        gone = lost.exceptions[0]
    if gone is not None:
        _log.warning("the host is gone: %s", gone)
        raise SystemExit(1)
    if stopped.signal is not None:
        raise SystemExit(128 + stopped.signal)


async def _serve(settings: Settings) -> Stopped:
    from mcp.server.stdio import stdio_server

    from cipp_mcp.server.app import CippServer

    server = CippServer(settings).mcp
    lines, wire = _Lines(), _Wire()
    stopped = Stopped()
    try:
        async with stdio_server(stdin=lines, stdout=wire) as (read, write):  # type: ignore[arg-type]
            with anyio.CancelScope() as serving, stop_on_signals(serving.cancel) as stopped:
                try:
                    await server.run(read, write, server.create_initialization_options())
                finally:
                    # A write to a host that does not read any more cannot be interrupted.
                    leave_within(_GRACE, 0 if stopped.signal is None else 128 + stopped.signal)
                    lines.close()
    except* anyio.BrokenResourceError:
        pass  # a message came in when the server had already left
    return stopped


class _Lines:
    """The lines of stdin. A daemon thread reads them, since a read that waits would hold the end of the process."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[str](0)
        self._loop = anyio.lowlevel.current_token()
        threading.Thread(target=self._read, args=(sys.stdin.fileno(),), name="cipp-stdin", daemon=True).start()

    def close(self) -> None:
        self._send.close()

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> str:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    def _read(self, descriptor: int) -> None:
        try:
            for line in _lines(descriptor):
                anyio.from_thread.run(self._send.send, line, token=self._loop)
            anyio.from_thread.run_sync(self._send.close, token=self._loop)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, RuntimeError):
            return  # the server is gone


class _Wire:
    """stdout for the protocol alone: from now on, what anything else prints there goes to stderr."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._descriptor = os.dup(sys.stdout.fileno())
        try:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        except (OSError, AttributeError):  # stderr is closed
            self._drop_prints()
        self._waiting = bytearray()

    async def write(self, text: str) -> None:
        self._waiting += text.encode("utf-8", "replace")

    async def flush(self) -> None:
        """Writes what waits. A thread does it where the pipe is full or the answer large, so that nothing else waits."""
        data = bytes(self._waiting)
        self._waiting.clear()
        if len(data) <= _ATOMIC and _is_ready(self._descriptor):
            data = data[os.write(self._descriptor, data) :]
        if data:
            await anyio.to_thread.run_sync(self._write_all, data)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    @staticmethod
    def _drop_prints() -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _is_ready(descriptor: int) -> bool:
    """Whether a small write cannot block; where the system cannot tell of pipes (Windows), it is not known."""
    if sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(0))


def _lines(descriptor: int) -> Iterator[str]:
    # Not sys.stdin: at the end of the process its lock would still be held by this thread.
    rest = bytearray()
    while True:
        try:
            piece = os.read(descriptor, _PIECE)
        except OSError:
            piece = b""
        if not piece:
            break
        start = len(rest)
        rest += piece
        begin = 0
        while (end := rest.find(b"\n", start)) >= 0:
            yield rest[begin:end].decode("utf-8", "replace")
            begin = start = end + 1
        del rest[:begin]
    if rest.strip():
        yield rest.decode("utf-8", "replace")
