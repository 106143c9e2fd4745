"""What a person is asked before a critical change: a change ticket, with what is hit looked up from CIPP."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cipp_mcp.calls.mask import WITHHELD
from cipp_mcp.calls.planning import Plan
from cipp_mcp.calls.request import build_request, plain
from cipp_mcp.clean import one_line
from cipp_mcp.connection.wire import Request
from cipp_mcp.errors import CippError
from cipp_mcp.registry import Registry
from cipp_mcp.registry.models import Target
from cipp_mcp.results.budget import cut_text
from cipp_mcp.settings import Settings

_LOOKED_UP = 5
_GRAPH_PATH = {
    "user": ("users/{}", "id,displayName,userPrincipalName", "userPrincipalName"),
    "group": ("groups/{}", "id,displayName,mail", "displayName"),
    "device": ("deviceManagement/managedDevices/{}", "id,deviceName,userPrincipalName", "deviceName"),
    "entra-device": ("devices/{}", "id,displayName", "displayName"),
}
_SAFE_ID = re.compile(r"^[A-Za-z0-9@._'+-]{1,200}$")
_SECRET_ARGUMENT = re.compile(r"password|secret|passcode|apikey|api_key|token", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """What is asked. ``typed`` is the text the person has to type, where a mere yes is not enough."""

    text: str
    typed: str | None
    targets: tuple[str, ...]


ReadRows = Callable[[Request], Awaitable[list[Any]]]


class Asking:
    """Writes the questions."""

    def __init__(self, settings: Settings, registry: Registry, read: ReadRows) -> None:
        self._settings = settings
        self._registry = registry
        self._read = read

    async def question(self, plan: Plan, *, shows_secrets: bool) -> Question:
        """The question for `plan`; look-ups that fail leave the id as it was given, and say so."""
        lines: list[str] = []
        names: list[str] = []
        for target in plan.endpoint.targets:
            values = target_values(plan.arguments, target.argument)
            for value in values[:_LOOKED_UP]:
                shown, name = await self._look_up(plan, target, value)
                lines.append(f"{target.argument}: {shown}")
                names.append(name)
            if len(values) > _LOOKED_UP:
                lines.append(f"{target.argument}: … and {len(values) - _LOOKED_UP} more")
                names += values[_LOOKED_UP:]
        typed = None
        if plan.risk in ("destructive", "platform"):
            typed = self._typed(plan, names)
        return Question(self._ticket(plan, lines, typed, shows_secrets), typed, tuple(names))

    def _typed(self, plan: Plan, names: list[str]) -> str:
        main = plan.endpoint.targets[0] if plan.endpoint.targets else None
        if main is not None and main.kind != "other" and len(target_values(plan.arguments, main.argument)) == 1:
            return names[0]
        if plan.scope.everything:
            return "AllTenants"
        if plan.scope.tenants:
            return plan.scope.tenants[0].domain
        return re.sub(r"^https?://", "", self._settings.url or "CIPP").split("/")[0].split(":")[0]

    def _ticket(self, plan: Plan, targets: list[str], typed: str | None, shows_secrets: bool) -> str:
        endpoint = plan.endpoint
        tenants = [str(tenant) for tenant in plan.scope.tenants[:5]]
        if len(plan.scope.tenants) > 5:
            tenants.append(f"… and {len(plan.scope.tenants) - 5} more")
        where = (
            "ALL TENANTS: " + ", ".join(tenants) if plan.scope.everything else ", ".join(tenants) or plan.tenant_label
        )
        lines = [
            f"{endpoint.title} ({endpoint.name})",
            f"Risk: {plan.risk}",
            f"Where: {where or 'CIPP itself'}",
            *(f"Whom: {line}" for line in targets),
            f"With: {_shown_arguments(plan)}",
            f"Effect: {endpoint.side_effects}" if endpoint.side_effects else "",
            *(f"Note: {note}" for note in endpoint.notes[:3]),
        ]
        if endpoint.response.secrets:
            lines.append(
                "The answer holds a credential, which will be shown to the model."
                if shows_secrets
                else "The answer holds a credential, which will be withheld."
            )
        if typed is not None:
            lines.append(f"To approve, type: {typed}")
        return "\n".join(cut_text(one_line(line), 1300) for line in lines if line)

    async def _look_up(self, plan: Plan, target: Target, value: str) -> tuple[str, str]:
        """(how the target is shown, the name that identifies it)."""
        shown = one_line(value)[:200]
        if target.kind not in _GRAPH_PATH:
            return shown, shown
        tenant = plan.scope.tenants[0].domain if len(plan.scope.tenants) == 1 else None
        if tenant is None or not _SAFE_ID.match(value):
            return f"{shown} (as given, not looked up)", shown
        path, select, column = _GRAPH_PATH[target.kind]
        arguments = {"tenantFilter": tenant, "Endpoint": path.format(value), "odata_select": select}
        try:
            rows = await self._read(build_request(self._registry["ListGraphRequest"], arguments))
        except CippError:
            rows = []
        row = rows[0] if len(rows) == 1 and isinstance(rows[0], dict) else {}
        name = one_line(str(row.get(column) or ""))
        if not name:
            return f"{shown} (as given; CIPP did not find it)", shown
        display = one_line(str(row.get("displayName") or row.get("deviceName") or name))
        return f"{display} <{name}>, id {one_line(str(row.get('id') or value))}", name


def target_values(arguments: Mapping[str, Any], path: str) -> list[str]:
    """Every value that the dotted `path` has in `arguments`, lists and items opened."""
    head, _, rest = path.partition(".")
    found: list[str] = []
    for name, value in arguments.items():
        if name.lower() == head.lower():
            for item in value if isinstance(value, list) else [value]:
                if rest and isinstance(item, Mapping):
                    found += target_values(item, rest)
                elif not rest and not isinstance(plain(item), Mapping | list):
                    found.append(str(plain(item)))
        elif name == "items" and isinstance(value, list):
            for item in value:
                found += target_values(item, path) if isinstance(item, Mapping) else []
    return found


def masked_arguments(value: Any, name: str = "") -> Any:
    """`value` with whatever stands under the name of a credential withheld."""
    if isinstance(value, Mapping):
        return {inner: masked_arguments(item, str(inner)) for inner, item in value.items()}
    if isinstance(value, list):
        return [masked_arguments(item, name) for item in value]
    if _SECRET_ARGUMENT.search(name) and isinstance(value, str) and value:
        return WITHHELD
    return value


def _shown_arguments(plan: Plan) -> str:
    given = {name: value for name, value in plan.arguments.items() if name != "tenantFilter"}
    words = []
    for name, value in masked_arguments(given).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        words.append(f"{name}={cut_text(text.replace(chr(10), ' '), 200)}")
    return cut_text("; ".join(words), 1200) or "no arguments"
