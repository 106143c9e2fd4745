"""Reads CIPP's many answer shapes into one: what happened, in which words, with which rows or data.

CIPP reports failures under HTTP 200, unrolls one-row lists, wraps JSON in strings and serves HTML when the
address is its front end's.
"""

from __future__ import annotations

import json
import re
from typing import Any

from cipp_mcp.calls.outcome import Outcome, State, explain_status, html_page, message_text, redirected
from cipp_mcp.connection.wire import Answer
from cipp_mcp.registry import Endpoint
from cipp_mcp.results.budget import compact

# The UI's own test for failure texts (CippApiResults.jsx) and what its catch blocks write besides.
_FAILURE = re.compile(
    r"\b(error|failed|failure|fail|exception|not found|invalid_grant|invalid|unable|could not|cannot|can't|denied|"
    r"missing|not allowed|not permitted|not possible|unauthori[sz]ed|forbidden)\b",
    re.IGNORECASE,
)
_NO_FAILURE = re.compile(r"\b(no|0|without|any)\s+(errors?|failures?|failed)\b", re.IGNORECASE)
_BINARY = ("image/", "audio/", "video/", "application/pdf", "application/zip")
_PLACEHOLDER = re.compile(r"^(loading\b|loading data)", re.IGNORECASE)
_LONGEST_BESIDE = 400
_TENANT_FAILURE = "Failed to retrieve tenants"


def read_answer(endpoint: Endpoint, answer: Answer, *, reads: bool | None = None) -> Outcome:
    """The outcome that `answer` means for `endpoint`; never raises for anything CIPP could send.

    `reads` says whether the call only read, where its arguments decide that and not the endpoint.
    """
    if reads is None:
        reads = endpoint.risk in ("read", "secret")
    media = answer.content_type.split(";")[0].strip().lower()
    if 300 <= answer.status < 400:
        return redirected(endpoint, answer)
    if answer.status < 400 and media.startswith(_BINARY):
        return Outcome("ok", binary=(media, answer.content), status=answer.status)
    if not reads and _says_nothing(answer, media):
        return Outcome(
            "unknown",
            [f"The answer is not CIPP's own (HTTP {answer.status}), so whether the change was made is not known."],
            "Read the object back before repeating the change.",
            status=answer.status,
        )
    if _is_html(media, answer.content):
        return html_page(answer)
    try:
        value = parse_json(answer.content)
    except ValueError as error:
        return _not_json(endpoint, answer, media, error, reads=reads)
    if answer.status >= 400:
        return explain_status(answer.status, message_text(value))
    if reads:
        return _reading(endpoint, value, answer.status)
    return _change(value, answer.status)


def parse_json(content: bytes) -> Any:
    """JSON as CIPP means it: a BOM is ignored, JSON inside a string is opened, NaN and infinities become null.

    Raises ValueError for what is not JSON; an empty body is None.
    """
    text = content.decode("utf-8-sig", errors="replace").strip()
    if not text:
        return None
    try:
        value = json.loads(text, parse_constant=lambda _: None)
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                return json.loads(value, parse_constant=lambda _: None)
            except ValueError:
                return value
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _is_html(media: str, content: bytes) -> bool:
    start = content[:200].lstrip().lower()
    return media in ("text/html", "application/xhtml+xml") or start.startswith((b"<!doctype html", b"<html"))


def _says_nothing(answer: Answer, media: str) -> bool:
    """Whether a change's answer leaves open what CIPP did: a gateway gives up while CIPP goes on."""
    if answer.status in (502, 503, 504):
        return b"has been disabled" not in answer.content[:2000]
    if answer.status >= 500:
        return not answer.content.strip() or _is_html(media, answer.content)
    return answer.status < 300 and _is_html(media, answer.content)


def _not_json(endpoint: Endpoint, answer: Answer, media: str, error: ValueError, *, reads: bool) -> Outcome:
    text = answer.content.decode("utf-8", errors="replace").strip()
    looks_like_json = text[:1] in ("{", "[", '"')
    if answer.status >= 400:
        return explain_status(answer.status, text[:500])
    if not looks_like_json and (media.startswith("text/") or len(text) < 2000):
        return Outcome("ok", data=text, status=answer.status) if reads else _change(text, 200)
    state: State = "failed" if reads else "unknown"
    return Outcome(
        state,
        [f"CIPP's answer to {endpoint.name} is not complete JSON ({str(error)[:80]})."],
        "Try again; if it stays so, ask for less." if state == "failed" else "Read the object back before repeating.",
        status=answer.status,
    )


