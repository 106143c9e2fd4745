"""The way of one call: look it up, check it, send it, read the answer, keep it, shape the reply.

Knows nothing of MCP: the server hands in names and arguments and gets a reply object back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import anyio.to_thread

from cipp_mcp.caller import Caller
from cipp_mcp.errors import CallFailed, CippError, Refused, Unknown
from cipp_mcp.jobs import Job, Progress, Report
from cipp_mcp.outcome import Outcome, read_answer
from cipp_mcp.registry import NEVER_CALLABLE, Endpoint, Registry
from cipp_mcp.registry.schema import runner_of
from cipp_mcp.request import build_request, match_names, plain
from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.results.rows import RowReader
from cipp_mcp.results.shape import FENCE_TOKENS, MAX_PAGE_ROWS, data_part, messages_part, row_page, select_paths
from cipp_mcp.results.store import Result
from cipp_mcp.risk import risk_of
from cipp_mcp.settings import Settings
from cipp_mcp.wire import Answer, Request

_log = logging.getLogger(__name__)
_INLINE_BYTES = 256 * 1024


class Client(Protocol):
    """What the dispatcher needs of an HTTP client; `cipp_mcp.client.CippClient` is the one."""

    async def send(self, request: Request) -> Answer: ...


Runner = Literal["cipp_read", "cipp_change", "cipp_critical"]


@dataclass(frozen=True)
class Call:
    """What a host asked for: an endpoint by name, its arguments, and how the answer is wanted."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] | None = None
    limit: int | None = None
    cursor: str | None = None
    resume: str | None = None
    runner: Runner | None = None


@dataclass
class Reply:
    """A reply ready to be serialised; ``binary`` travels beside it."""

    body: dict[str, Any]
    binary: tuple[str, bytes] | None = None

    @property
    def is_error(self) -> bool:
        return self.body["outcome"] in ("failed", "refused")


