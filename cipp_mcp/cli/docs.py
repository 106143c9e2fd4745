"""Generated parts of the documentation: each stands between two markers and is checked by a test."""

from __future__ import annotations

import re

from cipp_mcp.registry import AREAS, Registry
from cipp_mcp.settings import settings_table


def settings_markdown() -> str:
    """The README's table of settings."""
    rows = [f"| `{name}` | {default or ''} | {text} |" for name, default, text in settings_table()]
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *rows])


def catalogue_markdown(registry: Registry) -> str:
    """The tables of all endpoints by area for ``tool_specs/README.md``, after a summary of how far each area is."""
    lines = ["| Area | Endpoints | Written | Checked against source |", "|---|---|---|---|"]
    for area in AREAS:
        entries = [registry[name] for name in registry.names(area)]
        written = sum(not entry.unwritten for entry in entries)
        checked = sum(entry.verified != "spec" for entry in entries)
        lines.append(f"| {area} | {len(entries)} | {written} | {checked} |")
    for area in AREAS:
        lines += ["", f"### {area}", "", "| Endpoint | Risk | What it does |", "|---|---|---|"]
        for name in registry.names(area):
            entry = registry[name]
            lines.append(f"| `{name}` | {entry.risk} | {entry.summary.replace('|', '/')} |")
    return "\n".join(lines)


def put_between(text: str, marker: str, content: str) -> str:
    """`text` with `content` between ``<!-- marker -->`` and ``<!-- /marker -->``."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)
