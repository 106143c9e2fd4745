"""What may be told of running calls: how many, how long, with what outcome. Never whose, for which tenant, with what.

Decorators at four places measure; a log line tells of every call, and a `Sink` gets spans and metrics where one is
configured (`cipp_mcp.otel`). Without one nothing is imported and a measurement costs a few attribute look-ups. Names
of endpoints come from the catalogue and not from what a host sent; only a request to an undocumented endpoint, which
takes access admin, shows the name it was called by.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from cipp_mcp.calls.dispatcher import Dispatcher
    from cipp_mcp.calls.planning import Call
    from cipp_mcp.calls.reply import Reply
    from cipp_mcp.connection.wire import Answer, Request
    from cipp_mcp.settings import Settings

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")
_log = logging.getLogger(__name__)

Told = dict[str, str | int | float | bool]
"""Attributes of a span, a metric or a log line."""

Metric = Literal[
    "cipp.call.duration",
    "cipp.request.duration",
    "cipp.queue.duration",
    "cipp.token.duration",
    "cipp.cache.lookups",
]


class Sink(Protocol):
    """Where spans and metrics go."""

    def span(self, name: str, *, outgoing: bool) -> AbstractContextManager[Callable[[Told], None]]:
        """A span around a block; what it yields adds attributes."""
        ...

    def record(self, metric: Metric, value: float, told: Told) -> None: ...

    def context(self) -> Told:
        """The ids of the span around the caller, for its log lines."""
        ...

    def close(self) -> None:
        """Sends what is still there; for a moment only, since nobody waits for telemetry."""
        ...


class CallRecord:
    """The call that a task belongs to: its id, and how long CIPP has been at work for it."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self._in_flight = 0
        self._since = 0.0
        self._seconds = 0.0

    @contextmanager
    def at_cipp(self) -> Iterator[None]:
        """Around a request to CIPP; requests that overlap count once."""
        if self._in_flight == 0:
            self._since = time.monotonic()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._seconds += time.monotonic() - self._since

    @property
    def seconds_at_cipp(self) -> float:
        """Seconds in which at least one request was out, until now."""
        return self._seconds + (time.monotonic() - self._since if self._in_flight else 0.0)


_call: ContextVar[CallRecord | None] = ContextVar("call", default=None)
_sink: Sink | None = None


def request_id() -> str | None:
    """The id of the call that this task belongs to, as log lines and the audit show it."""
    record = _call.get()
    return record.id if record is not None else None


def log_context() -> Told:
    """What ties a log line to its call and trace."""
    told: Told = {}
    record = _call.get()
    if record is not None:
        told["request"] = record.id
    return told | (_sink.context() if _sink is not None else {})


@contextmanager
def observing(settings: Settings) -> Iterator[None]:
    """Sets up log lines and exporters for as long as a server runs."""
    if settings.log_format == "json":
        from cipp_mcp.logs import use_json_lines

        use_json_lines()
    signals = _signals()
    if not signals:
        yield
        return
    try:
        from cipp_mcp.otel import OtelSink
    except ImportError:
        _log.warning("%s configured, but not installed: pip install 'cipp-mcp[otel]'", " and ".join(signals))
        yield
        return
    with sending_to(OtelSink.exporting(signals)):
        yield


@contextmanager
def sending_to(sink: Sink) -> Iterator[None]:
    """Spans and metrics go to `sink` within the block; it is closed at the end."""
    global _sink
    before, _sink = _sink, sink
    try:
        yield
    finally:
        _sink = before
        sink.close()


def _signals() -> tuple[str, ...]:
    """Which of traces and metrics OpenTelemetry's own environment variables ask for.

    They are the machine's and not this server's, and a host passes its own on to what it starts: one that cannot be
    followed is a warning, while a wrong CIPP_* setting stops the start.
    """
    given = os.environ
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ()
    wanted = []
    for signal in ("traces", "metrics"):
        name = f"OTEL_{signal.upper()}_EXPORTER"
        has_endpoint = any(given.get(f"OTEL_EXPORTER_OTLP_{part}ENDPOINT") for part in ("", f"{signal.upper()}_"))
        exporter = given.get(name) or ("otlp" if has_endpoint else "none")
        protocol = given.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or given.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL"
        )
        if exporter not in ("otlp", "none"):
            _log.warning("%s=%s is not supported (otlp, none): no %s", name, exporter, signal)
        elif exporter == "otlp" and (protocol or "http/protobuf") != "http/protobuf":
            _log.warning("OTLP is sent by http/protobuf only, not by %s: no %s", protocol, signal)
        elif exporter == "otlp":
            wanted.append(signal)
    return tuple(wanted)


