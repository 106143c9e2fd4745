"""From what a host asks for to what would be sent: look-up, risk, policy, tenants, exact requests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.guard import Guard, Scope, acts_on_several, check_site_hosts, has_tenant_list
from cipp_mcp.calls.policy import Policy
from cipp_mcp.calls.request import build_request, match_names, plain
from cipp_mcp.calls.risk import higher, risk_of
from cipp_mcp.calls.tenants import ALL_TENANTS, Tenant, Tenants
from cipp_mcp.calls.undocumented import HINT, undocumented
from cipp_mcp.connection.wire import Request
from cipp_mcp.errors import Refused
from cipp_mcp.registry import NEVER_CALLABLE, Endpoint, Registry, Risk
from cipp_mcp.registry.schema import runner_of
from cipp_mcp.setting_values import DOMAIN, GUID

Runner = Literal["cipp_read", "cipp_change", "cipp_critical"]


@dataclass(frozen=True)
class Call:
    """What a host asked for: an endpoint by name, its arguments, and how the answer is wanted."""

    name: str
    arguments: Any = field(default_factory=dict)
    fields: tuple[str, ...] | None = None
    limit: int | None = None
    cursor: str | None = None
    resume: str | None = None
    fresh: bool = False
    preview: bool = False
    verify: bool = False
    confirmation: str | None = None
    runner: Runner | None = None
    ceiling: Risk | None = None
    """The gravest risk that the tool called may carry, where it is an endpoint's own: its annotations say no more."""


@dataclass(frozen=True)
class Plan:
    """A call that has been checked: what it is, where it goes, and the requests it makes.

    `requests` has one element, or one for each tenant where a call is made tenant by tenant.
    """

    endpoint: Endpoint
    arguments: Mapping[str, Any]
    risk: Risk
    scope: Scope
    requests: tuple[tuple[Tenant | None, Request], ...]
    guard: Guard | None
    source: str

    @property
    def is_read(self) -> bool:
        return self.risk in ("read", "secret")

    @property
    def tenant_label(self) -> str:
        given = self.arguments.get("tenantFilter")
        return self.scope.label or ("" if given is None else str(plain(given)))

    @property
    def bound(self) -> list[Any]:
        """Everything that a confirmation of this call is bound to."""
        sent = [[r.endpoint, r.method, dict(r.query), r.body] for _, r in self.requests]
        return [self.endpoint.name, self.risk, sent]


