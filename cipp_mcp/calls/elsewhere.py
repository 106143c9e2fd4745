"""Pending calls among several instances: the one that runs a call tells how far it is, any other can answer for it."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.jobs import Job, Report
from cipp_mcp.calls.reply import Reply, pending_reply
from cipp_mcp.errors import CallFailed, Refused, Unknown
from cipp_mcp.state import StateLost

_TELL_EVERY = 3.0
_ASK_EVERY = 0.5
_MAX_BINARY = 256 * 1024


async def tell(job: Job, caller: Caller, reply: Callable[[], Reply]) -> None:
    """Tells other instances now that `job` runs, and from then on how far it is; `reply` is made when it is finished."""
    if caller.shelf is None or job.told:
        return
    job.told = True
    await _tell_progress(job, caller)
    caller.jobs.in_background(_tell_until_done, job, caller, reply)


async def _tell_progress(job: Job, caller: Caller) -> None:
    assert caller.shelf is not None
    record = {"text": job.progress.text, "call": job.description, "read": job.is_read, "check": job.check}
    await caller.shelf.keep_outcome(job.handle, record)


async def _tell_until_done(job: Job, caller: Caller, reply: Callable[[], Reply]) -> None:
    assert caller.shelf is not None
    while not job.done.is_set():
        with anyio.move_on_after(_TELL_EVERY):
            await job.done.wait()
        if not job.done.is_set():
            await _tell_progress(job, caller)
    await caller.share()
    record: dict[str, Any] = {"private": True} if job.is_private else _record(reply())
    await caller.shelf.keep_outcome(job.handle, record)


def _record(reply: Reply) -> dict[str, Any]:
    record: dict[str, Any] = {"body": reply.body}
    if reply.binary is not None and len(reply.binary[1]) <= _MAX_BINARY:
        record["binary"] = [reply.binary[0], base64.b64encode(reply.binary[1]).decode("ascii")]
    return record


async def reply_from_elsewhere(handle: str, caller: Caller, seconds: float, report: Report) -> Reply:
    """The reply of a call that another instance runs as `handle`; a pending one when it takes more than `seconds`.

    Raises Refused for an unknown handle or an answer that stays where it is, CallFailed or Unknown when the instance
    that ran a read or made a change is gone.
    """
    began = time.monotonic()
    while True:
        record = await _ask(caller, handle)
        if "body" in record:
            media, content = record.get("binary") or (None, "")
            return Reply(record["body"], (media, base64.b64decode(content)) if media else None)
        if "private" in record:
            raise Refused(
                f"The call {handle} is finished, but its answer may hold a credential, which only the instance that "
                "made the call shows.",
                hint="Resume it again until that instance answers.",
            )
        if time.monotonic() - began >= seconds:
            return pending_reply(record["call"], handle, record["text"], seconds)
        await report(None, None, record["text"])
        await anyio.sleep(_ASK_EVERY)


async def _ask(caller: Caller, handle: str) -> dict[str, Any]:
    """What is known of the call, whose instance lives if it is not finished."""
    assert caller.shelf is not None
    try:
        record = await caller.shelf.outcome(handle)
        if record is None:
            caller.jobs.get(handle)  # says what is known
        elif "call" not in record or await caller.shelf.is_alive(handle):
            return record
    except StateLost:
        raise Refused(
            f"The call {handle} is run by another instance of this server, which cannot be asked now.",
            hint="Resume it again in a while.",
        ) from None
    assert record is not None
    # It may have finished just before it went.
    again = await _later(caller.shelf.outcome, handle)
    if again is not None and "call" not in again:
        return again
    if record["read"]:
        raise CallFailed(
            f"The instance of this server that ran {handle} is gone. It was a read, so nothing was changed.",
            hint=f"Make the call again: {record['call']}",
        )
    raise Unknown(
        f"The instance of this server that made the change {handle} is gone. The change may or may not have been made.",
        hint=record["check"],
    )


async def _later(ask: Callable[[str], Awaitable[dict[str, Any] | None]], handle: str) -> dict[str, Any] | None:
    try:
        return await ask(handle)
    except StateLost:
        return None
