"""The shape of one catalogue entry.

An entry in ``tool_specs/<area>.json`` has two layers. ``facts`` is what CIPP's OpenAPI document says and is
rewritten by the importer; everything beside it is written by hand and survives every import. ``parameters``
and ``response.fields`` beside ``facts`` are JSON merge patches (RFC 7396) over their imported twins: ``null``
removes, an object merges, anything else replaces. `Endpoint` is the merged entry that the server works with.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Area = Literal["identity", "exchange", "tenant", "endpoint", "security", "teams-sharepoint", "cipp", "tools"]
Risk = Literal["read", "secret", "write", "security", "destructive", "platform"]
Scope = Literal["tenant", "estate", "none"]
JsonType = Literal["string", "integer", "number", "boolean", "object", "array"]
Place = Literal["query", "body", "both"]
Habit = Literal["queue", "placeholder", "guid", "paging", "unrolls", "all-tenants", "report-db"]

AREAS: tuple[Area, ...] = (
    "identity",
    "exchange",
    "tenant",
    "endpoint",
    "security",
    "teams-sharepoint",
    "cipp",
    "tools",
)
RISKS: tuple[Risk, ...] = ("read", "secret", "write", "security", "destructive", "platform")

# CIPP's own MCP transport can carry calls inside calls, past every check made here (api: MCP entrypoints).
NEVER_CALLABLE = frozenset({"ExecMcp", "PublicMcpRegister"})


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Parameter(Model):
    """One argument of an endpoint, or one field of an object-valued argument."""

    place: Annotated[Place | None, Field(alias="in")] = None
    type: JsonType = "string"
    required: bool = False
    required_when: Annotated[
        dict[str, list[str]] | None,
        Field(description="Needed when any of these arguments has one of these values; * stands for any value."),
    ] = None
    implied_by: Annotated[
        list[str],
        Field(description="Arguments that CIPP ignores without this flag: with any of them it is sent as true."),
    ] = []
    enum: Annotated[list[Any] | None, Field(description="Known values; advice unless closed.")] = None
    closed: Annotated[bool, Field(description="CIPP ignores or refuses every value outside enum.")] = False
    default: Annotated[Any, Field(description="What CIPP assumes when the argument is left out.")] = None
    description: str | None = None
    send: Annotated[
        str | dict[str, Any] | None,
        Field(
            description="How the host's value is turned into CIPP's: value (a {label, value} object), epoch (ISO 8601 "
            "to Unix seconds), flag (sent only when true), text (a boolean or number as a string), csv and lines (a "
            "list joined by commas or line feeds), unwrap (a list of one is sent as that one), json (a JSON string), or an "
            "object in which the string $ stands for the value."
        ),
    ] = None
    wire: Annotated[
        str | None,
        Field(description="The name CIPP reads, where the host sees another; dots make nested objects."),
    ] = None
    items: Parameter | None = None
    properties: dict[str, Parameter] | None = None
    open: Annotated[bool, Field(description="An object that takes fields beyond properties.")] = False


class RiskRule(Model):
    """An argument value that raises or lowers the risk of a call; the first rule that matches decides."""

    argument: str
    values: Annotated[
        list[str | bool | int | None] | None,
        Field(description="Compared without case; null stands for an absent argument; left out: any value."),
    ] = None
    risk: Risk


class Target(Model):
    """An argument that says what a change hits, and how to look it up."""

    argument: str
    kind: Literal["user", "group", "device", "entra-device", "domain", "other"]


class ReadBack(Model):
    """A read that shows whether a change took. ``$name`` stands for the value of an argument of the change."""

    when: dict[str, Any] = {}
    read: str
    arguments: dict[str, Any]
    expect: Annotated[dict[str, Any] | None, Field(description="Column to value that some row must have.")] = None
    rows: Annotated[dict[str, Any] | None, Field(description="A row with these values must exist.")] = None
    absent: Annotated[dict[str, Any] | None, Field(description="No row with these values may exist.")] = None


class Body(Model):
    """The body of an endpoint that takes a JSON array at its root."""

    array: Literal[True] = True
    each: Annotated[
        str | None,
        Field(
            description="The list argument of which every element becomes a body item: an object as it is, a plain "
            "value beside the other arguments."
        ),
    ] = None


class Response(Model):
    """What comes back, as far as it is known."""

    kind: Literal["list", "object", "message", "queue", "binary", "text"] | None = None
    columns: Annotated[list[str], Field(description="Default columns, dotted paths, in reading order.")] = []
    fields: Annotated[dict[str, Any], Field(description="Patch over the imported fields: name to type.")] = {}
    tenant_column: Annotated[
        str | None,
        Field(description="Column that names a row's tenant, where rows of several tenants come back."),
    ] = None
    secrets: Annotated[list[str], Field(description="Dotted paths of values that are credentials.")] = []
    habits: list[Habit] = []


class FactsResponse(Model):
    type: Literal["array", "object", "message", "unknown"] = "unknown"
    fields: dict[str, list[str]] = {}


class Facts(Model):
    """What the OpenAPI document says about one operation."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    tag: str = ""
    role: str = ""
    any_tenant: bool = False
    body: Literal["object", "array"] | None = None
    open: bool = False
    parameters: dict[str, Any] = {}
    response: FactsResponse = FactsResponse()


