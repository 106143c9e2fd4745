"""Reads CIPP's many answer shapes into one: what happened, in which words, with which rows or data.

CIPP reports failures under HTTP 200, unrolls one-row lists, wraps JSON in strings and serves HTML when the
address is its front end's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from cipp_mcp.connection.remedies import SAVE_TO_AZURE
from cipp_mcp.connection.wire import Answer
from cipp_mcp.registry import Endpoint

State = Literal["ok", "failed", "partial", "pending", "unknown", "refused", "confirm"]

# The UI's own test for failure texts (CippApiResults.jsx) and what its catch blocks write besides.
_FAILURE = re.compile(
    r"\b(error|failed|failure|fail|exception|not found|invalid_grant|invalid|unable|could not|cannot|can't|denied|"
    r"missing|not allowed|not permitted|unauthori[sz]ed|forbidden)\b",
    re.IGNORECASE,
)
_NO_FAILURE = re.compile(r"\b(no|0|without|any)\s+(errors?|failures?|failed)\b", re.IGNORECASE)
_BINARY = ("image/", "audio/", "video/", "application/pdf", "application/zip")
_PLACEHOLDER = re.compile(r"^(loading\b|loading data)", re.IGNORECASE)
_TENANT_FAILURE = "Failed to retrieve tenants"


@dataclass
class Outcome:
    """One call's result. ``rows`` for lists, ``data`` for anything else, ``binary`` for files."""

    state: State
    messages: list[str] = field(default_factory=list)
    hint: str | None = None
    rows: list[Any] | None = None
    data: Any = None
    binary: tuple[str, bytes] | None = None
    queue_id: str | None = None
    next_link: str | None = None
    status: int | None = None


def read_answer(endpoint: Endpoint, answer: Answer) -> Outcome:
    """The outcome that `answer` means for `endpoint`; never raises for anything CIPP could send."""
    media = answer.content_type.split(";")[0].strip().lower()
    if 300 <= answer.status < 400:
        return _redirect(endpoint, answer)
    if answer.status < 400 and media.startswith(_BINARY):
        return Outcome("ok", binary=(media, answer.content), status=answer.status)
    if endpoint.risk not in ("read", "secret") and _says_nothing(answer, media):
        return Outcome(
            "unknown",
            [f"The answer is not CIPP's own (HTTP {answer.status}), so whether the change was made is not known."],
            "Read the object back before repeating the change.",
            status=answer.status,
        )
    if _is_html(media, answer.content):
        return _html(answer)
    try:
        value = parse_json(answer.content)
    except ValueError as error:
        return _not_json(endpoint, answer, media, error)
    if answer.status >= 400:
        return explain_status(answer.status, message_text(value))
    if endpoint.risk in ("read", "secret"):
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


def _html(answer: Answer) -> Outcome:
    if answer.status >= 500:
        return Outcome(
            "failed",
            [f"CIPP's host answered with an error page (HTTP {answer.status}), not with data."],
            "CIPP may be starting or restarting; try again in a minute.",
            status=answer.status,
        )
    if answer.status == 403:
        return Outcome(
            "failed",
            ["CIPP's host refused the caller before CIPP saw it (HTTP 403 with a web page)."],
            f"{SAVE_TO_AZURE} Check the IP restrictions of the function app too.",
            status=403,
        )
    return Outcome(
        "failed",
        ["A web page came back instead of data: CIPP_URL is the address of a front end or a login page."],
        "Set CIPP_URL to the address that CIPP shows under Integrations > CIPP-API.",
        status=answer.status,
    )


def _redirect(endpoint: Endpoint, answer: Answer) -> Outcome:
    location = answer.headers.get("location", "")
    if endpoint.name == "ListSharepointAdminUrl" and location:
        return Outcome("ok", data={"AdminUrl": location}, status=answer.status)
    return Outcome(
        "failed",
        [f"CIPP's host redirected the call (HTTP {answer.status}), as it does to send a browser to its login page."],
        "Check that CIPP_URL is the API's address and that the API client was saved to Azure in CIPP.",
        status=answer.status,
    )


