"""What this server may do, and for whom: access level, endpoints, secrets, tenants, confirmation, rate.

A policy file can only narrow what the settings allow; whatever it does not say stays as the settings say.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cipp_mcp.calls.tenants import ALL_TENANTS
from cipp_mcp.errors import Refused, SettingsError
from cipp_mcp.registry import AREAS, Area, Endpoint, Registry, Risk
from cipp_mcp.registry.schema import runner_of
from cipp_mcp.setting_values import GUID
from cipp_mcp.settings import Settings

Access = Literal["read", "write", "full", "admin"]
Confirm = Literal["critical", "writes", "never"]
ACCESS_LEVELS: tuple[Access, ...] = ("read", "write", "full", "admin")
CONFIRM_LEVELS: tuple[Confirm, ...] = ("never", "critical", "writes")
_NEEDED: dict[Risk, Access] = {
    "read": "read",
    "secret": "read",
    "write": "write",
    "security": "full",
    "destructive": "full",
    "platform": "admin",
}
CRITICAL = frozenset({"secret", "security", "destructive", "platform"})


class Grant(BaseModel):
    """What a policy file says of one caller or group; what it leaves out stays as it was."""

    model_config = ConfigDict(extra="forbid")

    access: Access | None = None
    areas: list[Area] | None = None
    endpoints: list[str] | None = None
    deny: list[str] = []
    tenants: Annotated[list[str], Field(min_length=1)] | None = None
    secrets: bool | None = None
    confirm: Confirm | None = None
    rate: Annotated[int, Field(ge=1, description="Calls per minute.")] | None = None


class PolicyFile(BaseModel):
    """A policy file: grants by caller, by group or app role, and for everybody else."""

    model_config = ConfigDict(extra="forbid")

    callers: dict[str, Grant] = {}
    groups: dict[str, Grant] = {}
    default: Grant | None = None

    @field_validator("callers", "groups")
    @classmethod
    def _ids_in_lower_case(cls, grants: dict[str, Grant]) -> dict[str, Grant]:
        # As Entra writes them: an id in capitals would match nobody, and leave its bearer to a wider default.
        return {name.lower() if GUID.match(name) else name: grant for name, grant in grants.items()}

    @classmethod
    def read(cls, path: Path) -> PolicyFile:
        """The checked file at `path`.

        Raises SettingsError that names the place and what is wrong there.
        """
        try:
            policy = cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            said = (
                "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                if isinstance(error, ValidationError)
                else str(error)
            )
            raise SettingsError(f"Policy file {path} not accepted: {said}") from None
        registry = Registry.load()
        for grant in policy.grants():
            for name in [*(grant.endpoints or ()), *grant.deny]:
                if registry.resolve(name) is None and name not in AREAS:
                    near = ", ".join(registry.near(name)) or "none"
                    raise SettingsError(f"Policy file {path} names {name!r}, which is no endpoint; near: {near}")
        return policy

    def grants(self) -> list[Grant]:
        return [*self.callers.values(), *self.groups.values(), *([self.default] if self.default else [])]

    def grant_for(self, caller: str, groups: frozenset[str] = frozenset()) -> list[Grant]:
        """The grants of a caller: its own, else those of its groups, else the default; none means nothing at all."""
        if caller in self.callers:
            return [self.callers[caller]]
        of_groups = [grant for name, grant in self.groups.items() if name in groups]
        return of_groups or ([self.default] if self.default else [])


@dataclass(frozen=True)
class Policy:
    """What one caller may do."""

    access: Access = "read"
    secrets: bool = False
    tenants: tuple[frozenset[str], ...] = ()
    """Lists of allowed tenants as they were written; a tenant has to be in every one of them."""
    all_tenant_writes: bool = False
    confirm: Confirm = "critical"
    areas: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    rate: int | None = None
    nothing: bool = field(default=False)

    @classmethod
    def of_settings(cls, settings: Settings) -> Policy:
        return cls(
            access=settings.access,
            secrets=settings.allow_secrets,
            tenants=(frozenset(settings.tenants),) if settings.tenants else (),
            all_tenant_writes=settings.allow_all_tenant_writes,
            confirm=settings.confirm,
        )

    @property
    def fingerprint(self) -> str:
        """Equal for two policies, in whatever process, exactly when they allow the same."""

        def plain(value: Any) -> Any:
            if isinstance(value, frozenset):
                return sorted(value)
            return [plain(item) for item in value] if isinstance(value, tuple) else value

        text = json.dumps({field.name: plain(getattr(self, field.name)) for field in fields(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def narrowed(self, grant: Grant) -> Policy:
        """This policy with what `grant` takes away; it can add nothing."""
        registry = Registry.load()

        def names(words: list[str]) -> frozenset[str]:
            return frozenset(registry.resolve(word) or word for word in words)

        endpoints = self.endpoints if grant.endpoints is None else names(grant.endpoints)
        if grant.endpoints is not None and self.endpoints is not None:
            endpoints = names(grant.endpoints) & self.endpoints
        areas = self.areas if grant.areas is None else frozenset(grant.areas)
        if grant.areas is not None and self.areas is not None:
            areas = frozenset(grant.areas) & self.areas
        tenants = self.tenants
        if grant.tenants is not None and grant.tenants != [ALL_TENANTS]:
            tenants = (*tenants, frozenset(grant.tenants))
        return replace(
            self,
            access=_lower(ACCESS_LEVELS, self.access, grant.access),
            secrets=self.secrets and grant.secrets is not False,
            tenants=tenants,
            confirm=_higher(CONFIRM_LEVELS, self.confirm, grant.confirm),
            areas=areas,
            endpoints=endpoints,
            deny=self.deny | names(grant.deny),
            rate=min(filter(None, (self.rate, grant.rate)), default=None),
        )

    def check(self, endpoint: Endpoint, risk: Risk) -> None:
        """Raises Refused, with what would allow it, when a call of `risk` to `endpoint` is not allowed."""
        if not self.reaches(endpoint):
            raise Refused(
                f"The policy of this server does not allow {endpoint.name} to this caller. Nothing was sent.",
                reason="policy",
            )
        if risk == "secret" and not self.secrets:
            raise Refused(
                f"{endpoint.name} with these arguments reads a credential, which this server does not hand out. Nothing was sent.",
                hint="Its operator can allow it with CIPP_ALLOW_SECRETS=true.",
                reason="secrets",
            )
        needed = _NEEDED[risk]
        if ACCESS_LEVELS.index(self.access) < ACCESS_LEVELS.index(needed):
            raise Refused(
                f"{endpoint.name} with these arguments is a call of risk {risk} and needs access {needed}; this server has "
                f"access {self.access}. Nothing was sent.",
                hint=f"Its operator can allow it with CIPP_ACCESS={needed}; {runner_of(risk)} then runs it.",
                reason="access",
            )

    def reaches(self, endpoint: Endpoint) -> bool:
        """Whether the lists of areas and endpoints let `endpoint` through."""
        if self.nothing or endpoint.name in self.deny or endpoint.area in self.deny:
            return False
        if self.areas is None and self.endpoints is None:
            return True
        return endpoint.area in (self.areas or ()) or endpoint.name in (self.endpoints or ())

    def risks(self) -> frozenset[Risk]:
        """The risks this policy lets through."""
        level = ACCESS_LEVELS.index(self.access)
        return frozenset(
            risk
            for risk, needed in _NEEDED.items()
            if ACCESS_LEVELS.index(needed) <= level and (risk != "secret" or self.secrets)
        )

    def asks(self, risk: Risk) -> bool:
        """Whether a call of `risk` needs a person's yes."""
        if self.confirm == "never" or risk == "read":
            return False
        return risk in CRITICAL or self.confirm == "writes"


def policy_for(
    settings: Settings, file: PolicyFile | None, caller: str, groups: frozenset[str] = frozenset()
) -> Policy:
    """The policy of `caller`: the settings, narrowed by the file if there is one."""
    policy = Policy.of_settings(settings)
    if file is None:
        return policy
    grants = file.grant_for(caller, groups)
    if not grants:
        return replace(policy, nothing=True)
    for grant in grants:
        policy = policy.narrowed(grant)
    return policy


def _lower(levels: tuple[Access, ...], one: Access, other: Access | None) -> Access:
    return one if other is None else min(one, other, key=levels.index)


def _higher(levels: tuple[Confirm, ...], one: Confirm, other: Confirm | None) -> Confirm:
    return one if other is None else max(one, other, key=levels.index)