class Entry(Model):
    """One endpoint as it stands in the file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    title: str
    summary: str
    description: str = ""
    keywords: list[str] = []
    asks: Annotated[
        list[str], Field(description="Ways in which people ask for exactly this; searched, never shown.")
    ] = []
    risk: Risk
    risk_when: list[RiskRule] = []
    side_effects: Annotated[str, Field(description="What a call changes; one sentence.")] = ""
    scope: Scope
    tenant: Annotated[
        str | None,
        Field(description="CIPP's name for the argument that the host sees as tenantFilter."),
    ] = None
    tenant_form: Annotated[
        Literal["id", "domain"] | None,
        Field(description="The only form of a tenant that the handler matches; left out: either."),
    ] = None
    targets: Annotated[list[Target], Field(description="What a change hits, the main target first.")] = []
    verify: Annotated[list[ReadBack], Field(description="Read-backs; the first whose `when` fits is used.")] = []
    cache: Annotated[
        int | None,
        Field(description="Seconds for which the answer may be repeated; left out: by the kind of answer.", ge=0),
    ] = None
    parameters: dict[str, Any] = {}
    open: Annotated[
        bool | None,
        Field(description="Whether CIPP passes on body fields beyond parameters; left out: as in the facts."),
    ] = None
    one_of: Annotated[
        list[list[str]],
        Field(description="Groups of arguments of which at least one is needed."),
    ] = []
    body: Body | None = None
    response: Response = Response()
    retry: Annotated[
        Literal["safe", "never"] | None,
        Field(description="Whether a lost call may be repeated; left out: only reads may."),
    ] = None
    notes: Annotated[list[str], Field(description="Warnings that keep a caller from harm.")] = []
    verified: Annotated[str, Field(pattern=r"^(spec|source \d+\.\d+\.\d+)$")] = "spec"
    unwritten: Annotated[bool, Field(description="The prose is derived from facts, not written.")] = False
    facts: Facts


class Endpoint(Model):
    """A merged entry. ``parameters`` are keyed by the names the host uses."""

    name: str
    area: Area
    title: str
    summary: str
    description: str
    keywords: list[str]
    method: str
    role: str
    tag: str
    risk: Risk
    risk_when: list[RiskRule]
    side_effects: str
    scope: Scope
    tenant_form: Literal["id", "domain"] | None
    targets: list[Target]
    verify: list[ReadBack]
    cache: int
    parameters: dict[str, Parameter]
    open: bool
    one_of: list[list[str]]
    has_body: bool
    body: Body | None
    response: Response
    fields: dict[str, str]
    retry: Literal["safe", "never"]
    notes: list[str]
    verified: str
    unwritten: bool
    spelling: Annotated[str, Field(description="The deployment's spelling of the name, where it is another.")] = ""
    absent: Annotated[str, Field(description="Why the deployment cannot be asked for it; empty when it can.")] = ""
    reviewed: Annotated[bool, Field(description="False for what only a deployment's own document tells of.")] = True

    @property
    def callable(self) -> bool:
        return self.name not in NEVER_CALLABLE and not self.absent

    @property
    def path(self) -> str:
        """The name as it goes into the URL: CIPP looks at its case."""
        return self.spelling or self.name

    @property
    def tenant(self) -> Parameter | None:
        return self.parameters.get("tenantFilter")
