"""ListGraphRequest and its relatives: Graph by path, for one tenant or all."""

from __future__ import annotations

import datetime
import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from cipp_mcp.demo import odata
from cipp_mcp.demo.calls import Answer, Call, Refused, answers
from cipp_mcp.demo.habits import queued
from cipp_mcp.demo.powershell import Folded, member, rows, text
from cipp_mcp.demo.world.graph import NotThere, fetch
from cipp_mcp.demo.world.tenant import Row, Tenant

# Above this many rows, a call with $count goes through a queue even for one tenant (Get-GraphRequestList.ps1).
THRESHOLD = 8000
_PAGE = 100
_OPTIONS = ("$filter", "$select", "$expand", "$top", "$count", "$orderby", "$search", "$format")
_DAYS_AGO = re.compile(r"\{DaysAgo:(\d+)\}")


def matching(found: list[Row], clause: str | None) -> list[Row]:
    """The rows that an OData filter lets through; a filter that is not understood ends the call."""
    if not clause:
        return found
    try:
        test = odata.compile_filter(clause)
        return [row for row in found if test(row)]
    except (odata.BadFilter, TypeError) as error:
        raise Refused(Answer(f"Invalid filter clause: {error}", 500)) from error


class _Query:
    """Path and options of a request, whether they came as parameters, in the endpoint or in a nextLink."""

    def __init__(self, call: Call) -> None:
        endpoint = str(call.asked("Endpoint") or "").strip()
        link = str(call.asked("nextLink") or "")
        options = {name: call.asked(name) for name in _OPTIONS if call.asked(name)}
        if "$filter" not in options and call.asked("graphFilter"):
            options["$filter"] = call.asked("graphFilter")
        if call.flag("manualPagination") and link.startswith("https://"):
            parts = urlsplit(link)
            if parts.hostname != "graph.microsoft.com":
                raise Refused(Answer(_graph_error(f"Invalid nextLink URL: {link}", endpoint), 400))
            endpoint = parts.path.split("/", 2)[2]
            options = dict(parse_qsl(parts.query))
        path, _, inline = endpoint.partition("?")
        options |= dict(parse_qsl(inline))
        day = call.state.today
        self.options = {name: _DAYS_AGO.sub(lambda match: _ago(day, match), value) for name, value in options.items()}
        self.path = path.strip("/")
        self.skip = int(self.options.pop("$skiptoken", 0))

    def run(self, tenant: Tenant) -> list[Row] | Row | int:
        """What Graph answers, before paging.

        Raises NotThere or BadFilter.
        """
        found = fetch(tenant, self.path, self.options.get("$select"))
        if not isinstance(found, list):
            return odata.select([found], self.options.get("$select"))[0] if isinstance(found, dict) else found
        if self.options.get("$filter"):
            test = odata.compile_filter(self.options["$filter"])
            found = [row for row in found if test(row)]
        found = odata.order(odata.search(found, self.options.get("$search")), self.options.get("$orderby"))
        return odata.select(found, self.options.get("$select"))


def _ago(day: datetime.datetime, match: re.Match[str]) -> str:
    return (day - datetime.timedelta(days=int(match.group(1)))).strftime("%Y-%m-%d")


def _graph_error(message: str, endpoint: str) -> str:
    return f"Graph Error: {message} - Endpoint: {endpoint}"


def _mark(tenant: Tenant, found: list[Row] | Row | int) -> list[Any]:
    if isinstance(found, int):
        return [found]
    listed = found if isinstance(found, list) else [found]
    return [{**row, "Tenant": tenant.domain, "CippStatus": "Good"} for row in listed]


@answers("ListGraphRequest")
def list_graph(call: Call) -> Any:
    """Invoke-ListGraphRequest.ps1."""
    endpoint = str(call.asked("Endpoint") or "")
    query = _Query(call)
    metadata: Row = {"Endpoint": endpoint, "Parameters": query.options, "CippLink": None}
    if call.tenant_name:
        metadata["TenantFilter"] = call.asked("tenantFilter")
    try:
        body = (
            _all(call, query) if call.all_tenants and not call.asked("ListProperties") else _one(call, query, metadata)
        )
    except (NotThere, odata.BadFilter, TypeError, ValueError) as error:
        return Answer(_graph_error(str(error), endpoint), 200 if call.asked("IgnoreErrors") else 400)
    body["Metadata"] = {**metadata, **body["Metadata"]}
    return body


