"""Tool fixtures that return contents, report progress or ask the client in the 2025 way.

Names, texts and schemas are those that the suite's scenarios call for (`conformance list` and its README).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types

from cipp_mcp.errors import CallFailed

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

Handler = Callable[[Any, types.CallToolRequestParams], Awaitable[types.CallToolResult | types.InputRequiredResult]]


def reply(*content: dict[str, Any]) -> types.CallToolResult:
    return types.CallToolResult.model_validate({"content": list(content)})


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def image() -> dict[str, Any]:
    return {"type": "image", "data": PIXEL, "mimeType": "image/png"}


def resource(uri: str, media: str, value: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": media, "text": value}}


def constant(*content: dict[str, Any]) -> Handler:
    """A tool that always answers with `content`."""

    async def answer(_ctx: Any, _params: types.CallToolRequestParams) -> types.CallToolResult:
        return reply(*content)

    return answer


async def error_handling(_ctx: Any, _params: types.CallToolRequestParams) -> types.CallToolResult:
    raise CallFailed("This tool intentionally returns an error for testing")


async def with_logging(ctx: Any, _params: types.CallToolRequestParams) -> types.CallToolResult:
    for step in ("started", "processing data", "completed"):
        await ctx.session.send_log_message("info", f"Tool execution {step}", related_request_id=ctx.request_id)
    return reply(text("Tool with logging executed successfully"))


async def with_progress(ctx: Any, _params: types.CallToolRequestParams) -> types.CallToolResult:
    for step in (0, 50, 100):
        await ctx.session.report_progress(step, 100, f"Completed step {step} of 100")
    return reply(text(str((ctx.meta or {}).get("progress_token", 0))))


async def sampling(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    prompt = str((params.arguments or {}).get("prompt", ""))
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    said = answer.content.text if answer.content.type == "text" else "No response"
    return reply(text(f"LLM response: {said}"))


def elicitation(message: str | None, schema: dict[str, Any], label: str) -> Handler:
    """A tool that asks the person by the form of `schema`, with its argument `message` where none is given here."""

    async def ask(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        shown = message or str((params.arguments or {}).get("message", ""))
        answer = await ctx.session.elicit_form(shown, {"type": "object", **schema}, ctx.request_id)
        return reply(text(f"{label}: action={answer.action}, content={json.dumps(answer.content or {})}"))

    return ask


async def mirrored_header(_ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    return reply(text(f"region={(params.arguments or {}).get('region', '<none>')}"))


_STATES = ["active", "inactive", "pending"]

ONE_ANSWER: dict[str, Any] = {
    "properties": {"response": {"type": "string", "description": "User's response"}},
    "required": ["response"],
}

DEFAULTS: dict[str, Any] = {
    "properties": {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {"type": "string", "description": "User status", "enum": _STATES, "default": "active"},
        "verified": {"type": "boolean", "description": "Verification status", "default": True},
    }
}


def _titled(**options: str) -> list[dict[str, str]]:
    return [{"const": name, "title": title} for name, title in options.items()]


ENUMS: dict[str, Any] = {
    "properties": {
        "untitledSingle": {"type": "string", "enum": _STATES},
        "titledSingle": {"type": "string", "oneOf": _titled(low="Low", medium="Medium", high="High")},
        "legacyEnum": {
            "type": "string",
            "enum": ["small", "medium", "large"],
            "enumNames": ["Small Size", "Medium Size", "Large Size"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["read", "write", "execute"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": _titled(feature="New Feature", bug="Bug Fix", docs="Documentation")},
        },
    }
}

NO_ARGUMENTS: dict[str, Any] = {"type": "object"}

SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _string(name: str, **more: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string", **more}}}


TOOLS: dict[str, tuple[dict[str, Any], Handler]] = {
    "test_simple_text": (NO_ARGUMENTS, constant(text("This is a simple text response for testing."))),
    "test_image_content": (NO_ARGUMENTS, constant(image())),
    "test_audio_content": (NO_ARGUMENTS, constant({"type": "audio", "data": SILENCE, "mimeType": "audio/wav"})),
    "test_embedded_resource": (
        NO_ARGUMENTS,
        constant(resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")),
    ),
    "test_multiple_content_types": (
        NO_ARGUMENTS,
        constant(
            text("Multiple content types test:"),
            image(),
            resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ),
    ),
    "test_error_handling": (NO_ARGUMENTS, error_handling),
    "test_tool_with_logging": (NO_ARGUMENTS, with_logging),
    "test_tool_with_progress": (NO_ARGUMENTS, with_progress),
    "test_sampling": (_string("prompt"), sampling),
    "test_elicitation": (_string("message"), elicitation(None, ONE_ANSWER, "User response")),
    "test_elicitation_sep1034_defaults": (
        NO_ARGUMENTS,
        elicitation("Please provide user information", DEFAULTS, "Elicitation result"),
    ),
    "test_elicitation_sep1330_enums": (
        NO_ARGUMENTS,
        elicitation("Please select values", ENUMS, "Elicitation completed"),
    ),
    "test_x_mcp_header": (_string("region", **{"x-mcp-header": "Region"}), mirrored_header),
    "json_schema_2020_12_tool": (SCHEMA_2020_12, constant(text("json_schema_2020_12_tool"))),
}
