"""Keeps a call inside the tenants it may touch: every copy of a tenant in its arguments, every row of its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cipp_mcp.calls.policy import Policy
from cipp_mcp.calls.request import plain
from cipp_mcp.calls.risk import RELAYS, strings
from cipp_mcp.calls.tenants import ALL_TENANTS, Tenant, Tenants
from cipp_mcp.errors import Refused
from cipp_mcp.registry import Endpoint, Risk

# Arguments that hold tenants, whatever else they are called; names of switches about tenants are excluded.
_TENANT_NAME = re.compile(r"tenant|customer|^defaultdomainname$|^initialdomainname$", re.IGNORECASE)
_NO_TENANT_VALUE = re.compile(r"^(true|false|\d+|)$", re.IGNORECASE)
_ALL_FLAG = re.compile(r"^(include|standardsExclude)?allTenants(selector)?$", re.IGNORECASE)
_SITE_ADDRESS = re.compile(r"^(site_?urls?|urls?|weburl|siteaddress)$", re.IGNORECASE)
_SHAREPOINT = re.compile(r"\.sharepoint(-mil)?\.(com|us|cn|de)$", re.IGNORECASE)
_TENANT_LIST = re.compile(r"^(selectedtenants|tenants)$", re.IGNORECASE)
_SEVERAL_NAME = re.compile(r"^(selectedtenants|tenants|tenantgroups?|alltenants|includealltenants)$", re.IGNORECASE)
# Columns by which a row says whose it is, where the entry does not name one.
_ROW_TENANT = re.compile(
    r"^(tenant|tenantid|tenantfilter|customerid|customertenantid|defaultdomainname|tenantname)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Scope:
    """The tenants of one call: those its tenant argument names, and whether that was AllTenants."""

    tenants: tuple[Tenant, ...]
    everything: bool = False

    @property
    def label(self) -> str:
        if self.everything:
            return ALL_TENANTS
        return ", ".join(tenant.domain for tenant in self.tenants)


class Guard:
    """The tenants one caller may touch."""

    def __init__(self, policy: Policy, tenants: Tenants) -> None:
        self._policy = policy
        self._tenants = tenants
        self.restricted = bool(policy.tenants)
        self.allowed = [tenant for tenant in tenants.all if self._is_allowed(tenant)]
        foreign = [tenant for tenant in tenants.all if tenant not in self.allowed]
        self._foreign = {identifier for tenant in foreign for identifier in tenant.identifiers}
        identifiers = {identifier for tenant in tenants.all for identifier in tenant.identifiers}
        ours = {tenant.name.strip().lower() for tenant in self.allowed}
        self._foreign_names = {tenant.name.strip().lower() for tenant in foreign} - ours - identifiers
        words = sorted(map(re.escape, self._foreign), key=len, reverse=True)
        self._mentions = re.compile(rf"(?<![\w-])({'|'.join(words)})(?![\w-])", re.IGNORECASE) if words else None

    def _is_allowed(self, tenant: Tenant) -> bool:
        written = {text.lower() for text in tenant.identifiers}
        return all(written & {name.lower() for name in names} for names in self._policy.tenants)

    def scope_of(self, endpoint: Endpoint, arguments: Mapping[str, Any]) -> Scope:
        """The tenants that the tenant argument means.

        Raises Refused for an unknown, ambiguous or foreign one, and, where tenants are restricted, for none.
        """
        given = arguments.get("tenantFilter")
        values = [str(plain(value)) for value in (given if isinstance(given, list) else [given]) if value is not None]
        if not values:
            if self.restricted and endpoint.scope == "tenant":
                raise Refused(
                    f"{endpoint.name} needs tenantFilter here: without it CIPP takes the partner's own tenant. Nothing was sent.",
                    reason="tenant",
                )
            return Scope(())
        if any(value.strip().lower() == ALL_TENANTS.lower() for value in values):
            return Scope(tuple(self.allowed), everything=True)
        found = tuple(dict.fromkeys(self.resolve(value) for value in values))
        return Scope(found)

    def resolve(self, text: str) -> Tenant:
        """The allowed tenant that `text` means; raises Refused for any other."""
        try:
            tenant = self._tenants.resolve(text)
        except Refused as refusal:
            if self.restricted:  # near names would tell about tenants this caller must not know of
                raise self._not_allowed(text) from None
            raise refusal
        if tenant not in self.allowed:
            raise self._not_allowed(text)
        return tenant

    def _not_allowed(self, text: str) -> Refused:
        allowed = ", ".join(tenant.domain for tenant in self.allowed[:10]) or "none"
        return Refused(
            f"Tenant {text[:100]!r} is not one this server may touch. Nothing was sent.",
            hint=f"Allowed: {allowed}{' …' if len(self.allowed) > 10 else ''}.",
            reason="tenant",
        )

    def check_arguments(self, endpoint: Endpoint, arguments: Mapping[str, Any], risk: Risk) -> None:
        """Raises Refused when any argument reaches beyond the allowed tenants.

        Nothing is trusted to be harmless: every string at every depth is looked at, opened where it is JSON or
        percent-encoded, and whatever an argument about tenants holds must be an allowed one.
        """
        if not self.restricted:
            return
        if endpoint.scope == "estate":
            self._check_estate(endpoint, arguments, risk)
        for name, value in _named_strings(arguments):
            text = value.strip()
            if _ALL_FLAG.match(name) and text.lower() not in ("false", ""):
                raise self._not_allowed(name)
            if name.lower() != "tenantfilter" and text.lower() == ALL_TENANTS.lower():
                raise self._not_allowed(text)
            if text.lower() in self._foreign_names:
                raise self._not_allowed(text)
            if _TENANT_NAME.search(name) and not _NO_TENANT_VALUE.match(text) and text.lower() != ALL_TENANTS.lower():
                self.resolve(text)
        relays = endpoint.name in RELAYS
        for text in strings(dict(arguments)):
            found = self._mentions.search(text) if self._mentions is not None else None
            named = next((name for name in self._foreign_names if relays and name in text.lower()), None)
            if found or named:
                raise self._not_allowed(found[0] if found else str(named))

    def check_lists(self, arguments: Mapping[str, Any]) -> None:
        """Raises Refused when a list of tenants names one that does not exist: CIPP would report success all the same."""
        for tenants in _values_named(arguments, _TENANT_LIST):
            for name, text in _named_strings({"tenants": tenants}):
                folded = text.strip().lower()
                names_one = name == "tenants" or _TENANT_NAME.search(name)
                if names_one and folded not in ("", "none", ALL_TENANTS.lower(), "true", "false"):
                    self.resolve(text)

    def _check_estate(self, endpoint: Endpoint, arguments: Mapping[str, Any], risk: Risk) -> None:
        if endpoint.name == "ListTenants" or (risk == "read" and endpoint.response.tenant_column):
            return
        raise Refused(
            f"{endpoint.name} sees or touches more than single tenants, and this server is limited to some. Nothing was sent.",
            hint="Its operator would have to lift CIPP_TENANTS.",
            reason="tenant",
        )

    def row_filter(self, endpoint: Endpoint) -> Callable[[Any], bool] | None:
        """Which rows of an answer may be shown; None when all may."""
        if not self.restricted:
            return None
        column = endpoint.response.tenant_column or ("customerId" if endpoint.name == "ListTenants" else None)

        def may_show(row: Any) -> bool:
            if not isinstance(row, dict):
                return endpoint.scope != "estate"
            if column is not None:
                value = _column(row, column)
                if value is not None or endpoint.scope == "estate":
                    return self._is_ours(value)
            return all(self._is_not_foreign(value) for name, value in row.items() if _ROW_TENANT.match(name))

        return may_show

    def _is_ours(self, value: Any) -> bool:
        """Whether `value` names allowed tenants and no other."""
        texts = [str(plain(item)) for item in (value if isinstance(value, list) else [value]) if item is not None]
        known = [self._tenants.known(text) or next(iter(self._tenants.named(text)), None) for text in texts]
        return bool(texts) and all(tenant in self.allowed for tenant in known)

    def _is_not_foreign(self, value: Any) -> bool:
        texts = [text.strip().lower() for text in strings(value)]
        return not any(text in self._foreign or text in self._foreign_names for text in texts)


def acts_on_several(endpoint: Endpoint, arguments: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a change with these arguments would hit more than one tenant."""
    if scope.everything or len(scope.tenants) > 1:
        return True
    if endpoint.name == "ExecStandardsRun" and not scope.tenants:
        return True
    several: set[str] = set()
    for name, value in _named_strings(arguments):
        text = value.strip().lower()
        if text == ALL_TENANTS.lower() or (_ALL_FLAG.match(name) and text not in ("false", "")):
            return True
        if _SEVERAL_NAME.match(name) and "group" in name.lower() and text:
            return True
    for tenants in _values_named(arguments, _SEVERAL_NAME):
        several |= {str(plain(item)).lower() for item in (tenants if isinstance(tenants, list) else [tenants])}
    several |= {
        str(plain(item.get("tenantFilter"))).lower() for item in arguments.get("items") or () if isinstance(item, dict)
    }
    own = {identifier for tenant in scope.tenants for identifier in tenant.identifiers}
    others = several - own - {"none", "", "true", "false"}
    return len(others) > (0 if scope.tenants else 1)


