"""``cipp-mcp call``: one endpoint from a terminal or a script."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
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
from cipp_mcp.cli.csv_output import print_csv
from cipp_mcp.cli.printing import print_json, print_reply
from cipp_mcp.cli.terminal import ProgressBar
from cipp_mcp.connection.client import CippClient
from cipp_mcp.connection.tls import ssl_context
from cipp_mcp.ending import Stopped, stop_on_signals
from cipp_mcp.errors import Refused
from cipp_mcp.registry import Registry
from cipp_mcp.settings import Settings

Form = Literal["table", "json", "csv"]
EXIT_CODES = {"ok": 0, "failed": 1, "refused": 1}
NOT_WHOLLY = 3
"""The exit code of every other outcome: partial, unknown, or one that somebody has to confirm."""


def run_call(
    name: str, pairs: Sequence[str], *, fields: str | None, limit: int | None, form: Form | None, demo: bool
) -> int:
    """Calls endpoint `name` and prints the reply; without a `form` as a table on a terminal, as JSON otherwise.

    The exit code: 0 it worked, 1 it failed or was refused, 3 it was done in part or nobody knows.
    """
    wanted = [field for field in (part.strip() for part in (fields or "").split(",")) if field]
    call = Call(name, _arguments(pairs), fields=tuple(wanted) or None, limit=limit)
    with ExitStack() as stack:
        if demo:
            from cipp_mcp.cli.demo import demo_settings

            settings = stack.enter_context(demo_settings())
        else:
            settings = Settings.from_environment(os.environ)
        # A model gets a handle to come back with; a person waits, and a handle would end with this process.
        settings = replace(settings, wait_seconds=math.inf)
        reply, stopped = anyio.run(_run_until_stopped, settings, call, stack)
        if reply is None:
            return 128 + (stopped.signal or 0)
        form = form or ("table" if sys.stdout.isatty() else "json")
        if form == "csv":
            print_csv(reply, call.fields, limit)
        elif form == "json":
            print_json(reply, call.fields, limit)
        else:
            print_reply(reply, limit)
    return EXIT_CODES.get(reply.body["outcome"], NOT_WHOLLY)


async def _run_until_stopped(settings: Settings, call: Call, stack: ExitStack) -> tuple[Reply | None, Stopped]:
    with anyio.CancelScope() as running, stop_on_signals(running.cancel) as stopped:
        return await _run(settings, call, stack), stopped
    return None, stopped


async def _run(settings: Settings, call: Call, stack: ExitStack) -> Reply:
    """The reply; what it was read from is closed with `stack`, since its rows are printed later."""
    file = PolicyFile.read(settings.policy) if settings.policy else None
    audit = Audit(settings.audit_log, (settings.state_key or "terminal").encode())
    async with CippClient(settings, ssl_context) as client, anyio.create_task_group() as group:
        registry = await _registry(settings, call.name, client)
        dispatcher = Dispatcher(settings, registry, client, audit, Confirmations(settings.state_key))
        caller = Caller("local", group, policy_for(settings, file, "local"), dispatcher.read_tenants)
        stack.callback(caller.close)
        terminal = Terminal()
        try:
            reply = await dispatcher.run(call, caller, terminal)
        finally:
            terminal.bar.clear()
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

    def __init__(self) -> None:
        self.bar = ProgressBar()

    @property
    def can_ask(self) -> bool:
        return sys.stdin.isatty() and sys.stderr.isatty()

    async def report(self, done: float | None, total: float | None, message: str) -> None:
        self.bar.show(done, total, message)

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
