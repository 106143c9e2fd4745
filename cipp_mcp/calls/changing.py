"""Runs changes: audited before and after, read truthfully, checked by a read-back, credentials withheld."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio

from cipp_mcp.calls.answer import parse_json, read_answer
from cipp_mcp.calls.audit import Audit, AuditEntry
from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.guard import shown_only
from cipp_mcp.calls.jobs import Progress
from cipp_mcp.calls.mask import mask
from cipp_mcp.calls.outcome import Outcome
from cipp_mcp.calls.planning import Plan
from cipp_mcp.calls.queues import Client
from cipp_mcp.calls.reading import Reader
from cipp_mcp.calls.request import build_request, plain
from cipp_mcp.calls.tenants import ALL_TENANTS
from cipp_mcp.clean import clean_text
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.errors import CippError, Unknown
from cipp_mcp.registry import Registry
from cipp_mcp.registry.models import ReadBack
from cipp_mcp.results.shape import dig

_ABSENT = object()
_READ_BACK_WAITS = (0.0, 1.0, 2.0)


class Changer:
    """Runs the changes of any number of callers."""

    def __init__(self, client: Client, reader: Reader, registry: Registry, audit: Audit) -> None:
        self._client = client
        self._reader = reader
        self._registry = registry
        self._audit = audit

    async def run(self, plan: Plan, caller: Caller, entry: AuditEntry, progress: Progress, *, verify: bool) -> Outcome:
        """Makes the change of `plan` and returns what became of it.

        Raises Refused when the audit cannot be written, CippError when the only request failed.
        """
        self._audit.intended(entry)
        started = time.monotonic()
        state = "unknown"
        try:
            outcome = await self._send(plan, caller, progress)
            state = outcome.state
        except CippError as error:
            state = "unknown" if isinstance(error, Unknown) else "failed"
            if isinstance(error, Unknown) and plan.endpoint.verify:
                error.hint = f"{error.hint or ''} {self.suggested_read(plan)}".strip()
            raise
        finally:
            self._audit.outcome(entry, state, time.monotonic() - started)
            await caller.forget(frozenset().union(*(tenant.identifiers for tenant in plan.scope.tenants)))
        if verify:
            await self._verify(plan, outcome, progress)
        elif outcome.state == "unknown" and plan.endpoint.verify:
            outcome.hint = self.suggested_read(plan)
        return outcome

    async def _send(self, plan: Plan, caller: Caller, progress: Progress) -> Outcome:
        if len(plan.requests) == 1:
            progress.say(f"waiting for CIPP: {plan.endpoint.name}")
            return self._outcome(plan, caller, await self._client.send(_once(plan.requests[0][1])))
        outcome = Outcome("ok")
        states = set()
        for done, (tenant, request) in enumerate(plan.requests):
            progress.say(f"{done} of {len(plan.requests)} tenants", done, len(plan.requests))
            label = tenant.domain if tenant else ""
            try:
                one = self._outcome(plan, caller, await self._client.send(_once(request)))
                states.add(one.state)
                outcome.messages += [f"{label}: {message}" for message in one.messages]
            except CippError as error:
                states.add("unknown" if isinstance(error, Unknown) else "failed")
                outcome.messages.append(f"{label}: {error.message}")
        outcome.state = states.pop() if len(states) == 1 else "partial"
        return outcome

    def _outcome(self, plan: Plan, caller: Caller, answer: Answer) -> Outcome:
        restricted = plan.guard is not None and plan.guard.restricted
        if caller.policy.secrets and not restricted:
            return read_answer(plan.endpoint, answer)
        try:
            value = parse_json(answer.content)
        except ValueError:
            value = answer.content.decode("utf-8", "replace")
        if not caller.policy.secrets:
            value, _ = mask(value, plan.endpoint.response.secrets, change=True)
        may_show = plan.guard.row_filter(plan.endpoint) if plan.guard is not None else None
        if may_show is not None:
            value = shown_only(value, may_show)
        # What is read from here on, and kept, has no credential and no other tenant in it.
        content = b"" if value is None else value.encode() if isinstance(value, str) else json.dumps(value).encode()
        return read_answer(plan.endpoint, replace(answer, content=content))

    async def _verify(self, plan: Plan, outcome: Outcome, progress: Progress) -> None:
        back = read_back(plan.endpoint.verify, plan.arguments)
        if back is None or outcome.state == "failed":
            if back is None:
                outcome.messages.append("No read-back is known for this change.")
            return
        verdict = "not yet visible"
        for wait in _READ_BACK_WAITS:
            await anyio.sleep(wait)
            progress.say(f"reading back with {back.read}")
            try:
                request = build_request(self._registry[back.read], _filled(back.arguments, plan.arguments))
                verdict = judge(back, plan.arguments, await self._reader.rows(self._registry[back.read], request))
            except CippError as error:
                verdict = f"could not be read back ({error.message})"
            if verdict == "confirmed":
                break
        outcome.messages.append(f"Read back with {back.read}: {verdict}.")
        if verdict == "confirmed" and outcome.state == "unknown":
            outcome.state = "ok"
        elif verdict == "contradicted" and outcome.state == "ok":
            outcome.state = "unknown"
            outcome.hint = "CIPP reported success, but the read shows otherwise; it may need a few minutes to show."

    def suggested_read(self, plan: Plan) -> str:
        """How to find out whether the change of `plan` was made."""
        back = read_back(plan.endpoint.verify, plan.arguments)
        if back is None:
            return "Read the object back before repeating the change."
        arguments = json.dumps(_filled(back.arguments, plan.arguments), ensure_ascii=False)
        return f"{back.read} with {clean_text(arguments)} shows whether it took."


def _once(request: Request) -> Request:
    """`request` as one that is never repeated: what an endpoint's entry allows holds for reads with it."""
    return replace(request, repeatable=False) if request.repeatable else request