def observed_call(
    run: Callable[Concatenate[Dispatcher, Call, _P], Awaitable[Reply]],
) -> Callable[Concatenate[Dispatcher, Call, _P], Awaitable[Reply]]:
    """Around `Dispatcher.run`: an id, a span, a duration by endpoint and outcome, and a log line."""

    @functools.wraps(run)
    async def observed(self: Dispatcher, call: Call, /, *args: _P.args, **kwargs: _P.kwargs) -> Reply:
        record = CallRecord()
        token = _call.set(record)
        began = time.monotonic()
        name, outcome = call.name, "cancelled"
        try:
            with _span("cipp.call") as tell:
                try:
                    reply = await run(self, call, *args, **kwargs)
                    name, outcome = name or str(reply.body.get("endpoint", "")), str(reply.body["outcome"])
                    return reply
                except Exception:
                    outcome = "input required"  # `run` lets nothing else through
                    raise
                finally:
                    told: Told = {
                        "cipp.endpoint": self.registry.resolve(name) or "unknown",
                        "cipp.outcome": outcome,
                    }
                    seconds, at_cipp = time.monotonic() - began, record.seconds_at_cipp
                    tell(told | {"cipp.seconds_at_cipp": at_cipp})
                    _record("cipp.call.duration", seconds, told)
                    shown = told | {"seconds": round(seconds, 3), "cipp.seconds_at_cipp": round(at_cipp, 3)}
                    _log.info("call", extra={"told": shown})
        finally:
            _call.reset(token)

    return observed


def observed_request(
    send: Callable[Concatenate[_S, Request, _P], Awaitable[Answer]],
) -> Callable[Concatenate[_S, Request, _P], Awaitable[Answer]]:
    """Around one HTTP request to CIPP: a span, and a duration by endpoint and status."""

    @functools.wraps(send)
    async def observed(self: _S, request: Request, /, *args: _P.args, **kwargs: _P.kwargs) -> Answer:
        record = _call.get() or CallRecord()
        told: Told = {"cipp.endpoint": request.endpoint, "http.request.method": request.method}
        began = time.monotonic()
        with record.at_cipp(), _span("cipp.request", outgoing=True) as tell:
            try:
                answer = await send(self, request, *args, **kwargs)
                told["http.response.status_code"] = answer.status
                return answer
            except BaseException as error:
                told["error.type"] = getattr(error, "saw", type(error).__name__)
                raise
            finally:
                tell(told)
                _record("cipp.request.duration", time.monotonic() - began, told)

    return observed


def observed_wait(take: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
    """Around the wait for a place among the calls to CIPP."""

    @functools.wraps(take)
    async def observed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _timed("cipp.queue.duration"):
            return await take(*args, **kwargs)

    return observed


def observed_token(acquire: Callable[_P, _R]) -> Callable[_P, _R]:
    """Around one request for a token; it runs in a thread of its own."""

    @functools.wraps(acquire)
    def observed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _timed("cipp.token.duration"):
            return acquire(*args, **kwargs)

    return observed


def observed_lookup(look_up: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
    """Around the search for a recent identical read: counts what was found and what was not."""

    @functools.wraps(look_up)
    async def observed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        found = await look_up(*args, **kwargs)
        _record("cipp.cache.lookups", 1, {"cipp.cache.hit": found is not None})
        return found

    return observed


@contextmanager
def _timed(metric: Metric) -> Iterator[None]:
    told: Told = {}
    began = time.monotonic()
    try:
        yield
    except BaseException as error:
        told["error.type"] = type(error).__name__
        raise
    finally:
        _record(metric, time.monotonic() - began, told)


@contextmanager
def _span(name: str, *, outgoing: bool = False) -> Iterator[Callable[[Told], None]]:
    if _sink is None:
        yield _untold
        return
    with _sink.span(name, outgoing=outgoing) as tell:
        yield tell


def _untold(_: Any) -> None:
    return None


def _record(metric: Metric, value: float, told: Told) -> None:
    if _sink is not None:
        _sink.record(metric, value, told)
