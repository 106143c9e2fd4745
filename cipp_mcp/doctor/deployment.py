"""Checks of what CIPP answers: its version beside the catalogue's, the tenants it shows, its log."""

from __future__ import annotations

import re

from cipp_mcp.calls.tenants import Tenants
from cipp_mcp.doctor.case import Case, Verdict, failed, of_outcome, passed, warned
from cipp_mcp.errors import Refused
from cipp_mcp.registry.files import catalogue_version

_CIPP_PERMISSIONS = "In CIPP, run the permissions check under Settings > Permissions: its own sign-in may have lapsed."
_VERSION = re.compile(r"\d+(\.\d+)+")


async def cipp_version(case: Case) -> Verdict:
    """How far this CIPP is from the version that the catalogue was written for."""
    catalogue = catalogue_version()
    outcome = await case.ask("GetVersion")
    found = outcome.data.get("LocalCIPPAPIVersion") if isinstance(outcome.data, dict) else None
    if outcome.state == "failed" or not found:
        said = " ".join(outcome.messages) or "CIPP does not tell its version."
        return warned(
            f"{said} The catalogue is of CIPP {catalogue}.",
            outcome.hint or "GetVersion asks GitHub too: it fails when CIPP cannot reach it.",
        )
    if _numbers(str(found)) == _numbers(catalogue):
        return passed(f"CIPP {found}, as the catalogue")
    seen = f"CIPP {found}; the catalogue is of {catalogue}"
    if _numbers(str(found)) < _numbers(catalogue):
        return warned(
            seen, "Some endpoints may be missing in this CIPP: update it, or expect HTTP 404 from the newest ones."
        )
    return warned(seen, "Update cipp-mcp; until then the newest endpoints are unknown to it and some may have changed.")


async def catalogue(case: Case) -> Verdict:
    """What this CIPP's own document of its API has more or less than the catalogue."""
    from cipp_mcp.registry.following import report_on

    report = await report_on(case.settings, case)
    if report.state == "off":
        return passed("CIPP_OPENAPI=off: the catalogue is used as it is")
    if report.state == "applied":
        counts = (
            (len(report.added), "new"),
            (len(report.missing), "missing"),
            (len(report.changed), "changed"),
            (len(report.renamed), "spelt differently"),
        )
        told = ", ".join(f"{count} {word}" for count, word in counts if count) or "no difference"
        left_out = f"; {len(report.problems)} parts of it were left out" if report.problems else ""
        return passed(f"follows this CIPP's own document: {told}{left_out}")
    if report.state == "rejected":
        return warned(
            report.reason or "the document of this CIPP's API was not used",
            "The catalogue is used as it is; CIPP_OPENAPI=off stops asking for the document.",
        )
    sought = f"the catalogue is used as it is, since no document was found ({(report.reason or '').rstrip('.')})"
    if case.settings.openapi != "auto":
        return warned(sought, "Check CIPP_OPENAPI, which names where the document is.")
    return passed(sought)


async def tenants(case: Case) -> Verdict:
    """CIPP shows tenants to this client, among them all that the settings name."""
    outcome = await case.ask("ListTenants")
    if outcome.state == "failed":
        return of_outcome(outcome, _CIPP_PERMISSIONS)
    if outcome.state == "pending":
        return warned("CIPP is still gathering its tenants", "Try again in a few minutes.")
    found = Tenants.of_rows(outcome.rows or ())
    if not found.all:
        return failed(
            "CIPP shows no tenant to this client",
            f"Check the tenants of the client's role. {_CIPP_PERMISSIONS}",
        )
    unknown = []
    for name in sorted(set().union(*case.policy.tenants)) if case.policy.tenants else ():
        if found.known(name) is None:
            try:
                unknown.append(f"{name} (its domain is {found.resolve(name).domain})")
            except Refused as refusal:
                unknown.append(refusal.message.removeprefix("There is no tenant ").rstrip("."))
    if unknown:
        return failed(
            f"the settings allow tenants that CIPP does not show to this client: {'; '.join(unknown)}",
            "Mend CIPP_TENANTS or the policy file: default domains or ids, as ListTenants has them.",
        )
    return passed(
        f"{len(found.all)} visible" + (f", {len(case.settings.tenants)} allowed" if case.settings.tenants else "")
    )


async def logs(case: Case) -> Verdict:
    """A first real call: the day's entries of CIPP's own log."""
    outcome = await case.ask("ListLogs")
    if outcome.state == "failed":
        return of_outcome(outcome)
    return passed(f"ListLogs answered with {len(outcome.rows or ())} entries of today")


def _numbers(text: str) -> tuple[int, ...]:
    match = _VERSION.search(text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