def judge(back: ReadBack, arguments: Mapping[str, Any], rows: list[Any]) -> str:
    """``confirmed``, ``contradicted`` (a value says otherwise) or ``not yet visible``."""
    if back.absent is not None:
        wanted = _present(back.absent, arguments)
        return "not yet visible" if any(_matches(row, wanted) for row in rows) else "confirmed"
    wanted = _present(back.rows if back.rows is not None else back.expect or {}, arguments)
    if any(_matches(row, wanted) for row in rows):
        return "confirmed"
    if back.rows is not None or not rows:
        return "not yet visible"
    return (
        "contradicted" if any(dig(row, column) is not None for row in rows for column in wanted) else "not yet visible"
    )


def _present(wanted: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`wanted` with its values filled in; columns whose argument was not given say nothing."""
    filled = {column: _filled(value, arguments) for column, value in wanted.items()}
    return {column: value for column, value in filled.items() if value is not _ABSENT}


def _matches(row: Any, wanted: Mapping[str, Any]) -> bool:
    return all(_equal(dig(row, column), value) for column, value in wanted.items())


def _equal(found: Any, wanted: Any) -> bool:
    if wanted is None:
        return found in (None, "", [], False)
    if wanted == "*":
        return found not in (None, "", [])
    if isinstance(found, list):
        return any(_equal(item, wanted) for item in found)
    return _text(found) == _text(wanted)


def _text(value: Any) -> str:
    value = plain(value)
    return ("true" if value else "false") if isinstance(value, bool) else str(value).strip().lower()


def read_back(backs: list[ReadBack], arguments: Mapping[str, Any]) -> ReadBack | None:
    """The first read-back whose conditions fit, if it can be made and says something."""
    for back in backs:
        if all(_given(arguments, name, value) for name, value in back.when.items()):
            usable = bool(_present(back.absent or back.rows or back.expect or {}, arguments))
            return back if usable and _filled("$tenantFilter", arguments) != ALL_TENANTS else None
    return None


def _given(arguments: Mapping[str, Any], path: str, wanted: Any) -> bool:
    value = dig(dict(arguments), path)
    if wanted == "*":
        return value not in (None, "", [], {})
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(_equal(plain(item), wanted) for item in values)


def _filled(value: Any, arguments: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: inner for name, item in value.items() if (inner := _filled(item, arguments)) is not _ABSENT}
    if isinstance(value, str) and value.startswith("$"):
        parts = [_first(plain(dig(dict(arguments), part.removeprefix("$")))) for part in value.split("@")]
        if None in parts:
            return _ABSENT
        return parts[0] if len(parts) == 1 else "@".join(map(str, parts))
    return value


def _first(value: Any) -> Any:
    return plain(value[0]) if isinstance(value, list) and value else value
