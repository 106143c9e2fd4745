"""The checks in their order, and the run through them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from cipp_mcp.connection.tls import ssl_context
from cipp_mcp.connection.wire import Answer, Request
from cipp_mcp.doctor import configuration, deployment, identity, network
from cipp_mcp.doctor.case import Case, Check, Finding, Verdict

_LONGEST_CALL = 90.0

CHECKS: tuple[Check, ...] = (
    Check("program", "Program", configuration.program),
    Check("settings", "Settings", configuration.settings),
    Check("values", "Connection values", configuration.values, ("settings",)),
    Check("credential", "Credential", configuration.credential, ("values",)),
    Check("cipp-host", "Way to CIPP", network.cipp_host, ("values",)),
    Check("sign-in-host", "Way to the sign-in host", network.sign_in_host, ("values",)),
    Check("site", "CIPP's address", network.site, ("cipp-host",)),
    Check("clock", "Clock", network.clock, ("cipp-host",)),
    Check("token", "Token", identity.token, ("credential", "sign-in-host")),
    Check("audience", "Audience of the token", identity.audience, ("token",)),
    Check("api-client", "API client", identity.api_client, ("site", "token")),
    Check("role", "Role of the client", identity.role, ("api-client",)),
    Check("version", "Version of CIPP", deployment.cipp_version, ("api-client",)),
    Check("catalogue", "Catalogue", deployment.catalogue, ("api-client",)),
    Check("tenants", "Tenants", deployment.tenants, ("role",)),
    Check("logs", "First call", deployment.logs, ("role",)),
    Check("access", "What a model may do", configuration.access, ("settings",)),
)


async def examine(
    environment: Mapping[str, str],
    report: Callable[[Finding], None] = lambda _: None,
    *,
    trust: Callable[[], ssl.SSLContext] = ssl_context,
    now: Callable[[], float] = time.time,
) -> list[Finding]:
    """Runs every check on the set-up in `environment`, tells `report` of each finding, and returns them all.

    A check whose ground is missing is skipped, with the name of what failed. Nothing is changed anywhere.
    """
    async with AsyncExitStack() as stack:
        client = None

        async def deliver(request: Request) -> Answer:
            nonlocal client
            if client is None:
                from cipp_mcp.connection.client import CippClient

                bounded = replace(case.settings, timeout=min(case.settings.timeout, _LONGEST_CALL))
                client = await stack.enter_async_context(CippClient(bounded, trust))
            return await client.send(request)

        case = Case(environment, trust, now, deliver)
        findings: dict[str, Finding] = {}
        for check in CHECKS:
            ground = next((name for name in check.needs if findings[name].state in ("fail", "skip")), None)
            if ground is None:
                verdict = await check.run(case)
            else:
                root = findings[ground]
                because = root.seen if root.state == "skip" else f"not examined, because of: {root.title}"
                verdict = Verdict("skip", because)
            findings[check.name] = case.finding(check, verdict)
            report(findings[check.name])
        return list(findings.values())