class Dispatcher:
    """Runs calls for any number of callers."""

    def __init__(self, settings: Settings, registry: Registry, client: Client) -> None:
        self._settings = settings
        self._registry = registry
        self._client = client

    @property
    def registry(self) -> Registry:
        return self._registry

    @property
    def budget(self) -> int:
        """Tokens of one reply, the fence around it excluded."""
        return self._settings.result_tokens - FENCE_TOKENS

    async def run(self, call: Call, caller: Caller, report: Report) -> Reply:
        """Runs `call` to a reply. Expected failures are replies too; nothing is raised but cancellation."""
        try:
            if call.cursor:
                return self._page(call, caller)
            if call.resume:
                job = caller.jobs.get(call.resume)
            else:
                endpoint = self._endpoint(call)
                job = self._start(endpoint, call, caller)
            if not await caller.jobs.wait(job, self._settings.wait_seconds, report):
                return self._pending(job)
            caller.jobs.discard(job)
            if job.error is not None:
                raise job.error
            reply: Reply = job.result
            return reply
        except CippError as error:
            return failure_reply(error, call.name)
        except Exception:
            _log.exception("unexpected failure", extra={"endpoint": call.name})
            return failure_reply(CallFailed("cipp-mcp itself failed on this call; see its log."), call.name)

    def _endpoint(self, call: Call) -> Endpoint:
        if self._settings.missing:
            raise Refused(
                f"CIPP is not connected yet: {', '.join(self._settings.missing)} not set. Nothing was sent.",
                hint="Set them in the configuration of this MCP server (README: Connect your CIPP) and restart it.",
                reason="settings",
            )
        return find_endpoint(self._registry, call.name)

    def _start(self, endpoint: Endpoint, call: Call, caller: Caller) -> Job:
        arguments = normalise_arguments(call.arguments)
        matched = match_names(endpoint, arguments)
        risk = risk_of(endpoint, matched)
        if risk != "read":
            raise Refused(
                f"{endpoint.name} with these arguments is a call of risk {risk}; {runner_of(risk)} runs those and this "
                "server is set to reading only. Nothing was sent.",
                reason="risk",
            )
        request = build_request(endpoint, matched)
        source = describe_call(endpoint, matched)

        async def work(progress: Progress) -> Reply:
            progress.say(f"waiting for CIPP: {endpoint.name}")
            answer = await self._client.send(request)
            return await self._reply(endpoint, matched, call, answer, source, caller)

        return caller.jobs.start(source, True, work)

    async def _reply(
        self, endpoint: Endpoint, arguments: Mapping[str, Any], call: Call, answer: Answer, source: str, caller: Caller
    ) -> Reply:
        if len(answer.content) <= _INLINE_BYTES:
            return self._read(endpoint, arguments, call, answer, source, caller)
        return await anyio.to_thread.run_sync(self._read, endpoint, arguments, call, answer, source, caller)

    def _read(
        self, endpoint: Endpoint, arguments: Mapping[str, Any], call: Call, answer: Answer, source: str, caller: Caller
    ) -> Reply:
        outcome, result = read_rows(endpoint, answer, source, caller)
        return self._shape(endpoint, str(plain(arguments.get("tenantFilter", ""))), call, outcome, result, caller)

    def _shape(
        self, endpoint: Endpoint, tenant: str, call: Call, outcome: Outcome, result: Result | None, caller: Caller
    ) -> Reply:
        body: dict[str, Any] = {"outcome": outcome.state, "endpoint": endpoint.name, "tenant": tenant}
        hint = outcome.hint
        messages = messages_part(outcome.messages, self.budget // 3)
        room = self.budget - tokens(compact({**body, "messages": messages, "hint": hint}))
        if result is not None:
            rows = caller.results.rows(result.handle, 0, min(call.limit or 200, MAX_PAGE_ROWS))
            part = row_page(
                rows,
                result,
                start=0,
                limit=call.limit,
                columns=endpoint.response.columns,
                fields=call.fields,
                budget=room,
            )
        elif outcome.binary is not None:
            media, content = outcome.binary
            part = {"data": {"type": media, "bytes": len(content)}}
        elif outcome.data is not None:
            data = select_paths(outcome.data, call.fields) if call.fields else outcome.data
            part = data_part(data, room)
        else:
            part = {}
        body |= {"messages": messages, **part}
        body["hint"] = " ".join(filter(None, (hint, part.get("hint"))))
        return Reply(without_empty(body), outcome.binary)

    def _page(self, call: Call, caller: Caller) -> Reply:
        handle, _, start_text = (call.cursor or "").partition(":")
        if not start_text.isdigit():
            raise Refused(f"{call.cursor!r} is not a cursor; use the one that came with the answer before, as it is.")
        start = int(start_text)
        result = caller.results.get(handle)
        name = self._registry.resolve(call.name) if call.name else None
        columns = self._registry[name].response.columns if name else []
        rows = caller.results.rows(handle, start, min(call.limit or 200, MAX_PAGE_ROWS))
        body: dict[str, Any] = {"outcome": "ok", "endpoint": name or result.source}
        part = row_page(
            rows,
            result,
            start=start,
            limit=call.limit,
            columns=columns,
            fields=call.fields,
            budget=self.budget - tokens(compact(body)),
        )
        return Reply(without_empty(body | part))

    def _pending(self, job: Job) -> Reply:
        return Reply(
            {
                "outcome": "pending",
                "endpoint": job.description.split(" ", 1)[0],
                "messages": [f"Not finished after {self._settings.wait_seconds:g} s: {job.progress.message}."],
                "resume": job.handle,
                "hint": f"The call goes on. Call the same tool with resume={job.handle!r} to wait for its answer.",
            }
        )


def find_endpoint(registry: Registry, name: str) -> Endpoint:
    """The endpoint called `name`, matched without case.

    Raises Refused with near names for an unknown one, and for those that are never callable.
    """
    known = registry.resolve(name)
    if known is None:
        near = registry.near(name)
        raise Refused(
            f"There is no endpoint {name!r}." + (f" Near: {', '.join(near)}." if near else ""),
            hint="cipp_search finds endpoints by what they do.",
        )
    if known in NEVER_CALLABLE:
        raise Refused(
            f"{known} carries CIPP's own MCP, through which calls could pass unchecked; it is never callable here.",
            reason="never",
        )
    return registry[known]


def normalise_arguments(arguments: Any) -> dict[str, Any]:
    """`arguments` as an object; a JSON string is opened, since some models send one.

    Raises Refused for anything else.
    """
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            raise Refused("arguments is a string that is not valid JSON; pass an object.") from None
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise Refused('arguments must be an object such as {"tenantFilter": "contoso.com"}.')
    return dict(arguments)


def describe_call(endpoint: Endpoint, arguments: Mapping[str, Any]) -> str:
    """The call in one line, to name a result's origin: ``ListUsers tenantFilter=contoso.com``."""
    words = [f"{name}={json.dumps(value, ensure_ascii=False, default=str)[:60]}" for name, value in arguments.items()]
    return " ".join([endpoint.name, *words])[:300]


def read_rows(endpoint: Endpoint, answer: Answer, source: str, caller: Caller) -> tuple[Outcome, Result | None]:
    """Reads `answer`; rows go straight into the caller's result table."""
    reader = RowReader.of(answer.content) if answer.status < 300 and len(answer.content) > _INLINE_BYTES else None
    if reader is not None:
        try:
            result = caller.results.add(source, reader)
        except ValueError as error:
            message = f"CIPP's answer to {endpoint.name} is not complete JSON ({str(error)[:80]})."
            return Outcome("failed", [message], "Try again; if it stays so, ask for less."), None
        metadata: Any = next((value for name, value in reader.rest.items() if name.lower() == "metadata"), {})
        link = metadata.get("nextLink") if isinstance(metadata, dict) else None
        return Outcome("ok", next_link=str(link) if link else None), result
    outcome = read_answer(endpoint, answer)
    if outcome.rows is None or outcome.state in ("failed", "pending"):
        return outcome, None
    rows = ((row, compact(row)) for row in outcome.rows)
    return outcome, caller.results.add(source, rows)


def failure_reply(error: CippError, name: str) -> Reply:
    """The reply that an expected failure makes."""
    state = "refused" if isinstance(error, Refused) else "unknown" if isinstance(error, Unknown) else "failed"
    body = {"outcome": state, "endpoint": name, "messages": [error.message], "hint": error.hint}
    return Reply(without_empty(body))


def without_empty(body: dict[str, Any]) -> dict[str, Any]:
    """`body` without absent, empty and false parts; rows, count and total stay even when they are empty."""
    kept = ("rows", "count", "total", "columns")
    return {name: value for name, value in body.items() if name in kept or value not in (None, "", [], {}, False)}
