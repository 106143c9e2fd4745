"""``cipp-mcp call``: one endpoint from a terminal or a script."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import anyio
import anyio.to_thread

from cipp_mcp.calls.asking import Question
from cipp_mcp.calls.audit import Audit
from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.confirm import Confirmations
from cipp_mcp.calls.dispatcher import Dispatcher
from cipp_mcp.calls.planning import Call
from cipp_mcp.calls.policy import PolicyFile, policy_for
from cipp_mcp.calls.reply import Reply
from cipp_mcp.connection.client import CippClient
from cipp_mcp.connection.tls import ssl_context
from cipp_mcp.ending import Stopped, stop_on_signals
from cipp_mcp.errors import Refused
from cipp_mcp.registry import Registry
from cipp_mcp.settings import Settings


def run_call(
    name: str, pairs: Sequence[str], *, fields: str | None, limit: int | None, as_json: bool, demo: bool
) -> int:
    """Calls endpoint `name` and prints the reply: a table on a terminal, JSON otherwise. 0 when it worked."""
    call = Call(name, _arguments(pairs), fields=tuple(fields.split(",")) if fields else None, limit=limit)
    with ExitStack() as stack:
        if demo:
            from cipp_mcp.cli.demo import demo_settings

            settings = stack.enter_context(demo_settings())
        else:
            settings = Settings.from_environment(os.environ)
        reply, stopped = anyio.run(_run_until_stopped, settings, call)
    if reply is None:
        return 128 + (stopped.signal or 0)
    if as_json or not sys.stdout.isatty():
        print(json.dumps(reply.body, ensure_ascii=False, indent=1))
    else:
        print_reply(reply.body)
    return 1 if reply.is_error else 0


async def _run_until_stopped(settings: Settings, call: Call) -> tuple[Reply | None, Stopped]:
    with anyio.CancelScope() as running, stop_on_signals(running.cancel) as stopped:
        return await _run(settings, call), stopped
    return None, stopped


async def _run(settings: Settings, call: Call) -> Reply:
    file = PolicyFile.read(settings.policy) if settings.policy else None
    audit = Audit(settings.audit_log, (settings.state_key or "terminal").encode())
    async with CippClient(settings, ssl_context) as client, anyio.create_task_group() as group:
        registry = await _registry(settings, call.name, client)
        dispatcher = Dispatcher(settings, registry, client, audit, Confirmations(settings.state_key))
        caller = Caller("local", group, policy_for(settings, file, "local"), dispatcher.read_tenants)
        try:
            reply = await dispatcher.run(call, caller, Terminal())
        finally:
            caller.close()
            audit.close()
    return reply


async def _registry(settings: Settings, name: str, client: CippClient) -> Registry:
    """The catalogue as the deployment has it, as far as is known here; for an unknown name the deployment is asked."""
    if settings.openapi == "off":
        return Registry.load()
    from cipp_mcp.registry.following import Follower

    registry = Registry.load().copy()
    follower = Follower(settings, registry)
    follower.use_stored()
    if registry.resolve(name) is None:
        await follower.refresh(client)
    return registry


class Terminal:
    """The person at the terminal: sees progress on stderr and answers questions there."""

    @property
    def can_ask(self) -> bool:
        return sys.stdin.isatty() and sys.stderr.isatty()

    async def report(self, _done: float, _total: float | None, message: str) -> None:
        if sys.stderr.isatty():
            print(f"… {message}", file=sys.stderr)

    async def ask(
        self, question: Callable[[], Awaitable[Question]], _digest: str
    ) -> Literal["accept", "decline", "cancel"]:
        asked = await question()
        print(asked.text, file=sys.stderr)
        prompt = "Approve? [y/N] " if asked.typed is None else "> "
        print(prompt, end="", file=sys.stderr, flush=True)
        answer = (await anyio.to_thread.run_sync(sys.stdin.readline)).strip()
        if asked.typed is None:
            return "accept" if answer.lower() in ("y", "yes") else "decline"
        return "accept" if answer.casefold() == asked.typed.casefold() else "decline"


def _arguments(pairs: Sequence[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise Refused(f"{pair!r} is not of the form key=value.")
        arguments[name] = _value(text)
    return arguments


def _value(text: str) -> Any:
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise Refused(f"{text!r} is not valid JSON: {error}.") from None
    return text


def print_reply(body: dict[str, Any]) -> None:
    """Prints a reply for people: messages, then rows as a table, then what was left out."""
    for message in body.get("messages", ()):
        print(message)
    if "rows" in body:
        print_table(body["columns"], body["rows"])
        print(f"{body['count']} of {body['total']} rows")
    elif "data" in body:
        print(json.dumps(body["data"], ensure_ascii=False, indent=2))
    if body.get("hint"):
        print(body["hint"])


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints rows under their columns, as wide as the terminal is."""
    width = os.get_terminal_size().columns if sys.stdout.isatty() else 160
    texts = [[_shown(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[at]) for row in texts)]) for at, name in enumerate(columns)]
    most = max(8, width // max(1, len(columns)) - 2)
    widths = [min(size, most) for size in widths]
    for row in [list(columns), ["-" * size for size in widths], *texts]:
        print("  ".join(text[:size].ljust(size) for text, size in zip(row, widths, strict=True)).rstrip())


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
