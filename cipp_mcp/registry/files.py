"""Reads and writes `tool_specs`: where the files are, and the one canonical way to format them."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from cipp_mcp.registry.models import AREAS, Area, Entry

_WIDTH = 120


def folder() -> Traversable:
    """The folder of area files: inside the installed package, or beside it in a source checkout."""
    packaged = files("cipp_mcp") / "tool_specs"
    if packaged.is_dir():
        return packaged
    from pathlib import Path

    return Path(__file__).parents[2] / "tool_specs"


def read_area(area: Area, source: Traversable | None = None) -> list[dict[str, Any]]:
    """The raw entries of one area, in file order (sorted by name)."""
    text = ((source or folder()) / f"{area}.json").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = json.loads(text)["endpoints"]
    return entries


def read_all(source: Traversable | None = None) -> dict[Area, list[dict[str, Any]]]:
    return {area: read_area(area, source) for area in AREAS}


def catalogue_version(source: Traversable | None = None) -> str:
    """The release of CIPP whose document the facts were taken from."""
    return str(json.loads(((source or folder()) / "catalogue.json").read_text(encoding="utf-8"))["cipp"])


def format_area(area: Area, entries: list[dict[str, Any]]) -> str:
    """The canonical text of an area file: the same entries give the same bytes."""
    ordered = [
        {key: entry[key] for key in Entry.model_fields if key in entry}
        for entry in sorted(entries, key=lambda entry: str(entry["name"]).lower())
    ]
    return _pretty({"$schema": "./schema.json", "area": area, "endpoints": ordered}, 0) + "\n"


def editor_schema() -> str:
    """The JSON Schema of an area file, for completion in editors (``tool_specs/schema.json``)."""
    schema = Entry.model_json_schema(ref_template="#/$defs/{model}")
    definitions = {**schema.pop("$defs"), "Entry": schema}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Endpoints of one area of CIPP",
        "type": "object",
        "required": ["area", "endpoints"],
        "properties": {
            "$schema": {"type": "string"},
            "area": {"enum": list(AREAS)},
            "endpoints": {"type": "array", "items": {"$ref": "#/$defs/Entry"}},
        },
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(document, indent=1) + "\n"


def _pretty(value: Any, indent: int, lead: int = 0) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or (indent + lead + len(flat) <= _WIDTH and indent):
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        rows = []
        for key, inner in value.items():
            name = json.dumps(key, ensure_ascii=False) + ": "
            rows.append(pad + name + _pretty(inner, indent + 1, len(name)))
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
    if all(not isinstance(inner, dict | list) for inner in value):
        return (
            "[\n" + _fill([json.dumps(inner, ensure_ascii=False) for inner in value], pad) + "\n" + " " * indent + "]"
        )
    return "[\n" + ",\n".join(pad + _pretty(inner, indent + 1) for inner in value) + "\n" + " " * indent + "]"


def _fill(words: list[str], pad: str) -> str:
    lines, line = [], pad
    for position, word in enumerate(words):
        piece = word + ("," if position + 1 < len(words) else "")
        if line != pad and len(line) + 1 + len(piece) > _WIDTH:
            lines.append(line)
            line = pad
        line += piece if line == pad else " " + piece
    return "\n".join([*lines, line])
