"""``cipp-mcp tools``: the catalogue for people, by area, by risk, and by what endpoints do."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import cast

from cipp_mcp.cli.terminal import painted, width
from cipp_mcp.errors import Refused
from cipp_mcp.registry import AREAS, NEVER_CALLABLE, RISKS, Area, Endpoint, Registry, Risk
from cipp_mcp.registry.schema import signature
from cipp_mcp.registry.search import Search

RISK_STYLES: dict[str, str] = {
    "read": "",
    "secret": "odd",
    "write": "warning",
    "security": "bad",
    "destructive": "bad",
    "platform": "bad",
}
RISK_MEANINGS: dict[str, str] = {
    "read": "only reads",
    "secret": "reads credentials; needs CIPP_ALLOW_SECRETS=true",
    "write": "an ordinary change, from CIPP_ACCESS=write on",
    "security": "can lock out, take over or leak, from CIPP_ACCESS=full on",
    "destructive": "deletes or resets, from CIPP_ACCESS=full on",
    "platform": "changes CIPP itself or many tenants at once, with CIPP_ACCESS=admin",
}
_HITS = 10


def show_tools(words: str, *, area: str | None = None, risk: str | None = None) -> int:
    """Prints the areas, the endpoints of an area or a risk, one endpoint, or the hits of a search; 1 for no hit."""
    if area is None and words.lower() in AREAS:
        area, words = words.lower(), ""
    _check("area", area, AREAS)
    _check("risk", risk, RISKS)
    registry = Registry.load()
    if not words and not area and not risk:
        _show_areas(registry)
        return 0
    if not words:
        return _show_lists(registry, [area] if area else list(AREAS), risk)
    exact = registry.resolve(words)
    if exact is not None and not area and not risk:
        _show_one(registry, exact)
        return 0
    search = Search(registry)
    hits = search.find(words, area=cast("Area | None", area), risk=cast("Risk | None", risk), limit=_HITS)
    _show_endpoints(hit.endpoint for hit in hits)
    if not hits:
        print(f"Nothing found. Near names: {', '.join(search.near(words)) or 'none'}")
    return 0 if hits else 1


def _check(what: str, given: str | None, known: Iterable[str]) -> None:
    if given is not None and given not in known:
        raise Refused(f"There is no {what} {given!r}. There are: {', '.join(known)}.")


def _show_areas(registry: Registry) -> None:
    """How many endpoints of each risk each area has, and what the risks mean."""
    print(painted(f"{'area':18}{'all':>5}" + "".join(f"{risk:>13}" for risk in RISKS), "strong"))
    for area in AREAS:
        count = Counter(registry[name].risk for name in registry.names(area))
        print(f"{area:18}{count.total():5}" + "".join(f"{count[risk] or '':>13}" for risk in RISKS))
    print()
    for risk in RISKS:
        print(f"{_mark(risk)}{RISK_MEANINGS[risk]}")
    print(
        "\ncipp-mcp tools AREA lists an area, --risk RISK what has that risk,"
        "\ncipp-mcp tools WORDS finds what does a task, cipp-mcp tools NAME shows one endpoint."
    )


def _show_lists(registry: Registry, areas: list[str], risk: str | None) -> int:
    found = 0
    for area in areas:
        entries = [registry[name] for name in registry.names(area)]  # type: ignore[arg-type]
        entries = [entry for entry in entries if risk in (None, entry.risk)]
        if entries and len(areas) > 1:
            print(painted(area if not found else f"\n{area}", "strong"))
        _show_endpoints(entries)
        found += len(entries)
    if not found:
        print(f"{areas[0]} has no endpoint of risk {risk}.")
    return 0 if found else 1


def _show_endpoints(entries: Iterable[Endpoint]) -> None:
    room = width(sys.stdout, 0)
    for entry in entries:
        # On a terminal one line each; in a file the summary in whole.
        summary = entry.summary if not room else textwrap.shorten(entry.summary, max(20, room - 56), placeholder=" …")
        print(f"{entry.name:42}{_mark(entry.risk)}{summary}")


def _show_one(registry: Registry, name: str) -> None:
    entry = registry[name]
    print(
        f"{painted(entry.name, 'strong')}: {entry.title} [{painted(entry.risk, RISK_STYLES[entry.risk])}, {entry.area}]"
    )
    texts = [entry.summary, entry.description, entry.side_effects, *entry.notes]
    if name in NEVER_CALLABLE:
        texts.append("This server never calls it.")
    for text in texts:
        if text:
            print(_wrapped(text, "  "))
    print(f"  parameters: {signature(entry) or 'none'}")
    for parameter, shape in entry.parameters.items():
        if shape.description:
            print(_wrapped(f"{parameter}: {shape.description}", "    "))


def _mark(risk: str) -> str:
    """The risk in a column of 13; the colour begins and ends at the word, so that the column stays as wide."""
    return painted(risk, RISK_STYLES[risk]) + " " * (13 - len(risk))


def _wrapped(text: str, indent: str) -> str:
    room = width(sys.stdout, 0)
    if not room:
        return indent + text
    return textwrap.fill(text, max(40, room - 1), initial_indent=indent, subsequent_indent=indent)