class Planner:
    """Makes plans from calls."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def plan(
        self,
        call: Call,
        caller: Caller,
        *,
        check: bool = True,
        tenants: Callable[[], Awaitable[Tenants]] | None = None,
    ) -> Plan:
        """The plan of `call`; `tenants` reads the tenants where they have to be known, in place of the caller's own way.

        Raises Refused when the endpoint is unknown, the arguments do not fit, or (with `check`) policy forbids it.
        """
        asked = normalise_arguments(call.arguments)
        unknown = undocumented(self._registry, call.name, asked, caller.policy)
        endpoint = unknown or find_endpoint(self._registry, call.name, caller.policy)
        given = match_names(endpoint, asked)
        risk = risk_of(endpoint, given)
        if check:
            caller.policy.check(endpoint, risk)
            _check_runner(endpoint, risk, call)
            await caller.count_call()
        check_site_hosts(endpoint, given)
        guard = await self._guard(endpoint, given, risk, caller, tenants or caller.directory.tenants)
        scope = Scope(())
        if guard is not None:
            scope = guard.scope_of(endpoint, given)
            guard.check_arguments(endpoint, given, risk)
            if not _reads(risk):
                guard.check_lists(given)
                given = _with_whole_tenants(endpoint, given, guard)
        several = not _reads(risk) and acts_on_several(endpoint, given, scope)
        if check and several and not caller.policy.all_tenant_writes:
            raise Refused(
                f"{endpoint.name} with these arguments would change several tenants at once. Nothing was sent.",
                hint="Name one tenant, or let the operator set CIPP_ALLOW_ALL_TENANT_WRITES=true.",
                reason="several tenants",
            )
        arguments, requests = self._requests(endpoint, given, risk, scope, guard)
        return Plan(endpoint, arguments, risk, scope, requests, guard, describe_call(endpoint, arguments))

    async def _guard(
        self,
        endpoint: Endpoint,
        given: Mapping[str, Any],
        risk: Risk,
        caller: Caller,
        tenants: Callable[[], Awaitable[Tenants]],
    ) -> Guard | None:
        """The guard, where tenants have to be known; a plain read of a plainly named tenant needs no look-up."""
        restricted = bool(caller.policy.tenants)
        if not restricted and endpoint.scope == "none":
            return None
        value = given.get("tenantFilter")
        texts = (
            [str(plain(item)) for item in (value if isinstance(value, list) else [value])] if value is not None else []
        )
        named_plainly = all(GUID.match(text) or DOMAIN.match(text) or text == ALL_TENANTS for text in texts)
        fans_out = len(texts) > 1 or (ALL_TENANTS in texts and "all-tenants" not in endpoint.response.habits)
        if not restricted and _reads(risk) and named_plainly and not fans_out and endpoint.tenant_form is None:
            return None
        if not restricted and not texts and (_reads(risk) or not has_tenant_list(given)):
            return None
        return Guard(caller.policy, await tenants())

    def _requests(
        self, endpoint: Endpoint, given: Mapping[str, Any], risk: Risk, scope: Scope, guard: Guard | None
    ) -> tuple[Mapping[str, Any], tuple[tuple[Tenant | None, Request], ...]]:
        tenants = scope.tenants
        takes_list = endpoint.tenant is not None and endpoint.tenant.type == "array"
        # A handler that does not expand AllTenants answers a change with a false success, so others go one by one.
        knows_all = "all-tenants" in endpoint.response.habits
        own_all = scope.everything and guard is not None and not guard.restricted and knows_all
        if guard is None or own_all or (not tenants and not scope.everything):
            if own_all:
                given = {**given, "tenantFilter": [ALL_TENANTS] if takes_list else ALL_TENANTS}
            return given, ((None, build_request(endpoint, given)),)
        if not tenants:
            raise Refused("No tenant is left that this server may touch. Nothing was sent.", reason="tenant")
        if takes_list:
            arguments = {**given, "tenantFilter": [_form(tenant, endpoint) for tenant in tenants]}
            return arguments, ((None, build_request(endpoint, arguments)),)
        if len(tenants) == 1 and not scope.everything:
            arguments = {**given, "tenantFilter": _form(tenants[0], endpoint)}
            return arguments, ((tenants[0], build_request(endpoint, arguments)),)
        each = [
            (tenant, build_request(endpoint, {**given, "tenantFilter": _form(tenant, endpoint)})) for tenant in tenants
        ]
        return given, tuple(each)


def _form(tenant: Tenant, endpoint: Endpoint) -> str:
    return tenant.id if endpoint.tenant_form == "id" else tenant.domain


def _with_whole_tenants(endpoint: Endpoint, given: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    """`given` with tenants in the shape {defaultDomainName, customerId} where CIPP reads both of each."""
    filled = dict(given)
    for name, value in given.items():
        parameter = endpoint.parameters.get(name)
        inner = parameter.items.properties if parameter is not None and parameter.items is not None else None
        if not inner or not {"defaultDomainName", "customerId"} <= set(inner):
            continue
        whole = []
        for one in value if isinstance(value, list) else [value]:
            text = (
                one if isinstance(one, str) else (one.get("defaultDomainName") or one.get("customerId") or plain(one))
            )
            if isinstance(text, str) and text != ALL_TENANTS:
                tenant = guard.resolve(text)
                known = {"defaultDomainName": tenant.domain, "customerId": tenant.id, "displayName": tenant.name}
                whole.append({field: known[field] for field in inner if field in known})
            else:
                whole.append(one)
        filled[name] = whole
    return filled


def _reads(risk: Risk) -> bool:
    return risk in ("read", "secret")


def _check_runner(endpoint: Endpoint, risk: Risk, call: Call) -> None:
    right = runner_of(risk)
    wrong_runner = call.runner is not None and call.runner != right
    if wrong_runner or (call.ceiling is not None and higher(risk, call.ceiling) != call.ceiling):
        raise Refused(
            f"{endpoint.name} with these arguments is a call of risk {risk}: use {right}"
            f"{f', not {call.runner}' if call.runner else ''}. Nothing was sent.",
            reason="runner",
        )


def find_endpoint(registry: Registry, name: str, policy: Policy | None = None) -> Endpoint:
    """The endpoint called `name`, matched without case.

    Raises Refused with near names for an unknown one, for those the deployment lacks, and for those never callable.
    """
    known = registry.resolve(name)
    if known is None:
        near = registry.near(name)
        raise Refused(
            f"There is no endpoint {name[:80]!r}." + (f" Near: {', '.join(near)}." if near else ""),
            hint="cipp_search finds endpoints by what they do."
            + (f" {HINT}" if policy is not None and policy.access == "admin" else ""),
        )
    if known in NEVER_CALLABLE:
        raise Refused(
            f"{known} carries CIPP's own MCP, through which calls could pass unchecked; it is never callable here.",
            reason="never",
        )
    endpoint = registry[known]
    if endpoint.absent:
        raise Refused(f"{known} is {endpoint.absent}. Nothing was sent.", reason="version")
    return endpoint


def normalise_arguments(arguments: Any) -> dict[str, Any]:
    """`arguments` as an object; a JSON string is opened, since some models send one.

    Raises Refused for anything else.
    """
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            raise Refused("arguments is a string that is not valid JSON; pass an object.") from None
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise Refused('arguments must be an object such as {"tenantFilter": "contoso.com"}.')
    return dict(arguments)


def describe_call(endpoint: Endpoint, arguments: Mapping[str, Any]) -> str:
    """The call in one line, to name a result's origin: ``ListUsers tenantFilter="contoso.com"``."""
    words = [f"{name}={json.dumps(value, ensure_ascii=False, default=str)[:60]}" for name, value in arguments.items()]
    return " ".join([endpoint.name, *words])[:300]
