"""Runs the doctor on the embedded CIPP with something changed, for the tests of it."""

from __future__ import annotations

import json
from typing import Any

from cipp_mcp.cli.doctor import exit_code
from cipp_mcp.demo import DemoCipp
from cipp_mcp.doctor import CHECKS, Finding, examine

Findings = dict[str, Finding]


async def examined(demo: DemoCipp, changes: dict[str, str] | None = None, **options: Any) -> Findings:
    environment = {**demo.environment(), "CIPP_OPENAPI": "off", **(changes or {})}
    told: list[Finding] = []
    findings = await examine({k: v for k, v in environment.items() if v}, told.append, **options)
    assert told == findings
    assert [finding.check for finding in findings] == [check.name for check in CHECKS]
    text = json.dumps([[finding.seen, finding.remedy] for finding in findings])
    assert demo.client_secret not in text
    assert "eyJ" not in text  # the beginning of every JWT
    return {finding.check: finding for finding in findings}


def first_failure(findings: Findings) -> Finding:
    failures = [finding for finding in findings.values() if finding.state == "fail"]
    assert failures
    assert failures[0].remedy
    assert exit_code(failures) == 1
    return failures[0]
