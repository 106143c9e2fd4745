"""What became of a call, and what the failures of HTTP mean that every endpoint can answer with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from cipp_mcp.connection.remedies import SAVE_TO_AZURE
from cipp_mcp.connection.wire import Answer
from cipp_mcp.registry import Endpoint

State = Literal["ok", "failed", "partial", "pending", "unknown", "refused", "confirm"]


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
    beside: list[str] = field(default_factory=list)
    """What stood beside the rows; not to be shown where rows have to be held back."""


def html_page(answer: Answer) -> Outcome:
    """What it means that a web page came back instead of data."""
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


def redirected(endpoint: Endpoint, answer: Answer) -> Outcome:
    """What a redirect means: an answer of one endpoint, of all others a sign that somebody wants a browser to sign in."""
    location = answer.headers.get("location", "")
    if endpoint.name == "ListSharepointAdminUrl" and location:
        return Outcome("ok", data={"AdminUrl": location}, status=answer.status)
    return Outcome(
        "failed",
        [f"CIPP's host redirected the call (HTTP {answer.status}), as it does to send a browser to its login page."],
        "Check that CIPP_URL is the API's address and that the API client was saved to Azure in CIPP.",
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
