"""The command line. Without a command it serves MCP over stdio, which is what hosts start."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from cipp_mcp import __version__
from cipp_mcp.cli.catalogue import add_catalogue
from cipp_mcp.cli.completion import add_completion
from cipp_mcp.cli.connecting import add_doctor, add_setup
from cipp_mcp.cli.serving import add_revoke, add_serve, add_token
from cipp_mcp.cli.terminal import discard_stdout, prepare_streams
from cipp_mcp.errors import CippError
from cipp_mcp.settings import Settings, settings_table


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 the call failed or was refused, 2 wrong usage or configuration, 3 in part."""
    prepare_streams()
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
        raise SystemExit(code)
    except BrokenPipeError:
        # Whoever reads has enough (cipp-mcp tools identity | head).
        discard_stdout()
        raise SystemExit(1) from None
    except CippError as error:
        print(f"cipp-mcp: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _parser() -> argparse.ArgumentParser:
    lines = [
        f"  {name:26} {help_text}" + (f" (default {default})" if default else "")
        for name, default, help_text in settings_table()
    ]
    parser = argparse.ArgumentParser(
        prog="cipp-mcp",
        description="One MCP server for every endpoint of CIPP. Without a command it serves MCP over stdio.",
        epilog="settings (environment variables):\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cipp-mcp {__version__}")
    parser.add_argument("--demo", action="store_true", help="use the embedded CIPP instead of yours")
    parser.add_argument("--demo-users", type=int, default=300, metavar="N", help="users of the embedded CIPP")
    parser.add_argument("--demo-tenants", type=int, default=4, metavar="N", help="its tenants")
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(title="commands", metavar="")
    demo = commands.add_parser("demo", help="show a short session against the embedded CIPP")
    demo.set_defaults(run=_demo)
    tools = commands.add_parser("tools", help="find endpoints by what they do")
    tools.add_argument("words", nargs="*", help="a task in plain words, an area, or an endpoint name")
    tools.add_argument("--area", metavar="AREA", help="only endpoints of this area")
    tools.add_argument("--risk", metavar="RISK", help="only endpoints of this risk: read, secret, write and so on")
    tools.set_defaults(run=_tools)
    call = commands.add_parser(
        "call",
        help="call one endpoint: cipp-mcp call ListUsers tenantFilter=contoso.com",
        description="Calls one endpoint and prints its answer: a table on a terminal, JSON otherwise. Of a list the "
        "endpoint's usual columns are printed unless --fields says otherwise. In CSV objects and arrays are JSON text, "
        "and text that a spreadsheet would run as a formula gets an apostrophe in front. "
        "Exit code: 0 it worked, 1 it failed or was refused, 2 wrong usage, 3 it was done in part or nobody knows.",
    )
    call.add_argument("name", help="endpoint name")
    call.add_argument("pairs", nargs="*", metavar="key=value", help="arguments; JSON values are understood")
    call.add_argument("--fields", help="columns to show, separated by commas; * for all")
    call.add_argument("--limit", type=_count, metavar="N", help="most rows to print; without it JSON and CSV hold all")
    forms = call.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_const", const="json", dest="form", help="JSON even on a terminal")
    forms.add_argument("--csv", action="store_const", const="csv", dest="form", help="CSV with a header row (RFC 4180)")
    call.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="use the embedded CIPP")
    call.set_defaults(run=_call)
    add_catalogue(commands)
    add_doctor(commands)
    add_setup(commands)
    add_serve(commands)
    add_token(commands)
    add_revoke(commands)
    add_completion(commands, parser)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    if not arguments.demo:
        settings = Settings.from_environment(os.environ)
        from cipp_mcp.server.stdio import serve_stdio

        serve_stdio(settings)
        return 0
    from cipp_mcp.cli.demo import demo_settings
    from cipp_mcp.server.stdio import serve_stdio

    with demo_settings(arguments.demo_users, arguments.demo_tenants) as settings:
        serve_stdio(settings)
    return 0


def _demo(_: argparse.Namespace) -> int:
    from cipp_mcp.cli.demo import show_demo

    return show_demo()


def _tools(arguments: argparse.Namespace) -> int:
    from cipp_mcp.cli.tools import show_tools

    return show_tools(" ".join(arguments.words), area=arguments.area, risk=arguments.risk)


def _call(arguments: argparse.Namespace) -> int:
    from cipp_mcp.cli.call import run_call

    return run_call(
        arguments.name,
        arguments.pairs,
        fields=arguments.fields,
        limit=arguments.limit,
        form=arguments.form,
        demo=arguments.demo,
    )
