"""The command lines of ``doctor`` and ``setup``; what they do is imported only when they run."""

from __future__ import annotations

import argparse
from typing import Any


def add_doctor(commands: Any) -> None:
    """Adds ``doctor`` to the sub-commands."""
    doctor = commands.add_parser(
        "doctor",
        help="find out why a set-up does not work",
        description="Examines the set-up step by step and names what is wrong with its remedy. It changes nothing and "
        "prints no secret. Exit code: 0 all checks passed, 1 a check failed.",
    )
    doctor.add_argument("--json", action="store_true", help="print JSON, for a support ticket")
    doctor.add_argument("--host", metavar="NAME", help="examine what this MCP host's configuration gives the server")
    doctor.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="examine the embedded CIPP")
    doctor.set_defaults(run=_doctor)


def add_setup(commands: Any) -> None:
    """Adds ``setup`` to the sub-commands."""
    setup = commands.add_parser(
        "setup",
        help="connect your CIPP and write the configuration of your MCP host",
        description="Asks for what the environment does not give (CIPP_URL, CIPP_TENANT_ID, CIPP_CLIENT_ID, "
        "CIPP_CLIENT_SECRET), tests it live, keeps the secret in the system's key store where there is one, and adds the "
        "server to the configuration of MCP hosts. Every file is backed up first and keeps all else that stands in it.",
    )
    setup.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="claude-desktop, claude-code, vscode, cursor, windsurf, zed; or for steps towards the HTTP server: "
        "copilot-studio, claude.ai, n8n, rewst, power-automate (may be repeated)",
    )
    setup.add_argument("--print", action="store_true", dest="only_print", help="print the configuration, write nothing")
    setup.add_argument("--no-test", action="store_true", help="do not call CIPP first")
    setup.add_argument(
        "--secret",
        choices=("auto", "keyring", "config"),
        default="auto",
        help="where the secret is kept: the system's key store, the host's configuration, or the first that works",
    )
    setup.set_defaults(run=_setup)


def _doctor(arguments: argparse.Namespace) -> int:
    from cipp_mcp.cli.doctor import run_doctor

    return run_doctor(as_json=arguments.json, demo=arguments.demo, host=arguments.host)


def _setup(arguments: argparse.Namespace) -> int:
    from cipp_mcp.cli.setup import run_setup

    return run_setup(
        arguments.host or [], only_print=arguments.only_print, test=not arguments.no_test, keep=arguments.secret
    )