def _reading(endpoint: Endpoint, value: Any, status: int) -> Outcome:
    outcome = Outcome("ok", status=status)
    if isinstance(value, dict):
        metadata = _folded(value, "metadata")
        results = _folded(value, "results")
        if isinstance(metadata, dict):
            outcome.queue_id = _text(metadata.get("QueueId"))
            outcome.next_link = _text(metadata.get("nextLink"))
            notice = _text(metadata.get("QueueMessage"))
            if notice and not results:
                outcome.state, outcome.rows = "pending", []
                outcome.messages.append(notice)
                return outcome
        if results is not None and (isinstance(metadata, dict) or len(value) <= 2):
            outcome.beside = _beside(value)
            value = results
    if (
        isinstance(value, dict)
        and isinstance(value.get("GUID"), str)
        and len(value) == 1
        and "guid" in endpoint.response.habits
    ):
        return Outcome("pending", ["CIPP has started the run."], data=value, queue_id=value["GUID"], status=status)
    if isinstance(value, dict) and value.get("Waiting") is True:
        return Outcome("pending", ["CIPP is still working on it."], data=value, status=status)
    if endpoint.response.kind == "list" and (value is None or isinstance(value, dict)):
        value = [] if not value else [value]
    if isinstance(value, list):
        _read_rows(outcome, value)
    elif isinstance(value, str):
        outcome.messages.append(value)
        if _FAILURE.search(value) and not _NO_FAILURE.search(value):
            outcome.state, outcome.messages = "failed", [f"CIPP reports: {value[:600]}"]
    else:
        outcome.data = value
        error = _folded(value, "error") if isinstance(value, dict) and len(value) <= 2 else None
        if isinstance(error, str | dict) and error:
            outcome.state = "failed"
            outcome.messages.append(f"CIPP reports: {message_text(error)[:600]}")
    return outcome


def _beside(envelope: dict[str, Any]) -> list[str]:
    """What an envelope holds beside its results, in words: counts and the like, which belong to no row."""
    others = {name: inner for name, inner in envelope.items() if str(name).lower() not in ("results", "metadata")}
    return [f"{name}: {compact(inner)[:_LONGEST_BESIDE]}" for name, inner in others.items() if inner not in (None, "")]


def _read_rows(outcome: Outcome, rows: list[Any]) -> None:
    outcome.rows = rows
    if len(rows) != 1 or not isinstance(rows[0], dict):
        return
    row = rows[0]
    error = _folded(row, "error")
    notice = _folded(row, "queuemessage")
    if isinstance(notice, str) and notice:
        outcome.state, outcome.rows, outcome.queue_id = "pending", [], _text(_folded(row, "queueid"))
        outcome.messages.append(notice)
    elif len(row) <= 2 and isinstance(error, str) and error:
        outcome.state, outcome.rows = "failed", None
        outcome.messages.append(f"CIPP reports: {error[:600]}")
    elif str(_folded(row, "state") or "").lower() in ("error", "failed") and _text(_folded(row, "resulttext")):
        outcome.state, outcome.rows = "failed", None
        outcome.messages.append(f"CIPP reports: {str(_folded(row, 'resulttext'))[:600]}")
    elif str(row.get("displayName", "")).startswith(_TENANT_FAILURE):
        outcome.state, outcome.rows = "failed", None
        outcome.messages.append(f"CIPP reports: {str(row['displayName'])[:600]}")
    elif any(isinstance(value, str) and _PLACEHOLDER.match(value) for value in row.values()):
        outcome.state, outcome.rows = "pending", []
        outcome.messages.append("CIPP has started to gather this data; the first answer was only a placeholder.")


def _change(value: Any, status: int) -> Outcome:
    """The three-valued reading of a change's answer: ok, failed, partial, or unknown when it says nothing."""
    found: list[tuple[str, str]] = []
    _walk(value, found, 0)
    messages = [text for _, text in found if text]
    states = {state for state, _ in found}
    if not found:
        return Outcome(
            "unknown",
            ["CIPP answered without saying whether anything was changed."],
            "Read the object back to see.",
            data=value,
            status=status,
        )
    metadata = _folded(value, "metadata") if isinstance(value, dict) else None
    if isinstance(metadata, dict) and _folded(metadata, "success") is False:
        states.add("failed")
        states.discard("ok")
    if states <= {"ok"}:
        state: State = "ok"
    elif states <= {"failed"}:
        state = "failed"
    else:
        state = "partial"
    data = value if not _only_messages(value) else None
    return Outcome(state, messages, data=data, status=status)


def _walk(value: Any, found: list[tuple[str, str]], depth: int) -> None:
    if depth > 6 or value is None or value == "" or value == [] or value == {}:
        return
    if isinstance(value, str):
        failed = _FAILURE.search(value) and not _NO_FAILURE.search(value)
        found.append(("failed" if failed else "ok", value))
    elif isinstance(value, list):
        for item in value:
            _walk(item, found, depth + 1)
    elif isinstance(value, dict):
        declared = str(_folded(value, "state") or "").lower()
        text = message_text(
            {k: v for k, v in value.items() if str(k).lower() in ("resulttext", "message", "result", "results")}
        )
        severity = str(_folded(value, "severity") or "").lower()
        error = _folded(value, "error")
        if declared in ("error", "failed", "failure") or severity in ("failed", "error"):
            found.append(("failed", text or message_text(error)))
        elif declared == "warning" or (not declared and severity == "warning"):
            found.append(("warning", text))
        elif declared in ("success", "info", "ok", "completed"):
            found.append(("ok", text))
        elif error:
            found.append(("failed", message_text(error)))
        else:
            names = ("results", "result", "resulttext", "body", "message")
            envelope = next((_folded(value, n) for n in names if _folded(value, n)), None)
            if envelope is not None:
                _walk(envelope, found, depth + 1)


def _only_messages(value: Any) -> bool:
    if isinstance(value, dict):
        return {str(name).lower() for name in value} <= {
            "results",
            "result",
            "resulttext",
            "state",
            "severity",
        } and all(map(_only_messages, value.values()))
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _folded(value: Any, name: str) -> Any:
    return next((inner for key, inner in value.items() if str(key).lower() == name), None)


def _text(value: Any) -> str | None:
    return str(value) if value else None
