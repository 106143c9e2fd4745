"""CIPP_TENANTS holds over arguments and answers, whatever the spelling; unknown tenants are refused with near names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.planning import Call, Planner
from cipp_mcp.calls.policy import Policy
from cipp_mcp.calls.tenants import Tenant, Tenants
from cipp_mcp.demo import DemoCipp
from cipp_mcp.errors import Refused
from cipp_mcp.registry import Registry
from tests.conftest import body, call, in_memory, read, settings_for, text_of
from tests.test_every_read import plausible_arguments

OURS = Tenant("11111111-aaaa-4aaa-8aaa-000000000001", "ours.example", "Ours & Co", "ours.onmicrosoft.com")
FOREIGN = Tenant("22222222-bbbb-4bbb-8bbb-000000000002", "theirs.example", "Theirs Ltd", "theirs.onmicrosoft.com")
POSER = Tenant("33333333-cccc-4ccc-8ccc-000000000003", "poser.example", "ours.example", "poser.onmicrosoft.com")
ROWS = [
    {"customerId": t.id, "defaultDomainName": t.domain, "initialDomainName": t.initial, "displayName": t.name}
    for t in (OURS, FOREIGN, POSER)
]


async def _rows() -> list[Any]:
    return ROWS


def plan(name: str, arguments: Any, **policy: Any) -> Any:
    """Plans a call for a caller limited to OURS, with every other permission."""
    limits: dict[str, Any] = {
        "access": "admin",
        "secrets": True,
        "all_tenant_writes": True,
        "tenants": (frozenset({OURS.domain}),),
    }

    async def main() -> Any:
        async with anyio.create_task_group() as group:
            caller = Caller("local", group, Policy(**(limits | policy)), _rows)
            try:
                return await Planner(Registry.load()).plan(Call(name, arguments), caller)
            finally:
                caller.close()

    try:
        return anyio.run(main)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@pytest.mark.parametrize("text", [OURS.id, OURS.id.upper(), OURS.domain, OURS.initial, OURS.name, " Ours & co "])
def test_every_spelling_of_a_tenant_is_that_tenant(text: str) -> None:
    planned = plan("ListUsers", {"tenantFilter": text})
    assert planned.requests[0][1].query["tenantFilter"] == OURS.domain


def test_a_display_name_that_equals_another_tenants_domain_never_wins() -> None:
    assert Tenants([OURS, POSER]).resolve("ours.example") is OURS
    assert Tenants([POSER, OURS]).resolve("OURS.example") is OURS


def test_an_ambiguous_name_is_refused_with_the_domains() -> None:
    twin = Tenant("4", "twin.example", "Ours & Co")
    with pytest.raises(Refused, match=r"ours\.example, twin\.example"):
        Tenants([OURS, twin]).resolve("Ours & Co")


def test_an_unknown_tenant_is_refused_with_near_names() -> None:
    with pytest.raises(Refused, match="near: Ours & Co"):
        Tenants([OURS, FOREIGN]).resolve("ours.exmple")


def test_a_restricted_caller_is_not_told_of_other_tenants() -> None:
    with pytest.raises(Refused) as caught:
        plan("ListUsers", {"tenantFilter": "theirs.exampl"})
    assert "Theirs" not in caught.value.message + (caught.value.hint or "")


SPELLINGS = [FOREIGN.id, FOREIGN.domain, FOREIGN.initial, FOREIGN.name, FOREIGN.domain.upper(), POSER.id, POSER.domain]


@pytest.mark.parametrize("text", SPELLINGS)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ListUsers", {"tenantFilter": "*"}),
        ("ListUsers", {"tenantFilter": {"label": "ours.example", "value": "*"}}),
        ("ListUsers", {"tenantFilter": ["ours.example", "*"]}),
        ("ListUsers", {"tenantFilter": "ours.example", "extra": {"tenantId": "*"}}),
        ("ListUsers", {"tenantFilter": "ours.example", "extra": {"selectedTenants": [{"value": "*"}]}}),
        ("ListGraphRequest", {"tenantFilter": "ours.example", "Endpoint": "contracts?$filter=customerId eq '*'"}),
        (
            "ListGraphRequest",
            {
                "tenantFilter": "ours.example",
                "Endpoint": "users",
                "nextLink": "https://graph.microsoft.com/v1.0/*/users",
            },
        ),
        (
            "ListGraphBulkRequest",
            {"tenantFilter": "ours.example", "requests": [{"id": "1", "method": "GET", "url": "/tenants/*"}]},
        ),
        (
            "ListExoRequest",
            {"tenantFilter": "ours.example", "Cmdlet": "Get-Mailbox", "cmdParams": {"Organization": "*"}},
        ),
        (
            "ExecBulkLicense",
            {
                "tenantFilter": "ours.example",
                "LicenseOperation": "Add",
                "items": [{"tenantFilter": "*", "userIds": ["1"]}],
            },
        ),
        ("AddSpamFilter", {"selectedTenants": ["*"], "PowerShellCommand": {"name": "x"}}),
        (
            "AddSpamFilter",
            {"selectedTenants": [{"label": "ours.example", "value": "*"}], "PowerShellCommand": {"name": "x"}},
        ),
        ("AddCAPolicy", {"tenantFilter": ["ours.example", "*"], "RawJSON": {}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_foreign_tenant_is_refused_wherever_it_stands(name: str, arguments: Any, text: str) -> None:
    filled = json.loads(json.dumps(arguments).replace('"*"', json.dumps(text)).replace("*", text))
    with pytest.raises(Refused):
        plan(name, filled)


@pytest.mark.parametrize("name", ["ListUsers", "ExecDisableUser", "EditGroup"])
def test_an_omitted_tenant_is_refused_since_cipp_would_take_the_partners_own(name: str) -> None:
    with pytest.raises(Refused):
        plan(name, {"ID": "x", "Enable": True, "groupId": "x"})


def test_what_touches_the_whole_estate_is_refused_unless_its_rows_can_be_told_apart() -> None:
    for endpoint in Registry.load():
        if endpoint.scope != "estate" or endpoint.name == "ListTenants" or not endpoint.callable:
            continue
        if endpoint.response.tenant_column:
            continue
        with pytest.raises(Refused):
            plan(endpoint.name, plausible_arguments(endpoint, OURS.domain))


def test_all_tenants_means_the_allowed_ones_one_by_one() -> None:
    planned = plan("ListMFAUsers", {"tenantFilter": "AllTenants"}, tenants=(frozenset({OURS.domain, POSER.id}),))
    assert [request.query["tenantFilter"] for _, request in planned.requests] == [OURS.domain, POSER.domain]


_TEXTS = st.sampled_from(
    [
        *SPELLINGS,
        OURS.domain,
        OURS.id,
        "AllTenants",
        "alltenants",
        "x",
        "users",
        quote(FOREIGN.domain),
        quote(quote(FOREIGN.id, safe="")),
    ]
)
_NAMES = st.sampled_from(
    ["tenantFilter", "TenantFilter", "tenantId", "value", "label", "customerId", "selectedTenants", "ID", "Endpoint", "extra", "items",
     "addedFields", "defaultDomainName", "type", "nextLink", "cmdParams", "requests", "url", "tenantGroups", "anything"]
)  # fmt: skip
_VALUES = st.recursive(
    _TEXTS | st.booleans() | st.integers(0, 3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_NAMES, inner, max_size=3)
        | inner.map(lambda value: json.dumps(value))
    ),
    max_leaves=8,
)
_ENDPOINTS = [e.name for e in Registry.load() if e.callable]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(_ENDPOINTS), arguments=st.dictionaries(_NAMES, _VALUES, max_size=5), fitting=st.booleans())
def test_no_argument_object_gets_a_foreign_tenant_past_the_list(
    name: str, arguments: dict[str, Any], fitting: bool
) -> None:
    endpoint = Registry.load()[name]
    if fitting:  # arguments that fit get further than those refused for their names
        names = [n for n in arguments if n in endpoint.parameters or n in ("extra", "items")]
        arguments = plausible_arguments(endpoint, OURS.domain) | {n: arguments[n] for n in names}
    try:
        planned = plan(name, arguments)
    except Refused:
        return
    for _, request in planned.requests:
        for text in _all_strings([dict(request.query), request.body]):
            folded = text.lower()
            assert not any(identifier in folded for t in (FOREIGN, POSER) for identifier in t.identifiers), (
                name,
                arguments,
            )
            assert folded not in (FOREIGN.name.lower(), "alltenants"), (name, arguments)


def _all_strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _all_strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _all_strings(inner)


@pytest.mark.anyio
async def test_rows_of_other_tenants_never_reach_the_host(demo: DemoCipp) -> None:
    ours, *others = demo.state.tenants
    marker = "SEEDED-FOREIGN-MARKER"
    registry = Registry.load()
    settings_ = settings_for(
        demo, CIPP_ACCESS="admin", CIPP_TENANTS=ours.domain, CIPP_CONFIRM="never", CIPP_ALLOW_SECRETS="true"
    )
    async with in_memory(settings_) as client:
        for endpoint in registry:
            if endpoint.name == "ListTenants" or not endpoint.callable:
                continue
            column = endpoint.response.tenant_column or "Tenant"
            foreign = [_row(column, tenant, marker, endpoint.fields) for tenant in others]
            own = _row(column, ours, "ours", endpoint.fields)
            bodies: list[Any] = [[*foreign, own], {"Results": [own, *foreign]}]
            for answer in bodies:
                demo.answer(endpoint.name, body=answer, times=1)
            for _ in bodies:
                arguments = plausible_arguments(endpoint, ours.domain)
                for runner in ("cipp_read", "cipp_change", "cipp_critical"):
                    result = await client.call_tool(
                        runner,
                        {
                            "name": endpoint.name,
                            "arguments": arguments,
                            **({"fresh": True} if runner == "cipp_read" else {}),
                        },
                    )
                    assert marker not in text_of(result), (endpoint.name, answer)
            demo.restore()
        tenants = await read(client, "ListTenants", {"fields": ["*"]})
        assert tenants["total"] == 1
        assert all(other.domain not in json.dumps(tenants) for other in others)
        listed = await call(client, "cipp_query", sql=f"SELECT count(*) AS n FROM {tenants['result']}")
        assert listed["rows"] == [[1]]


def _row(column: str, tenant: Any, marker: str, fields: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {name: f"{marker} {name}" for name in list(fields)[:5]}
    head, _, rest = column.partition(".")
    return row | ({head: {rest: tenant.domain}} if rest else {column: tenant.domain}) | {"Message": marker}


@pytest.mark.anyio
async def test_the_seeded_estate_shows_nothing_of_its_other_tenants(demo: DemoCipp) -> None:
    ours, *others = demo.state.tenants
    words = [word for other in others for word in (other.id, other.domain, other.initial)]
    reads = [endpoint for endpoint in Registry.load() if endpoint.risk == "read" and endpoint.callable]
    async with in_memory(settings_for(demo, CIPP_TENANTS=ours.id, CIPP_WAIT_SECONDS="3")) as client:
        for endpoint in reads:
            arguments = plausible_arguments(endpoint, ours.domain)
            result = await client.call_tool(
                "cipp_read", {"name": endpoint.name, "arguments": arguments, "fields": ["*"]}
            )
            body(result)
            assert not [word for word in words if word in text_of(result)], endpoint.name