def check_site_hosts(endpoint: Endpoint, arguments: Mapping[str, Any]) -> None:
    """Raises Refused when a site address is not SharePoint's.

    CIPP calls ``<SiteUrl>/_api`` with its own app-only token and does not look at the host (Invoke-ListSitePermissions
    and its siblings), so a foreign address would hand that token to whoever owns it.
    """
    if endpoint.area != "teams-sharepoint":
        return
    for name, text in _named_strings(arguments):
        if not _SITE_ADDRESS.match(name) or not text.strip():
            continue
        for address in text.split(","):
            parts = urlsplit(address.strip())
            if parts.scheme != "https" or parts.username or not _SHAREPOINT.search("." + (parts.hostname or "")):
                raise Refused(
                    f"{name}={address[:120]!r} is not the https address of a SharePoint site. Nothing was sent.",
                    hint="ListSites gives the addresses of sites.",
                )


def has_tenant_list(arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments hold a list of tenants beside the tenant argument."""
    return any(True for _ in _values_named(arguments, _TENANT_LIST))


def _named_strings(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """(name of the argument it stands under, text) of every scalar; label and value stand under their parent."""
    if depth > 20:
        raise Refused("The arguments are nested too deeply. Nothing was sent.")
    if isinstance(value, Mapping):
        for inner_name, inner in value.items():
            shown = name if str(inner_name).lower() in ("value", "label") and name else str(inner_name)
            yield from _named_strings(inner, shown, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named_strings(inner, name, depth + 1)
    elif isinstance(value, str):
        yield name, value
        if value.lstrip()[:1] in ("{", "["):
            import json

            try:
                opened = json.loads(value)
            except (ValueError, RecursionError):
                return
            yield from _named_strings(opened, name, depth + 1)
    elif value is not None:
        yield name, str(value)


def _values_named(value: Any, pattern: re.Pattern[str]) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if pattern.match(str(name)):
                yield inner
            yield from _values_named(inner, pattern)
    elif isinstance(value, list):
        for inner in value:
            yield from _values_named(inner, pattern)


def _column(row: dict[str, Any], path: str) -> Any:
    from cipp_mcp.results.shape import dig

    return dig(row, path)


def shown_only(value: Any, may_show: Callable[[Any], bool]) -> Any:
    """`value` without the objects in it, at any depth, that may not be shown."""
    if isinstance(value, dict):
        if not may_show(value):
            return None
        return {name: shown_only(inner, may_show) for name, inner in value.items()}
    if isinstance(value, list):
        return [shown_only(item, may_show) for item in value if not isinstance(item, dict) or may_show(item)]
    return value


def keep_rows(rows: Iterable[tuple[Any, str]], may_show: Callable[[Any], bool] | None) -> Iterable[tuple[Any, str]]:
    """`rows` without those that may not be shown."""
    return rows if may_show is None else (pair for pair in rows if may_show(pair[0]))
