"""The host behind one request, as the dispatcher sees it: progress, and asking a person in either protocol era."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import anyio
import mcp_types as types

from cipp_mcp.calls.asking import Question
from cipp_mcp.calls.confirm import LIFETIME, Confirmations
from cipp_mcp.errors import Refused

_MODERN = "2026-07-28"
_KEY = "confirm"


class NeedsInput(Exception):
    """Ends the request with a question to the person; the host repeats the call with the answer (MCP 2026-07-28)."""

    passes_through = True

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__("input required")
        self.result = result


class McpHost:
    """One request's way back to its host."""

    def __init__(
        self, ctx: Any, params: types.CallToolRequestParams, caller: str, confirmations: Confirmations
    ) -> None:
        self._ctx = ctx
        self._params = params
        self._caller = caller
        self._confirmations = confirmations
        self._began = time.monotonic()
        self._told = 0.0

    @property
    def can_ask(self) -> bool:
        capabilities = self._ctx.session.client_capabilities
        elicitation = capabilities.elicitation if capabilities is not None else None
        if elicitation is None or (elicitation.form is None and elicitation.url is not None):
            return False
        return self._is_modern or bool(self._ctx.session.can_send_request)

    @property
    def _is_modern(self) -> bool:
        return str(self._ctx.protocol_version) >= _MODERN

    async def report(self, done: float | None, total: float | None, message: str) -> None:
        """Passes on the progress. MCP wants it to grow from report to report, so where no count does, time does."""
        if done is not None and total and done > self._told:
            self._told = done
        else:
            elapsed = time.monotonic() - self._began
            self._told = self._told + 0.001 if total else max(self._told + 0.001, elapsed)
            total = None
        await self._ctx.session.report_progress(self._told, total, message)

    async def ask(
        self, question: Callable[[], Awaitable[Question]], digest: str
    ) -> Literal["accept", "decline", "cancel"]:
        """The person's answer.

        Raises NeedsInput when a 2026-07-28 host has to put the question first; Refused when the answer does not
        belong to this call, came too late, or the name was typed wrongly.
        """
        if self._is_modern:
            return await self._ask_by_retry(question, digest)
        asked = await question()
        token = self._confirmations.issue(self._caller, digest, asked.typed)
        with anyio.move_on_after(LIFETIME) as scope:
            answer = await self._ctx.session.elicit_form(asked.text, _form(asked), self._ctx.request_id)
        if scope.cancelled_caught:
            raise Refused("Nobody answered within five minutes. Nothing was changed.", reason="expired")
        return await self._judged(answer.action, answer.content, token, digest)

    async def _ask_by_retry(
        self, question: Callable[[], Awaitable[Question]], digest: str
    ) -> Literal["accept", "decline", "cancel"]:
        answer = (self._params.input_responses or {}).get(_KEY)
        state = self._params.request_state
        if not isinstance(answer, types.ElicitResult) or not state:
            asked = await question()
            form = types.ElicitRequestFormParams(message=asked.text, requested_schema=_form(asked))
            raise NeedsInput(
                types.InputRequiredResult(
                    input_requests={_KEY: types.ElicitRequest(params=form)},
                    request_state=self._confirmations.issue(self._caller, digest, asked.typed),
                )
            )
        return await self._judged(answer.action, answer.content, state, digest)

    async def _judged(
        self, action: str, content: Any, token: str, digest: str
    ) -> Literal["accept", "decline", "cancel"]:
        if action not in ("accept", "decline"):
            return "cancel"
        values = content if isinstance(content, dict) else {}
        if action == "decline" or values.get("confirm") is False:
            return "decline"
        typed = values.get("typed")
        text = typed if isinstance(typed, str) else None
        had_to_type = await self._confirmations.redeem(token, self._caller, digest, text)
        return "accept" if had_to_type or values.get("confirm") is True else "decline"


def _form(asked: Question) -> dict[str, Any]:
    if asked.typed is None:
        field: dict[str, Any] = {"confirm": {"type": "boolean", "title": "Approve", "description": "Do this now"}}
        return {"type": "object", "properties": field, "required": ["confirm"]}
    typed = {"type": "string", "title": "Type the name to approve", "description": asked.typed}
    return {"type": "object", "properties": {"typed": typed}, "required": ["typed"]}
