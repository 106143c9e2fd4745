"""The MCP server: tools/list and tools/call over any transport, in both protocol eras."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server

from cipp_mcp import __version__
from cipp_mcp.calls.audit import Audit
from cipp_mcp.calls.confirm import Confirmations
from cipp_mcp.calls.dispatcher import Dispatcher
from cipp_mcp.calls.planning import Call
from cipp_mcp.calls.policy import Policy
from cipp_mcp.calls.queues import Client
from cipp_mcp.calls.reply import Reply, failure_reply, without_empty
from cipp_mcp.connection.identity import LOCAL, Identity
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.errors import CippError, Refused
from cipp_mcp.registry import Registry
from cipp_mcp.registry.schema import CHANGE_CONTROLS, READ_CONTROLS
from cipp_mcp.results.budget import compact, tokens
from cipp_mcp.results.shape import row_page
from cipp_mcp.server.callers import Callers, Policies, Seat
from cipp_mcp.server.catalogue import describe_answer, search_answer
from cipp_mcp.server.fence import fenced
from cipp_mcp.server.host import McpHost, NeedsInput
from cipp_mcp.server.tools import INSTRUCTIONS, Surface, listed_tools
from cipp_mcp.settings import Settings
from cipp_mcp.state import State, open_state

if TYPE_CHECKING:
    from cipp_mcp.calls.guard import Guard
    from cipp_mcp.connection.client import CippClient
    from cipp_mcp.registry.following import Follower
    from cipp_mcp.registry.search import Search
    from cipp_mcp.server.resources import Resources

_MOST_SURFACES = 100
_TEND_EVERY = 10.0
_log = logging.getLogger(__name__)
_CONTROLS = tuple(dict.fromkeys((*READ_CONTROLS, *CHANGE_CONTROLS)))
_MAX_ATTACHMENT = 2 * 1024 * 1024
_RUNNERS = ("cipp_read", "cipp_change", "cipp_critical")


class CippServer:
    """Holds what one process serves; `mcp` is the lowlevel server to run on a transport."""

    def __init__(self, settings: Settings, who: Callable[[Any], Identity] = lambda _ctx: LOCAL) -> None:
        """`who` says from whom a request comes, given its context. Raises SettingsError for a wrong policy file."""
        self.settings = settings
        self._who = who
        self.mcp: Server[CippServer] = Server(
            "cipp-mcp",
            version=__version__,
            title="CIPP",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_resource_templates,
            on_read_resource=self._read_resource,
            on_completion=self._complete,
            lifespan=self._lifespan,
            # It is asked without a context; which tools a caller may use is checked at the call.
            get_tool_input_schema=lambda name: self._surface(Policy.of_settings(settings)).schemas.get(name),
        )
        self._policies = Policies(settings)
        self.state = open_state(settings)
        self._confirmations = Confirmations(settings.state_key, self.state)
        self._callers: Callers | None = None
        self._surfaces: dict[Policy, Surface] = {}
        self._index: tuple[int, Search] | None = None
        self._begin_following: Callable[[Client], None] = lambda _client: None

    @cached_property
    def registry(self) -> Registry:
        """The catalogue; a copy of one's own where it follows the deployment."""
        return Registry.load() if self.settings.openapi == "off" else Registry.load().copy()

    @cached_property
    def follower(self) -> Follower:
        """What keeps `registry` in step with the deployment; its `report` says how far."""
        from cipp_mcp.registry.following import Follower

        return Follower(self.settings, self.registry)

    def _surface(self, policy: Policy) -> Surface:
        """What a caller with `policy` sees."""
        surface = self._surfaces.get(policy)
        if surface is None:
            # It stays as it is until the next start; only the gateway sees what the deployment says in between.
            if self.settings.tools != ("gateway",):
                self.follower.use_stored()
            if len(self._surfaces) >= _MOST_SURFACES:
                self._surfaces.clear()
            surface = self._surfaces[policy] = Surface(
                listed_tools(self.settings, self.registry, policy), self.registry
            )
        return surface

    @property
    def _search(self) -> Search:
        from cipp_mcp.registry.search import Search

        if self._index is None or self._index[0] != self.registry.revision:
            self._index = (self.registry.revision, Search(self.registry))
        return self._index[1]

    @asynccontextmanager
    async def _lifespan(self, _: Server[CippServer]) -> AsyncIterator[CippServer]:
        audit = Audit(self.settings.audit_log, (self.settings.state_key or secrets.token_hex(32)).encode())
        try:
            async with _LazyClient(self.settings, self.state) as client, anyio.create_task_group() as group:

                def make_dispatcher(client: Client) -> Dispatcher:
                    return Dispatcher(self.settings, self.registry, client, audit, self._confirmations)

                self._callers = Callers(self.settings, group, client, self._policies, make_dispatcher, self.state)
                self._begin_following = lambda client: self.follower.begin(group, client)
                group.start_soon(self._tend)
                group.start_soon(self.state.run)
                try:
                    yield self
                finally:
                    if "follower" in self.__dict__:  # made when it was first needed
                        self.follower.end()
                    group.cancel_scope.cancel()
        finally:
            if self._callers is not None:
                self._callers.close()
            audit.close()
            await self.state.close()

    async def finish_changes(self, seconds: float) -> None:
        """Waits up to `seconds` for changes that are being made; for the end of the process."""
        if self._callers is not None:
            await self._callers.finish_changes(seconds)

    async def _tend(self) -> None:
        assert self._callers is not None
        while True:
            await anyio.sleep(_TEND_EVERY)
            self._callers.tend()

    async def _list_tools(self, ctx: Any, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        tools = self._surface(self._seat(ctx).caller.policy).tools
        return types.ListToolsResult.model_validate({"tools": tools, "cacheScope": "private"})

    async def _call_tool(
        self, ctx: Any, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        arguments = dict(params.arguments or {})
        try:
            seat = self._seat(ctx)
            known = self._surface(seat.caller.policy).schemas
            if params.name not in known:
                raise Refused(
                    f"There is no tool {params.name!r}. Tools: {', '.join(list(known)[:12])}.",
                    hint="Endpoints are run by name through cipp_read, cipp_change or cipp_critical, as far as they are listed.",
                )
            host = McpHost(ctx, params, seat.caller.name, self._confirmations)
            reply = await self._run(params.name, arguments, seat, host)
        except NeedsInput as question:
            return question.result
        except CippError as error:
            reply = failure_reply(error, params.name)
        return _result(reply)

    async def _list_prompts(self, ctx: Any, _params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        from cipp_mcp.server.prompts import list_prompts

        self.follower.use_stored()
        return list_prompts(self.registry, self._seat(ctx).caller.policy)

    async def _get_prompt(self, ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        from cipp_mcp.server.prompts import get_prompt

        self.follower.use_stored()
        seat = self._seat(ctx)
        return await get_prompt(self.registry, seat.caller.policy, _guard_of(seat), params)

    async def _list_resources(
        self, ctx: Any, _params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        return self._resources(ctx).listed()

    async def _list_resource_templates(
        self, ctx: Any, _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return self._resources(ctx).templates()

    async def _read_resource(self, ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        if params.uri.startswith(("cipp://catalogue", "cipp://endpoints", "cipp://deployment")):
            self._begin_following(self._seat(ctx).client)
            await self.follower.settle()
        return await self._resources(ctx).read(params.uri)

    async def _complete(self, ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
        from cipp_mcp.server.completion import complete

        seat = self._seat(ctx)
        return await complete(self.registry, seat.caller, _guard_of(seat), params)

    def _seat(self, ctx: Any) -> Seat:
        assert self._callers is not None
        return self._callers.seat(self._who(ctx))

    def _resources(self, ctx: Any) -> Resources:
        from cipp_mcp.server.resources import Resources

        seat = self._seat(ctx)
        return Resources(
            self.registry,
            seat.caller,
            _guard_of(seat),
            self.follower.report,
            budget=seat.dispatcher.budget,
            fallback=self.settings.confirm_fallback,
        )

    async def _run(self, tool: str, arguments: dict[str, Any], seat: Seat, host: McpHost) -> Reply:
        surface = self._surface(seat.caller.policy)
        if tool.startswith("cipp_"):
            _check_names(tool, arguments, surface.schemas[tool])
        if tool in ("cipp_search", "cipp_describe"):
            self._begin_following(seat.client)
            await self.follower.settle()
        if tool == "cipp_search":
            return Reply(
                {"outcome": "ok", **search_answer(self._search, self.registry, arguments, seat.caller.policy.reaches)}
            )
        if tool == "cipp_describe":
            return Reply({"outcome": "ok", **describe_answer(self.registry, arguments)})
        if tool == "cipp_query":
            return await self._query(arguments, seat, host)
        call = self._call(tool, arguments, surface)
        self.follower.use_stored()
        if self.registry.resolve(call.name) is None:
            self._begin_following(seat.client)
            await self.follower.settle(call.name)
        reply = await seat.dispatcher.run(call, seat.caller, host)
        if not reply.is_error:
            self._begin_following(seat.client)
        return reply

    def _call(self, tool: str, arguments: dict[str, Any], surface: Surface) -> Call:
        given = {name: arguments.pop(name, None) for name in _CONTROLS if self._is_control(tool, name)}
        is_runner = tool in _RUNNERS
        return Call(
            name=str(arguments.get("name") or "") if is_runner else tool,
            arguments=arguments.get("arguments") if is_runner else arguments,
            fields=_fields(given.get("fields")),
            limit=_limit(given.get("limit")),
            cursor=_text(given.get("cursor"), "cursor"),
            resume=_text(given.get("resume"), "resume"),
            fresh=_flag(given.get("fresh"), "fresh"),
            preview=_flag(given.get("preview"), "preview"),
            verify=_flag(given.get("verify"), "verify"),
            confirmation=_text(given.get("confirmation"), "confirmation"),
            runner=tool if is_runner else None,  # type: ignore[arg-type]
            ceiling=None if is_runner else surface.ceilings[tool],
        )

    def _is_control(self, tool: str, name: str) -> bool:
        """Whether `name` steers the answer; an endpoint's own argument of the same name is left to it."""
        return tool in _RUNNERS or tool not in self.registry or name not in self.registry[tool].parameters

    async def _query(self, arguments: dict[str, Any], seat: Seat, host: McpHost) -> Reply:
        results = seat.caller.results
        limit = _limit(arguments.get("limit"))
        if arguments.get("cursor"):
            call = Call(name="", cursor=str(arguments["cursor"]), limit=limit, fields=("*",))
            return await seat.dispatcher.run(call, seat.caller, host)
        sql = arguments.get("sql")
        if not isinstance(sql, str) or not sql.strip():
            raise Refused("sql must be one SELECT, such as SELECT count(*) FROM r1.")
        await seat.caller.bring(sql)
        result = await anyio.to_thread.run_sync(results.query, sql)
        await seat.caller.share()
        rows = results.rows(result.handle, 0, min(limit or 200, 2000))
        body: dict[str, Any] = {"outcome": "ok"}
        budget = seat.dispatcher.budget - tokens(compact(body))
        part = row_page(rows, result, start=0, limit=limit or 200, columns=(), fields=("*",), budget=budget)
        return Reply(without_empty(body | part))


class _LazyClient:
    """The HTTP client, imported and made at the first call: httpx would cost every start a tenth of a second."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings = settings
        self._state = state
        self._client: CippClient | None = None

    async def __aenter__(self) -> _LazyClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._client is not None:
            await self._client.__aexit__(*exc_info)

    def opened(self) -> CippClient:
        if self._client is None:
            from cipp_mcp.connection.client import CippClient
            from cipp_mcp.connection.tls import ssl_context

            self._client = CippClient(self._settings, ssl_context, state=self._state)
        return self._client

    async def send(self, request: Request) -> Answer:
        return await self.opened().send(request)


def _guard_of(seat: Seat) -> Callable[[], Awaitable[Guard]]:
    return partial(seat.dispatcher.guard, seat.caller)


def _result(reply: Reply) -> types.CallToolResult:
    """One text block: the JSON, fenced as data."""
    content: list[dict[str, Any]] = [{"type": "text", "text": fenced(reply.body)}]
    if reply.binary is not None:
        content.append(_binary_block(*reply.binary))
    return types.CallToolResult.model_validate({"content": content, "isError": reply.is_error})


def _binary_block(media: str, content: bytes) -> dict[str, Any]:
    import base64

    if media == "text/plain":
        return {"type": "resource", "resource": {"uri": "cipp://answer", "mimeType": media, "text": content.decode()}}
    data = base64.b64encode(content).decode("ascii")
    if len(content) > _MAX_ATTACHMENT:
        return {"type": "text", "text": f"The {media} file of {len(content):,} bytes is too large to attach."}
    if media.startswith("image/"):
        return {"type": "image", "data": data, "mimeType": media}
    return {"type": "resource", "resource": {"uri": "cipp://answer", "mimeType": media, "blob": data}}


def _check_names(tool: str, arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    unknown = [name for name in arguments if name not in schema["properties"]]
    if unknown:
        hint = "Arguments of the endpoint go inside 'arguments'." if "arguments" in schema["properties"] else None
        raise Refused(f"{tool} has no argument {unknown[0]!r}. Valid: {', '.join(schema['properties'])}.", hint=hint)


def _fields(value: Any) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise Refused('fields must be a list of column names, such as ["displayName", "id"].')
    return tuple(names)


def _limit(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 2000:
        raise Refused("limit must be a whole number from 1 to 2000.")
    return int(value)


def _flag(value: Any, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Refused(f"{name} must be true or false.")


def _text(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Refused(f"{name} must be the text that an earlier answer gave.")
    return value