def _not_json(endpoint: Endpoint, answer: Answer, media: str, error: ValueError) -> Outcome:
    text = answer.content.decode("utf-8", errors="replace").strip()
    looks_like_json = text[:1] in ("{", "[", '"')
    if answer.status >= 400:
        return explain_status(answer.status, text[:500])
    if not looks_like_json and (media.startswith("text/") or len(text) < 2000):
        return (
            Outcome("ok", data=text, status=answer.status)
            if endpoint.risk in ("read", "secret")
            else _change(text, 200)
        )
    state: State = "failed" if endpoint.risk in ("read", "secret") else "unknown"
    return Outcome(
        state,
        [f"CIPP's answer to {endpoint.name} is not complete JSON ({str(error)[:80]})."],
        "Try again; if it stays so, ask for less." if state == "failed" else "Read the object back before repeating.",
        status=answer.status,
    )


def message_text(value: Any) -> str:
    """The human text in an error body of any of CIPP's shapes."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        folded = {str(name).lower(): inner for name, inner in value.items()}
        for name in ("results", "result", "message", "error", "resulttext", "errormessage", "body"):
            if folded.get(name):
                return message_text(folded[name])
        return json.dumps(value, ensure_ascii=False)[:500] if value else ""
    if isinstance(value, list):
        return "; ".join(filter(None, map(message_text, value[:5])))
    return "" if value is None else str(value)


def explain_status(status: int, text: str) -> Outcome:
    """What an HTTP error of CIPP means and what to do about it (texts: Test-CIPPAccess.ps1)."""
    text = text.strip()[:600]
    said = f" CIPP says: {text}" if text else ""
    folded = text.lower()
    hint: str | None = None
    if status == 401:
        message = "CIPP does not accept the token (HTTP 401), even a fresh one."
        hint = (
            "The token's audience must be api://<client id>: check CIPP_SCOPE and the Application ID URI, use an API client "
            "without 'MCP Access Allowed', and choose Save to Azure in CIPP under Integrations > CIPP-API. "
            "cipp-mcp doctor tells which it is."
        )
    elif status == 403 and (
        "base role" in folded or "required permission" in folded or "blocked this endpoint" in folded
    ):
        message = f"The role of the API client does not allow this (HTTP 403).{said}"
        hint = "Give the API client a CIPP role with this permission, or choose another endpoint."
        if "api client does not have" in folded:
            hint = "The caller's IP address is probably outside the API client's IP range, or its role is too narrow."
    elif status == 403 and "tenant is not allowed" in folded:
        message = f"The role of the API client does not include this tenant (HTTP 403).{said}"
        hint = "ListTenants shows the tenants it may use."
    elif status == 403 and not text:
        message = "CIPP's host refused the API client (HTTP 403) before CIPP saw the call."
        hint = SAVE_TO_AZURE
    elif status == 404 and "endpoint not found" in folded:
        message = "This CIPP has no such endpoint (HTTP 404); its version differs from the catalogue's."
        hint = "GetVersion shows the version of this CIPP."
    elif status == 503 and "disabled" in folded:
        message = f"The feature is switched off in this CIPP (HTTP 503).{said}"
        hint = "It can be switched on in CIPP's settings under feature flags."
    elif status == 429:
        message = f"CIPP or a service behind it is limiting calls (HTTP 429).{said}"
        hint = "Wait a minute and ask for less at once."
    elif status in (502, 503, 504):
        message = f"CIPP was not reachable behind its host (HTTP {status}).{said}"
        hint = "It may be starting or overloaded; try again in a minute."
    else:
        message = f"CIPP reports an error (HTTP {status}).{said}"
        if status == 400:
            hint = "Check the arguments with cipp_describe."
        elif status in (403, 404):
            hint = "This is usually Microsoft's answer passed on: check ids, and the tenant's licences and consent."
        else:
            hint = "Check the arguments; if they are right, ListLogs shows what CIPP itself recorded."
    return Outcome("failed", [message], hint, status=status)


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


def _read_rows(outcome: Outcome, rows: list[Any]) -> None:
    outcome.rows = rows
    if len(rows) != 1 or not isinstance(rows[0], dict):
        return
    row = rows[0]
    error = _folded(row, "error")
    if len(row) <= 2 and isinstance(error, str) and error:
        outcome.state, outcome.rows = "failed", None
        outcome.messages.append(f"CIPP reports: {error[:600]}")
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
        elif declared == "warning":
            found.append(("warning", text))
        elif declared in ("success", "info", "ok", "completed"):
            found.append(("ok", text))
        elif error:
            found.append(("failed", message_text(error)))
        else:
            envelope = next(
                (_folded(value, n) for n in ("results", "result", "resulttext", "body") if _folded(value, n)), None
            )
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