def _all(call: Call, query: _Query) -> Row:
    query.run(call.state.tenants[0])

    def found() -> list[Row]:
        return [row for tenant in call.tenants for row in _mark(tenant, query.run(tenant))]

    if call.flag("CountOnly"):
        return {"Results": [sum(len(_mark(tenant, query.run(tenant))) for tenant in call.tenants)], "Metadata": {}}
    return _through_queue(call, query, found)


def _through_queue(call: Call, query: _Query, found: Any) -> Row:
    name = call.asked("QueueNameOverride") or query.path.rsplit("/", 1)[-1].title()
    key = "-".join([query.path, *(f"{option}={value}" for option, value in sorted(query.options.items()))])
    result: Row = queued(call, f"{name} (All Tenants)", found, flagged=True, key=key)
    return result


def _one(call: Call, query: _Query, metadata: Row) -> Row:
    tenant = call.tenants[0] if call.all_tenants else call.tenant
    found = query.run(tenant)
    if call.asked("ListProperties"):
        sample = found[0] if isinstance(found, list) and found else found
        return {"Results": list(sample) if isinstance(sample, dict) else [], "Metadata": {}}
    if call.flag("CountOnly"):
        return {"Results": [len(found) if isinstance(found, list) else 1], "Metadata": {}}
    marked = _mark(tenant, found)
    paged, first_only = call.flag("manualPagination"), call.flag("NoPagination")
    counted = query.options.get("$count", "").lower() == "true"
    if len(marked) > THRESHOLD and counted and not (paged or first_only or call.flag("SkipCache")):
        return _through_queue(call, query, lambda: marked)
    size = int(query.options.get("$top") or _PAGE)
    if not paged and not first_only:
        return {"Results": marked, "Metadata": {}}
    some = marked[query.skip : query.skip + size]
    if not paged or query.skip + size >= len(marked):
        return {"Results": some, "Metadata": {}}
    options = {**query.options, "$skiptoken": str(query.skip + size)}
    tail = "&".join(f"{name}={quote(value)}" for name, value in options.items())
    return {"Results": some, "Metadata": {"nextLink": f"https://graph.microsoft.com/beta/{query.path}?{tail}"}}


@answers("ListGraphBulkRequest")
def list_bulk(call: Call) -> Any:
    """Invoke-ListGraphBulkRequest.ps1: only GET goes through, the rest is dropped without a word."""
    tenant = call.find(text(call.sent("tenantFilter")))
    wanted = [entry for entry in rows(call.sent("requests")) if text(member(entry, "method")).upper() == "GET"]
    if not wanted:
        return Answer("No requests found in the body", 400)
    found = []
    for entry in wanted:
        path, _, inline = text(member(entry, "url")).partition("?")
        asked = Folded([("Endpoint", path.strip("/")), *parse_qsl(inline)])
        sub = Call(call.endpoint, asked, None, call.state, call.client)
        body: Any
        try:
            got = _Query(sub).run(tenant)
            body, status = ({"value": got} if isinstance(got, list) else got), 200
        except (NotThere, odata.BadFilter, TypeError) as error:
            body, status = {"error": {"code": "Request_ResourceNotFound", "message": str(error)}}, 404
        headers = {"Content-Type": "application/json"}
        found.append({"id": member(entry, "id"), "status": status, "headers": headers, "body": body})
    return found


@answers("ListDirectoryObjects")
def list_objects(call: Call) -> Any:
    """Invoke-ListDirectoryObjects.ps1: unknown ids are left out."""
    tenant = call.find(text(call.sent("tenantFilter")))
    found = []
    for key in map(text, rows(call.sent("ids"))):
        for kind, table in (("user", tenant.users), ("group", tenant.groups), ("servicePrincipal", tenant.apps)):
            if key in table:
                row = {name: value for name, value in table[key].items() if name[0] != "_"}
                found.append({"@odata.type": f"#microsoft.graph.{kind}", **row})
    return {"value": odata.select(found, call.sent("$select"))}
