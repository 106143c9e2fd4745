"""``cipp-mcp doctor``: the examination on a terminal, or as JSON for a support ticket."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict

import anyio

from cipp_mcp import __version__
from cipp_mcp.cli.terminal import painted, width
from cipp_mcp.doctor import Finding, examine

_WORDS = {"pass": "ok", "warn": "warn", "fail": "FAIL", "skip": "skip"}
_STYLES = {"pass": "good", "warn": "warning", "fail": "bad", "skip": "quiet"}
_INDENT = 33


def run_doctor(*, as_json: bool, demo: bool, host: str | None) -> int:
    """Examines the set-up of this environment (or the demo's, or a host's) and prints it. 0 unless a check failed."""
    with ExitStack() as stack:
        environment: Mapping[str, str] = os.environ
        if demo:
            from cipp_mcp.cli.demo import without_connection
            from cipp_mcp.demo import DemoCipp

            started = stack.enter_context(DemoCipp())
            environment = {**without_connection(os.environ), **started.environment()}
            os.environ["SSL_CERT_FILE"] = environment["SSL_CERT_FILE"]
        elif host:
            from cipp_mcp.cli.hosts import configured_environment, host_named

            environment = configured_environment(host_named(host))
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
                if name in environment:
                    os.environ[name] = environment[name]
        findings = anyio.run(examine, environment, (lambda _: None) if as_json else print_finding)
    if as_json:
        print(as_document(findings))
    else:
        print(f"\n{summary(findings)}")
    return exit_code(findings)


def exit_code(findings: Sequence[Finding]) -> int:
    return 1 if any(finding.state == "fail" for finding in findings) else 0


def as_document(findings: Sequence[Finding]) -> str:
    """The findings as JSON text."""
    document = {
        "version": __version__,
        "ok": exit_code(findings) == 0,
        "checks": [{name: value for name, value in asdict(finding).items() if value} for finding in findings],
    }
    return json.dumps(document, indent=1)


def print_finding(finding: Finding) -> None:
    """Prints one finding with its remedy beneath."""
    word = painted(f"{_WORDS[finding.state]:5}", _STYLES[finding.state])
    lines = _wrapped(finding.seen)
    text = f"{word} {finding.title:{_INDENT - 7}} {lines[0]}"
    for line in [*lines[1:], *(_wrapped(f"-> {finding.remedy}") if finding.remedy else ())]:
        text += f"\n{' ' * _INDENT}{line}"
    print(text, flush=True)


def summary(findings: Sequence[Finding]) -> str:
    """One sentence: all well, or how many failed and where to begin."""
    wrong = [finding for finding in findings if finding.state == "fail"]
    if wrong:
        return f"{len(wrong)} of {len(findings)} checks failed. Begin with: {wrong[0].title}."
    warnings = sum(finding.state == "warn" for finding in findings)
    return "This set-up works" + (f", with {warnings} warning{'s' * (warnings > 1)}." if warnings else ".")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, max(40, width(sys.stdout, 130) - _INDENT - 1), break_long_words=False) or [""]
