"""The way of one call: plan it, ask where a person has to say yes, run it, shape the reply.

Knows nothing of MCP: the server hands in a call and a host to talk to, and gets a reply object back.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar

from cipp_mcp.calls.asking import Asking, Question, masked_arguments, target_values
from cipp_mcp.calls.audit import Audit, AuditEntry
from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.changing import Changer
from cipp_mcp.calls.confirm import Confirmations, call_digest
from cipp_mcp.calls.elsewhere import reply_from_elsewhere, tell
from cipp_mcp.calls.guard import Guard
from cipp_mcp.calls.jobs import Job, Progress, reporting
from cipp_mcp.calls.planning import Call, Plan, Planner
from cipp_mcp.calls.queues import Client
from cipp_mcp.calls.reading import Fetched, Reader
from cipp_mcp.calls.reply import Reply, failure_reply, pending_reply, without_empty
from cipp_mcp.calls.shaping import Shaper
from cipp_mcp.calls.tenants import Tenants
from cipp_mcp.connection.wire import Request
from cipp_mcp.errors import CallFailed, CippError, NotSent, Refused
from cipp_mcp.registry import Registry
from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.results.shape import FENCE_TOKENS, data_part
from cipp_mcp.settings import Settings
from cipp_mcp.telemetry import observed_call

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


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
        self._shaper = Shaper(registry, self.budget)
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
                await caller.bring(call.cursor)
                return self._shaper.page(call, caller)
            if call.resume:
                if caller.runs_elsewhere(call.resume):
                    return await self._resume_elsewhere(call, caller, host)
                job = caller.jobs.get(call.resume)
            else:
                self._check_connected()
                started = await self._start(call, caller, host)
                if isinstance(started, Reply):
                    return started
                job = started
            if not await caller.jobs.wait(job, self._settings.wait_seconds, host.report):
                await tell(job, caller, lambda: self._told(job, call.name))
                return pending_reply(job.description, job.handle, job.progress.text, self._settings.wait_seconds)
            reply = self._finished(job, call)
            await caller.share()
            return reply
        except CippError as error:
            return failure_reply(error, call.name)
        except Exception as error:
            if getattr(error, "passes_through", False):
                raise
            return self._unexpected(call.name)

    def _finished(self, job: Job, call: Call) -> Reply:
        if job.error is not None:
            raise job.error
        shape: Callable[[Call], Reply] = job.result
        return shape(call)

    def _told(self, job: Job, name: str) -> Reply:
        """What other instances are told of a finished call. Raises nothing: nobody waits for it here."""
        try:
            return self._finished(job, Call(name))
        except CippError as error:
            return failure_reply(error, name)
        except Exception:
            return self._unexpected(name)

    def _unexpected(self, name: str) -> Reply:
        _log.exception("unexpected failure in %s", self.registry.resolve(name) or "a call")
        return failure_reply(CallFailed("cipp-mcp itself failed on this call; see its log."), name)

    async def _resume_elsewhere(self, call: Call, caller: Caller, host: Host) -> Reply:
        assert call.resume is not None
        reply = await reply_from_elsewhere(call.resume, caller, self._settings.wait_seconds, host.report)
        handle = reply.body.get("result")
        if handle is None or not (call.fields or call.limit):
            return reply
        await caller.bring(handle)
        page = self._shaper.page(replace(call, name=reply.body["endpoint"], cursor=f"{handle}:0"), caller)
        return Reply(without_empty({**page.body, "messages": reply.body.get("messages")}))

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
            plan = await self._planned(call, caller, host)
        except Refused as refusal:
            self._note_refusal(call, caller, refusal)
            raise
        if plan.risk == "read":
            return await self._start_read(plan, call, caller)
        entry = self._entry(plan, caller, "allowed")
        try:
            confirmed = await self._confirm(plan, call, caller, host, entry)
        except Refused as refusal:
            self._audit.refused(entry, refusal.reason)
            raise
        if confirmed is not None:
            return confirmed
        return self._start_change(plan, call, caller, entry)

    async def _planned(self, call: Call, caller: Caller, host: Host) -> Plan:
        async def tenants() -> Tenants:
            known = caller.directory.known
            if known is not None:
                return known
            return await self._in_time(caller.directory.tenants, host, "waiting for CIPP: ListTenants")

        return await self._planner.plan(call, caller, tenants=tenants)

    async def _in_time(self, work: Callable[[], Awaitable[_T]], host: Host, what: str) -> _T:
        """What `work` returns before anything is sent, with progress told; raises NotSent when it takes too long."""
        seconds = self._settings.wait_seconds
        try:
            return await reporting(work, seconds, host.report, what)
        except TimeoutError:
            raise NotSent(
                f"Not ready after {seconds:g} s: {what}. The call itself was not made.",
                hint="Make it again; what was asked for first may be there by then.",
            ) from None

    async def _start_read(self, plan: Plan, call: Call, caller: Caller) -> Job:
        key = call_digest(plan.bound)
        recent = None if call.fresh else await caller.recent(key)
        if recent is not None:
            return recent

        changes = await caller.state.changes(caller.name)

        async def work(progress: Progress) -> Callable[[Call], Reply]:
            fetched = await self._reader.run(plan, caller, progress)
            await caller.share()
            return lambda wanted: self._shaper.answer(plan.endpoint, plan.tenant_label, fetched, wanted, caller)

        job = caller.jobs.start(plan.source, True, work)
        job.is_private = caller.policy.secrets and bool(plan.endpoint.response.secrets)
        caller.remember(key, job, plan.tenant_label, plan.endpoint.cache, changes)
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
            return lambda wanted: self._shaper.answer(plan.endpoint, plan.tenant_label, fetched, wanted, caller)

        job = caller.jobs.start(plan.source, False, work)
        job.is_private = caller.policy.secrets
        job.check = self._changer.suggested_read(plan)
        return job

    async def _confirm(self, plan: Plan, call: Call, caller: Caller, host: Host, entry: AuditEntry) -> Reply | None:
        """Obtains the yes that the policy demands; a reply when the host has to come back with a handle first."""
        if not caller.policy.asks(plan.risk):
            if call.confirmation:
                raise Refused(
                    "This call needs no confirmation; make it without one. Nothing was changed.", reason="confirmation"
                )
            return None

        async def question() -> Question:
            asked = await self._in_time(
                lambda: self._asking.question(plan, shows_secrets=caller.policy.secrets),
                host,
                "looking up what the change would hit",
            )
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
            await self._confirmations.redeem(call.confirmation, caller.name, "two-step " + digest)
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
