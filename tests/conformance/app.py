"""The real server with the suite's fixtures added to what it lists and answers; for tests only.

Fixtures and the server's own tools, prompts and resources go through the same handlers, so that what the suite sees of
the protocol is what a host sees of cipp-mcp. `python -m tests.conformance.app` serves it on loopback.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import mcp_types as types
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPDeprecationWarning

from cipp_mcp.calls.policy import Policy
from cipp_mcp.calls.reply import failure_reply
from cipp_mcp.connection.identity import Identity
from cipp_mcp.demo import DemoCipp
from cipp_mcp.errors import CippError
from cipp_mcp.server.app import CippServer, _result
from cipp_mcp.server.tools import Surface
from cipp_mcp.settings import Settings
from tests.conformance import contents
from tests.conformance.contents import NO_ARGUMENTS, PIXEL, Handler, image, reply, resource, text
from tests.conformance.rounds import Rounds, prompt_with_input

_MESSAGES: dict[str, tuple[list[str], Any]] = {
    "test_simple_prompt": ([], lambda _: [text("This is a simple prompt for testing.")]),
    "test_prompt_with_arguments": (
        ["arg1", "arg2"],
        lambda given: [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")],
    ),
    "test_prompt_with_embedded_resource": (
        ["resourceUri"],
        lambda given: [
            resource(given["resourceUri"], "text/plain", "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
    ),
    "test_prompt_with_image": ([], lambda _: [image(), text("Please analyze the image above.")]),
}
_ASKING_PROMPT = "test_input_required_result_prompt"
_RESOURCES = {
    "test://static-text": ("text/plain", {"text": "This is the content of the static text resource."}),
    "test://static-binary": ("image/png", {"blob": PIXEL}),
    "test://watched-resource": ("text/plain", {"text": "Watched resource content"}),
}
_TEMPLATE = "test://template/{id}/data"


class ConformanceServer(CippServer):
    """cipp-mcp and the fixtures."""

    def __init__(self, settings: Settings, who: Callable[[Any], Identity]) -> None:
        super().__init__(settings, who)
        self._bus = InMemorySubscriptionBus()
        changes: dict[str, tuple[dict[str, Any], Handler]] = {
            "test_trigger_tool_change": (NO_ARGUMENTS, self._announce(ToolsListChanged())),
            "test_trigger_prompt_change": (NO_ARGUMENTS, self._announce(PromptsListChanged())),
        }
        self._fixtures = contents.TOOLS | Rounds(self._confirmations).tools | changes
        add = self.mcp.add_request_handler
        add("subscriptions/listen", types.SubscriptionsListenRequestParams, ListenHandler(self._bus))
        add("logging/setLevel", types.SetLevelRequestParams, _nothing)
        add("resources/subscribe", types.SubscribeRequestParams, _nothing)
        add("resources/unsubscribe", types.UnsubscribeRequestParams, _nothing)

    def _surface(self, policy: Policy) -> Surface:
        surface = super()._surface(policy)
        # The headers of a call are checked against its tool's schema.
        surface.schemas.update({name: schema for name, (schema, _) in self._fixtures.items()})
        return surface

    def _announce(self, event: Any) -> Handler:
        async def announce(_ctx: Any, _params: types.CallToolRequestParams) -> types.CallToolResult:
            await self._bus.publish(event)
            return reply(text("announced"))

        return announce

    async def _list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        listed = await super()._list_tools(ctx, params)
        added = [
            {"name": name, "description": "A fixture.", "inputSchema": schema}
            for name, (schema, _) in self._fixtures.items()
        ]
        listed.tools += types.ListToolsResult.model_validate({"tools": added}).tools
        return listed

    async def _call_tool(
        self, ctx: Any, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in self._fixtures:
            return await super()._call_tool(ctx, params)
        try:
            return await self._fixtures[params.name][1](ctx, params)
        except CippError as error:
            return _result(failure_reply(error, params.name))

    async def _list_prompts(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        listed = await super()._list_prompts(ctx, params)
        for name, (needed, _) in (_MESSAGES | {_ASKING_PROMPT: ([], None)}).items():
            arguments = [types.PromptArgument(name=argument, required=True) for argument in needed]
            listed.prompts.append(types.Prompt(name=name, description="A fixture.", arguments=arguments))
        return listed

    async def _get_prompt(  # type: ignore[override]  # the server's own prompts ask nothing
        self, ctx: Any, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        if params.name == _ASKING_PROMPT:
            return prompt_with_input(params)
        if params.name not in _MESSAGES:
            return await super()._get_prompt(ctx, params)
        blocks = _MESSAGES[params.name][1](params.arguments or {})
        messages = [{"role": "user", "content": block} for block in blocks]
        return types.GetPromptResult.model_validate({"messages": messages})

    async def _list_resources(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        listed = await super()._list_resources(ctx, params)
        for uri, (media, _) in _RESOURCES.items():
            listed.resources.append(types.Resource(uri=uri, name=uri.removeprefix("test://"), mime_type=media))
        return listed

    async def _list_resource_templates(
        self, ctx: Any, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        listed = await super()._list_resource_templates(ctx, params)
        listed.resource_templates.append(types.ResourceTemplate(uri_template=_TEMPLATE, name="template"))
        return listed

    async def _read_resource(self, ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        start, _, end = _TEMPLATE.partition("{id}")
        if uri in _RESOURCES:
            media, content = _RESOURCES[uri]
        elif uri.startswith(start) and uri.endswith(end):
            chosen = uri.removeprefix(start).removesuffix(end)
            data = {"id": chosen, "templateTest": True, "data": f"Data for ID: {chosen}"}
            media, content = "application/json", {"text": json.dumps(data)}
        else:
            return await super()._read_resource(ctx, params)
        return types.ReadResourceResult.model_validate({"contents": [{"uri": uri, "mimeType": media, **content}]})

    async def _complete(self, ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
        if isinstance(params.ref, types.PromptReference) and params.ref.name in _MESSAGES:
            return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))
        return await super()._complete(ctx, params)


async def _nothing(_ctx: Any, _params: Any) -> types.EmptyResult:
    return types.EmptyResult()


def main() -> None:
    """Serves on a free port of loopback, as `cipp-mcp serve --transport http` does, until told to end."""
    from cipp_mcp.server.http import serve_http

    warnings.simplefilter("ignore", MCPDeprecationWarning)  # the 2025 scenarios test what 2026-07-28 deprecates
    with DemoCipp() as demo, patch("cipp_mcp.server.http.CippServer", ConformanceServer):
        environment = {name: value for name, value in demo.environment().items() if name.startswith("CIPP_")}
        serve_http(Settings.from_environment(environment | {"CIPP_HTTP_LISTEN": "127.0.0.1:0"}))


if __name__ == "__main__":
    main()
