"""``cipp-mcp tools``: the catalogue for people."""

from __future__ import annotations

from cipp_mcp.registry import Registry
from cipp_mcp.registry.models import AREAS
from cipp_mcp.registry.schema import signature
from cipp_mcp.registry.search import Search, overview


def show_tools(words: str) -> int:
    """Prints the areas, one area's endpoints, one endpoint, or the hits of a search; 1 when nothing was found."""
    registry = Registry.load()
    if not words:
        for area, count in overview(registry).items():
            print(f"{area:18}{count:4} endpoints")
        print("\ncipp-mcp tools AREA lists an area; cipp-mcp tools WORDS searches.")
        return 0
    if words in AREAS:
        for name in registry.names(words):
            print(f"{name:42}{registry[name].risk:12}{registry[name].summary}")
        return 0
    exact = registry.resolve(words)
    if exact is not None:
        _show_one(registry, exact)
        return 0
    search = Search(registry)
    hits = search.find(words, limit=10)
    for hit in hits:
        print(f"{hit.endpoint.name:42}{hit.endpoint.risk:12}{hit.endpoint.summary}")
    if not hits:
        print(f"Nothing found. Near names: {', '.join(search.near(words)) or 'none'}")
    return 0 if hits else 1


def _show_one(registry: Registry, name: str) -> None:
    endpoint = registry[name]
    print(f"{endpoint.name}: {endpoint.title} [{endpoint.risk}, {endpoint.area}]")
    for text in (endpoint.summary, endpoint.description, endpoint.side_effects, *endpoint.notes):
        if text:
            print(f"  {text}")
    print(f"  parameters: {signature(endpoint) or 'none'}")
    for parameter, shape in endpoint.parameters.items():
        if shape.description:
            print(f"    {parameter}: {shape.description}")
