"""The way of one call: plan it, ask where a person has to say yes, run it, shape the reply.

Knows nothing of MCP: the server hands in a call and a host to talk to, and gets a reply object back.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cipp_mcp.calls.asking import Asking, Question, masked_arguments, target_values
from cipp_mcp.calls.audit import Audit, AuditEntry
from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.changing import Changer
from cipp_mcp.calls.confirm import Confirmations, call_digest
from cipp_mcp.calls.guard import Guard
from cipp_mcp.calls.jobs import Job, Progress
from cipp_mcp.calls.planning import Call, Plan, Planner
from cipp_mcp.calls.queues import Client
from cipp_mcp.calls.reading import Fetched, Reader
from cipp_mcp.clean import clean
from cipp_mcp.connection.wire import Request
from cipp_mcp.errors import CallFailed, CippError, Refused, Unknown
from cipp_mcp.registry import Endpoint, Registry
from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.results.shape import (
    FENCE_TOKENS,
    MAX_PAGE_ROWS,
    data_part,
    messages_part,
    row_page,
    select_paths,
    text_part,
)
from cipp_mcp.results.store import Result
from cipp_mcp.results.whole import Pages, Whole
from cipp_mcp.settings import Settings
from cipp_mcp.telemetry import observed_call

_log = logging.getLogger(__name__)
_LONG_TEXT = 400


class Host(Protocol):
    """Whoever sent the call: can be told of progress, and perhaps be asked."""

    @property
    def can_ask(self) -> bool: ...

    async def report(self, done: float | None, total: float | None, message: str) -> None: ...

    async def ask(
        self, question: Callable[[], Awaitable[Question]], digest: str
    ) -> Literal["accept", "decline", "cancel"]:
        """A person's answer. The question is written only where it has not been asked yet."""
        ...


@dataclass
class Reply:
    """A reply ready to be serialised; ``binary`` travels beside it. ``whole`` is all of which ``body`` shows a part."""

    body: dict[str, Any]
    binary: tuple[str, bytes] | None = None
    whole: Whole | None = None

    @property
    def is_error(self) -> bool:
        return self.body["outcome"] in ("failed", "refused")


