"""completion/complete: tenants, endpoint names, areas and result handles while a person types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import mcp_types as types

from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.guard import Guard
from cipp_mcp.calls.tenants import Tenant
from cipp_mcp.errors import CippError
from cipp_mcp.registry import AREAS, Registry
from cipp_mcp.server.prompts import invalid, visible_prompts
from cipp_mcp.server.resources import TEMPLATES, reachable

_MOST = 100  # the specification's bound


async def complete(
    registry: Registry, caller: Caller, guard: Callable[[], Awaitable[Guard]], params: types.CompleteRequestParams
) -> types.CompleteResult:
    """The values that begin with or hold what was typed, best first; none where CIPP cannot be asked.

    Raises MCPError -32602 for a prompt, template or argument that does not exist.
    """
    kind = _kind(registry, caller, params)
    typed = params.argument.value.strip().lower()
    if kind == "tenant":
        found = await _tenants(guard, typed)
    elif kind == "name":
        found = _matching((endpoint.name for endpoint in reachable(registry, caller.policy)), typed)
    elif kind == "area":
        found = _matching((area for area in AREAS if reachable(registry, caller.policy, area)), typed)
    elif kind == "handle":
        found = _matching((result.handle for result in reversed(caller.results.handles())), typed)
    else:
        found = []
    completion = {"values": found[:_MOST], "total": len(found), "hasMore": len(found) > _MOST}
    return types.CompleteResult.model_validate({"completion": completion})


def _kind(registry: Registry, caller: Caller, params: types.CompleteRequestParams) -> str:
    """What the argument is: a tenant, a name, an area, a handle, or something that only the person knows."""
    wanted = params.argument.name
    if isinstance(params.ref, types.PromptReference):
        spec = visible_prompts(registry, caller.policy).get(params.ref.name)
        if spec is None:
            raise invalid(f"There is no prompt {params.ref.name[:80]!r}.")
        argument = next((argument for argument in spec.arguments if argument.name == wanted), None)
        if argument is None:
            raise invalid(f"{spec.name} has no argument {wanted[:80]!r}.")
        return argument.kind
    if params.ref.uri not in TEMPLATES:
        raise invalid(f"There is no resource template {params.ref.uri[:200]!r}. Templates: {', '.join(TEMPLATES)}.")
    if f"{{{wanted}}}" not in params.ref.uri and f"{{?{wanted}}}" not in params.ref.uri:
        raise invalid(f"{params.ref.uri} has no variable {wanted[:80]!r}.")
    return wanted


async def _tenants(guard: Callable[[], Awaitable[Guard]], typed: str) -> list[str]:
    try:
        allowed = (await guard()).allowed
    except CippError:
        return []
    texts = {tenant.domain: _texts(tenant) for tenant in sorted(allowed, key=lambda tenant: tenant.name.lower())}
    first = [domain for domain, words in texts.items() if any(word.startswith(typed) for word in words)]
    return first + [d for d, words in texts.items() if d not in first and any(typed in word for word in words)]


def _texts(tenant: Tenant) -> list[str]:
    return [tenant.name.lower(), *sorted(tenant.identifiers)]


def _matching(names: Iterable[str], typed: str) -> list[str]:
    known = list(names)
    first = [name for name in known if name.lower().startswith(typed)]
    return first + [name for name in known if name not in first and typed in name.lower()]
