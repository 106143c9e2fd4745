"""An endpoint that stands in no document can be called: by the operator's leave, knowingly, and after a yes."""

from __future__ import annotations

from typing import Any

import pytest

from cipp_mcp.demo import DemoCipp
from tests.conftest import call, in_memory, settings_for
from tests.test_confirming import Person

pytestmark = pytest.mark.anyio

_NAME = "ExecBrandNewThing"


async def test_it_is_called_with_what_extra_holds_after_a_yes(demo: DemoCipp) -> None:
    demo.answer(_NAME, body={"Results": "Done"})
    person = Person("accept")
    settings = settings_for(demo, CIPP_ACCESS="admin", CIPP_OPENAPI="off")
    async with in_memory(settings, elicitation_callback=person) as client:
        arguments = {"tenantFilter": demo.state.tenants[0].domain, "extra": {"Mode": "Fast", "Deep": {"a": [1]}}}
        reply = await call(client, "cipp_critical", name=_NAME, arguments=arguments)
    assert reply["outcome"] == "ok"
    sent = [request for request in demo.requests if request.endpoint == _NAME]
    assert [(one.method, one.body) for one in sent] == [
        ("POST", {"tenantFilter": demo.state.tenants[0].domain, "Mode": "Fast", "Deep": {"a": [1]}})
    ]
    assert len(person.questions) == 1
    assert "Risk: platform" in person.questions[0]
    assert "neither in the catalogue nor in the document" in person.questions[0]


async def test_a_listing_one_is_asked_by_get(demo: DemoCipp) -> None:
    demo.answer("ListBrandNewThings", body=[{"a": 1}])
    settings = settings_for(demo, CIPP_ACCESS="admin", CIPP_CONFIRM="never", CIPP_OPENAPI="off")
    async with in_memory(settings) as client:
        reply = await call(client, "cipp_critical", name="ListBrandNewThings", arguments={"extra": {"Top": 5}})
    assert reply["data"] == [{"a": 1}]
    assert (demo.requests[-1].method, demo.requests[-1].query) == ("GET", {"Top": "5"})


@pytest.mark.parametrize(
    ("access", "runner", "name", "arguments", "said"),
    [
        ("full", "cipp_critical", _NAME, {"extra": {}}, "There is no endpoint"),
        ("admin", "cipp_read", _NAME, {"extra": {}}, "use cipp_critical"),
        ("admin", "cipp_change", _NAME, {"extra": {}}, "use cipp_critical"),
        ("admin", "cipp_critical", _NAME, {}, "There is no endpoint"),
        ("admin", "cipp_critical", _NAME, {"Mode": "Fast"}, "There is no endpoint"),
        ("admin", "cipp_critical", _NAME, {"extra": {}, "Mode": "Fast"}, "has no argument 'Mode'"),
        ("admin", "cipp_critical", "ListUser", {"tenantFilter": "x.example"}, "Near: ListUsers"),
        ("admin", "cipp_critical", "ExecMcpTwo", {"extra": {}}, "There is no endpoint"),
        ("admin", "cipp_critical", "$batch", {"extra": {}}, "There is no endpoint"),
        ("admin", "cipp_critical", "../.auth/me", {"extra": {}}, "There is no endpoint"),
        ("admin", "cipp_critical", "ExecX?a=b", {"extra": {}}, "There is no endpoint"),
        ("admin", "cipp_critical", "ExecX/ListUsers", {"extra": {}}, "There is no endpoint"),
        ("admin", "cipp_critical", _NAME, {"extra": {"tenantFilter": "x.example"}}, "not inside extra"),
        ("admin", "cipp_critical", _NAME, {"extra": {"customerRef": "x.example"}}, "into tenantFilter"),
        ("admin", "cipp_critical", _NAME, {"extra": {}, "tenantFilter": "AllTenants"}, "several tenants"),
    ],
)
async def test_nothing_is_sent_without_leave_or_by_a_slip(
    demo: DemoCipp, access: str, runner: str, name: str, arguments: dict[str, Any], said: str
) -> None:
    settings = settings_for(demo, CIPP_ACCESS=access, CIPP_CONFIRM="never", CIPP_OPENAPI="off")
    async with in_memory(settings) as client:
        reply = await call(client, runner, name=name, arguments=arguments)
    assert reply["outcome"] == "refused"
    assert said in reply["messages"][0]
    assert {request.endpoint for request in demo.requests} <= {"ListTenants"}


async def test_a_server_limited_to_some_tenants_never_does_it(demo: DemoCipp) -> None:
    tenant = demo.state.tenants[0].domain
    settings = settings_for(demo, CIPP_ACCESS="admin", CIPP_CONFIRM="never", CIPP_TENANTS=tenant, CIPP_OPENAPI="off")
    async with in_memory(settings) as client:
        arguments = {"tenantFilter": tenant, "extra": {}}
        reply = await call(client, "cipp_critical", name=_NAME, arguments=arguments)
    assert reply["outcome"] == "refused"
    assert {request.endpoint for request in demo.requests} <= {"ListTenants"}


async def test_an_admin_who_names_an_unknown_endpoint_is_told_of_the_way(demo: DemoCipp) -> None:
    for access, told in (("admin", True), ("read", False)):
        async with in_memory(settings_for(demo, CIPP_ACCESS=access, CIPP_OPENAPI="off")) as client:
            reply = await call(client, "cipp_read", name=_NAME, arguments={})
            assert ("inside extra" in reply["hint"]) is told
