"""Fixtures of MCP 2026-07-28 that answer with `input_required` and are called again with the client's answers.

The state that travels through the client is sealed by the product's own `Confirmations`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from cipp_mcp.calls.confirm import Confirmations, call_digest
from cipp_mcp.errors import Refused
from tests.conformance.contents import NO_ARGUMENTS, Handler, reply, text

Result = types.CallToolResult | types.InputRequiredResult


class Rounds:
    """The tools `test_input_required_result_*`, and the prompt of that family."""

    def __init__(self, confirmations: Confirmations) -> None:
        self._confirmations = confirmations
        names: dict[str, Handler] = {
            "elicitation": self._elicitation,
            "sampling": self._sampling,
            "list_roots": self._list_roots,
            "request_state": self._request_state,
            "multiple_inputs": self._multiple_inputs,
            "multi_round": self._multi_round,
            "tampered_state": self._request_state,
            "capabilities": self._capabilities,
        }
        self.tools: dict[str, tuple[dict[str, Any], Handler]] = {
            f"test_input_required_result_{name}": (NO_ARGUMENTS, handler) for name, handler in names.items()
        }
        self.tools["test_missing_capability"] = (NO_ARGUMENTS, missing_capability)

    def seal(self, state: dict[str, Any]) -> str:
        """`state` with a token that nobody else can make."""
        return self._confirmations.issue("conformance", call_digest(state)) + "|" + json.dumps(state)

    async def unseal(self, sealed: str) -> dict[str, Any]:
        """What `seal` was given; raises MCPError for anything that it did not make."""
        token, _, content = sealed.partition("|")
        try:
            state = json.loads(content)
            await self._confirmations.redeem(token, "conformance", call_digest(state))
        except (ValueError, Refused):
            raise MCPError(code=types.INVALID_PARAMS, message="requestState is not this server's") from None
        assert isinstance(state, dict)
        return state

    async def _elicitation(self, _ctx: Any, params: types.CallToolRequestParams) -> Result:
        answer = _answers(params).get("user_name")
        if isinstance(answer, types.ElicitResult):
            return reply(text(f"Hello, {(answer.content or {}).get('name', 'stranger')}!"))
        return types.InputRequiredResult(input_requests={"user_name": _form("What is your name?", name="string")})

    async def _sampling(self, _ctx: Any, params: types.CallToolRequestParams) -> Result:
        answer = _answers(params).get("capital_question")
        if isinstance(answer, types.CreateMessageResult) and isinstance(answer.content, types.TextContent):
            return reply(text(f"Model said: {answer.content.text}"))
        return types.InputRequiredResult(input_requests={"capital_question": _sample("What is the capital of France?")})

    async def _list_roots(self, _ctx: Any, params: types.CallToolRequestParams) -> Result:
        answer = _answers(params).get("client_roots")
        if isinstance(answer, types.ListRootsResult):
            return reply(text(f"Client exposed {len(answer.roots)} root(s)."))
        return types.InputRequiredResult(input_requests={"client_roots": types.ListRootsRequest()})

    async def _request_state(self, _ctx: Any, params: types.CallToolRequestParams) -> Result:
        if params.request_state is not None:
            await self.unseal(params.request_state)
            if "confirm" in _answers(params):
                return reply(text("state-ok: confirmation received"))
        return types.InputRequiredResult(
            input_requests={"confirm": _form("Please confirm", ok="boolean")}, request_state=self.seal({"round": 1})
        )

    async def _multiple_inputs(self, _ctx: Any, params: types.CallToolRequestParams) -> Result:
        wanted: dict[str, Any] = {
            "user_name": _form("What is your name?", name="string"),
            "greeting": _sample("Generate a greeting"),
            "client_roots": types.ListRootsRequest(),
        }
        if wanted.keys() <= _answers(params).keys():
            return reply(text("All inputs received."))
        return types.InputRequiredResult(input_requests=wanted, request_state=self.seal({"round": 1}))

    async def _multi_round(self, _ctx: Any, params: types.CallToolRequestParams) -> Result:
        state = await self.unseal(params.request_state) if params.request_state else {"round": 0}
        answers = _answers(params)
        first, second = answers.get("step1"), answers.get("step2")
        if state["round"] == 1 and isinstance(first, types.ElicitResult):
            return types.InputRequiredResult(
                input_requests={"step2": _form("Step 2: What is your favorite color?", color="string")},
                request_state=self.seal({"round": 2, "name": (first.content or {}).get("name")}),
            )
        if state["round"] == 2 and isinstance(second, types.ElicitResult):
            return reply(text(f"{state['name']} likes {(second.content or {}).get('color')}."))
        return types.InputRequiredResult(
            input_requests={"step1": _form("Step 1: What is your name?", name="string")},
            request_state=self.seal({"round": 1}),
        )

    async def _capabilities(self, ctx: Any, _params: types.CallToolRequestParams) -> Result:
        declared = ctx.session.client_capabilities
        wanted: dict[str, Any] = {}
        if declared is not None and declared.sampling is not None:
            wanted["sample"] = _sample("Say hello")
        if declared is not None and declared.elicitation is not None:
            wanted["ask"] = _form("What is your name?", name="string")
        return types.InputRequiredResult(input_requests=wanted, request_state=self.seal({"round": 1}))


async def missing_capability(ctx: Any, _params: types.CallToolRequestParams) -> Result:
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool requires the client 'sampling' capability",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return reply(text("The client can sample."))


def prompt_with_input(params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    """The prompt `test_input_required_result_prompt`: what the person said is put into its message."""
    answer = _answers(params).get("user_context")
    if not isinstance(answer, types.ElicitResult):
        form = _form("What context should the prompt use?", context="string")
        return types.InputRequiredResult(input_requests={"user_context": form})
    said = (answer.content or {}).get("context", "")
    message = {"role": "user", "content": text(f"Use the following context: {said}")}
    return types.GetPromptResult.model_validate({"messages": [message]})


def _answers(params: types.CallToolRequestParams | types.GetPromptRequestParams) -> Mapping[str, Any]:
    return params.input_responses or {}


def _form(message: str, **fields: str) -> types.ElicitRequest:
    properties = {name: {"type": kind} for name, kind in fields.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(fields)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(question: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=question))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100))