class Dispatcher:
    """Runs calls for any number of callers."""

    def __init__(
        self, settings: Settings, registry: Registry, client: Client, audit: Audit, confirmations: Confirmations
    ) -> None:
        self._settings = settings
        self._planner = Planner(registry)
        self._reader = Reader(client)
        self._changer = Changer(client, self._reader, registry, audit)
        self._asking = Asking(settings, registry, self._rows_of_read)
        self._audit = audit
        self._confirmations = confirmations
        self.registry = registry

    @property
    def budget(self) -> int:
        """Tokens of one reply, the fence around it excluded."""
        return self._settings.result_tokens - FENCE_TOKENS

    async def read_tenants(self) -> list[Any]:
        """The rows of ListTenants."""
        endpoint = self.registry["ListTenants"]
        return await self._reader.rows(endpoint, Request(endpoint.path, "GET"))

    async def guard(self, caller: Caller) -> Guard:
        """The tenants that `caller` may touch; raises CippError when they cannot be read."""
        self._check_connected()
        return Guard(caller.policy, await caller.directory.tenants())

    @observed_call
    async def run(self, call: Call, caller: Caller, host: Host) -> Reply:
        """Runs `call` to a reply. Expected failures are replies too.

        Only cancellation and what `host.ask` raises to reach its person pass through.
        """
        try:
            if call.cursor:
                return self._page(call, caller)
            if call.resume:
                job = caller.jobs.get(call.resume)
            else:
                self._check_connected()
                started = await self._start(call, caller, host)
                if isinstance(started, Reply):
                    return started
                job = started
            if not await caller.jobs.wait(job, self._settings.wait_seconds, host.report):
                return self._pending(job)
            if job.error is not None:
                raise job.error
            shape: Callable[[Call], Reply] = job.result
            return shape(call)
        except CippError as error:
            return failure_reply(error, call.name)
        except Exception as error:
            if getattr(error, "passes_through", False):
                raise
            _log.exception("unexpected failure in %s", self.registry.resolve(call.name) or "a call")
            return failure_reply(CallFailed("cipp-mcp itself failed on this call; see its log."), call.name)

    def _check_connected(self) -> None:
        if self._settings.missing:
            raise Refused(
                f"CIPP is not connected yet: {', '.join(self._settings.missing)} not set. Nothing was sent.",
                hint="Set them in the configuration of this MCP server (cipp-mcp setup does it) and restart it.",
                reason="settings",
            )

    async def _start(self, call: Call, caller: Caller, host: Host) -> Job | Reply:
        if call.preview:
            return await self._preview(call, caller)
        try:
            plan = await self._planner.plan(call, caller)
        except Refused as refusal:
            self._note_refusal(call, caller, refusal)
            raise
        if plan.risk == "read":
            return self._start_read(plan, call, caller)
        entry = self._entry(plan, caller, "allowed")
        try:
            confirmed = await self._confirm(plan, call, caller, host, entry)
        except Refused as refusal:
            self._audit.refused(entry, refusal.reason)
            raise
        if confirmed is not None:
            return confirmed
        return self._start_change(plan, call, caller, entry)

    def _start_read(self, plan: Plan, call: Call, caller: Caller) -> Job:
        key = call_digest(plan.bound)
        recent = None if call.fresh else caller.recent(key)
        if recent is not None:
            return recent

        async def work(progress: Progress) -> Callable[[Call], Reply]:
            fetched = await self._reader.run(plan, caller, progress)
            return lambda wanted: self._shaped(plan.endpoint, plan.tenant_label, fetched, wanted, caller)

        job = caller.jobs.start(plan.source, True, work)
        caller.remember(key, job, plan.tenant_label, plan.endpoint.cache)
        return job

    def _start_change(self, plan: Plan, call: Call, caller: Caller, entry: AuditEntry) -> Job:
        async def work(progress: Progress) -> Callable[[Call], Reply]:
            if plan.is_read:
                self._audit.intended(entry)
                fetched = await self._reader.run(plan, caller, progress)
                self._audit.outcome(entry, fetched.outcome.state, 0.0)
            else:
                outcome = await self._changer.run(plan, caller, entry, progress, verify=call.verify)
                fetched = Fetched(outcome)
            return lambda wanted: self._shaped(plan.endpoint, plan.tenant_label, fetched, wanted, caller)

        return caller.jobs.start(plan.source, False, work)

    async def _confirm(self, plan: Plan, call: Call, caller: Caller, host: Host, entry: AuditEntry) -> Reply | None:
        """Obtains the yes that the policy demands; a reply when the host has to come back with a handle first."""
        if not caller.policy.asks(plan.risk):
            if call.confirmation:
                raise Refused(
                    "This call needs no confirmation; make it without one. Nothing was changed.", reason="confirmation"
                )
            return None

        async def question() -> Question:
            asked = await self._asking.question(plan, shows_secrets=caller.policy.secrets)
            entry.targets = list(asked.targets)
            return asked

        digest = call_digest(plan.bound)
        if host.can_ask:
            answer = await host.ask(question, digest)
            if answer != "accept":
                word = "declined" if answer == "decline" else "cancelled"
                raise Refused(f"The person {word} this. Nothing was changed.", reason=word)
            entry.decision = "confirmed by a person"
            return None
        if self._settings.confirm_fallback != "two-step":
            raise Refused(
                f"{plan.endpoint.name} needs a person's yes, and this host cannot ask for one. Nothing was changed.",
                hint="Use a host that supports elicitation, or let the operator set CIPP_CONFIRM_FALLBACK=two-step.",
                reason="nobody to ask",
            )
        if call.confirmation:
            self._confirmations.redeem(call.confirmation, caller.name, "two-step " + digest)
            entry.decision = "confirmed in two steps"
            return None
        asked = await question()
        handle = self._confirmations.issue(caller.name, "two-step " + digest)
        body = {
            "outcome": "confirm",
            "endpoint": plan.endpoint.name,
            "tenant": plan.tenant_label,
            "messages": [asked.text],
            "confirmation": handle,
            "hint": "Nothing was done. Show this plan to the person; after their yes, repeat the same call with confirmation.",
        }
        self._audit.refused(entry, "two-step plan shown")
        return Reply(without_empty(body))

    async def _preview(self, call: Call, caller: Caller) -> Reply:
        plan = await self._planner.plan(call, caller, check=False)
        try:
            await self._planner.plan(call, caller)
            says = "allowed, after a person's yes" if caller.policy.asks(plan.risk) else "allowed"
        except Refused as refusal:
            says = f"refused: {refusal.message}"
        requests = [
            {
                "method": request.method,
                "path": f"/api/{request.endpoint}",
                "query": masked_arguments(dict(request.query)),
                "body": masked_arguments(request.body),
            }
            for _, request in plan.requests
        ]
        body: dict[str, Any] = {"outcome": "ok", "endpoint": plan.endpoint.name, "tenant": plan.tenant_label}
        data = {"preview": requests[0] if len(requests) == 1 else requests, "risk": plan.risk, "policy": says}
        part = data_part(data, self.budget - tokens(compact(body)) - 40)
        return Reply(without_empty(body | {"messages": ["Nothing was sent."]} | part))

    def _entry(self, plan: Plan, caller: Caller, decision: str) -> AuditEntry:
        targets = [
            value for target in plan.endpoint.targets for value in target_values(plan.arguments, target.argument)
        ]
        return AuditEntry(
            caller=caller.label,
            endpoint=plan.endpoint.name,
            tenant=plan.tenant_label,
            targets=targets,
            risk=plan.risk,
            decision=decision,
            digest=self._audit.digest(plan.bound),
        )

    def _note_refusal(self, call: Call, caller: Caller, refusal: Refused) -> None:
        known = self.registry.resolve(call.name)
        entry = AuditEntry(
            caller=caller.label,
            endpoint=known or "unknown",
            tenant="",
            targets=(),
            risk=self.registry[known].risk if known else "",
            decision="refused",
            digest=self._audit.digest([call.name, call.arguments]),
        )
        self._audit.refused(entry, refusal.reason)

    async def _rows_of_read(self, request: Request) -> list[Any]:
        return await self._reader.rows(self.registry[self.registry.resolve(request.endpoint) or ""], request)

    def _shaped(self, endpoint: Endpoint, tenant: str, fetched: Fetched, call: Call, caller: Caller) -> Reply:
        outcome, result = fetched.outcome, fetched.result
        attachment = outcome.binary
        body: dict[str, Any] = {"outcome": outcome.state, "endpoint": endpoint.name, "tenant": tenant}
        messages = messages_part(outcome.messages, self.budget // 3)
        room = self.budget - tokens(compact({**body, "messages": messages, "hint": outcome.hint})) - 20
        whole: Whole | None = None
        if result is not None:
            pages = _pages(result, fetched.shown, caller)
            part = self._rows_part(result, pages, endpoint, call, 0, room)
            whole = Whole(result.count, pages, tuple(endpoint.response.columns), outcome.hint)
        elif outcome.binary is not None:
            part = {"data": {"type": outcome.binary[0], "bytes": len(outcome.binary[1])}}
        elif isinstance(outcome.data, str) and tokens(outcome.data) > _LONG_TEXT:
            part, attachment = text_part(outcome.data, room)
            whole = Whole.of_data(outcome.data, outcome.hint)
        elif outcome.data is not None:
            data = select_paths(outcome.data, call.fields) if call.fields else outcome.data
            part = data_part(data, room)
            whole = Whole.of_data(data, outcome.hint)
        else:
            part = {}
        if part.get("truncated") and result is None and outcome.state == "ok" and not endpoint.response.secrets:
            kept = caller.results.add(endpoint.name, [(outcome.data, compact(outcome.data))])
            part |= {
                "result": kept.handle,
                "hint": f"{part['hint']} The whole of it is in {kept.handle} for cipp_query.",
            }
        body |= {"messages": messages, **part}
        body["hint"] = " ".join(filter(None, (outcome.hint, part.get("hint"))))
        return Reply(without_empty(body), attachment, whole)

    def _rows_part(
        self,
        result: Result,
        pages: Pages,
        endpoint: Endpoint | None,
        call: Call,
        start: int,
        room: int,
    ) -> dict[str, Any]:
        return row_page(
            pages(start, min(call.limit or 200, MAX_PAGE_ROWS)),
            result,
            start=start,
            limit=call.limit,
            columns=endpoint.response.columns if endpoint else (),
            fields=call.fields,
            budget=room,
        )

    def _page(self, call: Call, caller: Caller) -> Reply:
        handle, _, start_text = (call.cursor or "").partition(":")
        if not start_text.isdigit():
            raise Refused(f"{call.cursor!r} is not a cursor; use the one that came with the answer before, as it is.")
        result = caller.results.get(handle)
        name = self.registry.resolve(call.name) if call.name else None
        body: dict[str, Any] = {"outcome": "ok", "endpoint": name or result.source}
        room = self.budget - tokens(compact(body))
        endpoint = self.registry[name] if name else None
        pages = _pages(result, None, caller)
        return Reply(without_empty(body | self._rows_part(result, pages, endpoint, call, int(start_text), room)))

    def _pending(self, job: Job) -> Reply:
        return Reply(
            {
                "outcome": "pending",
                "endpoint": job.description.split(" ", 1)[0],
                "messages": [f"Not finished after {self._settings.wait_seconds:g} s: {job.progress.text}."],
                "resume": job.handle,
                "hint": f"The call goes on. Call the same tool with resume={job.handle!r} to wait for its answer.",
            }
        )


def _pages(result: Result, shown: list[Any] | None, caller: Caller) -> Pages:
    """The rows of `result`, or those to `shown` in their place."""
    if shown is not None:
        return lambda start, count: [clean(row) for row in shown[start : start + count]]
    return lambda start, count: caller.results.rows(result.handle, start, count)


def failure_reply(error: CippError, name: str) -> Reply:
    """The reply that an expected failure makes."""
    state = "refused" if isinstance(error, Refused) else "unknown" if isinstance(error, Unknown) else "failed"
    body = {"outcome": state, "endpoint": name[:80], "messages": [error.message], "hint": error.hint}
    return Reply(without_empty(body))


def without_empty(body: dict[str, Any]) -> dict[str, Any]:
    """`body` without absent, empty and false parts; rows, count and total stay even when they are empty."""
    kept = ("rows", "count", "total", "columns")
    return {name: value for name, value in body.items() if name in kept or value not in (None, "", [], {}, False)}
