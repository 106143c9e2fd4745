"""``cipp-mcp catalogue``: for those who keep ``tool_specs`` in step with CIPP's releases."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cipp_mcp.errors import Refused

if TYPE_CHECKING:
    from cipp_mcp.registry.deployment import Overlay
    from cipp_mcp.registry.document import Document


def add_catalogue(commands: Any) -> None:
    """Adds ``catalogue`` to the sub-commands."""
    catalogue = commands.add_parser(
        "catalogue",
        help="compare the catalogue with an OpenAPI document of CIPP, or renew its facts (for maintainers)",
    )
    actions = catalogue.add_subparsers(title="actions", metavar="ACTION", required=True)
    diff = actions.add_parser(
        "diff",
        help="what is new, gone and changed, and which corrections the document contradicts",
        description="Compares the catalogue with a document. Exit code: 0 the facts are the same, 1 they differ.",
    )
    diff.add_argument("document", type=Path, metavar="OPENAPI", help="file: CIPP's Config/openapi.json")
    diff.add_argument("--json", action="store_true", help="print JSON")
    diff.set_defaults(run=_diff)
    renew = actions.add_parser(
        "import",
        help="renew the facts in tool_specs",
        description="Renews the facts in tool_specs from a document. What is written by hand stays; new endpoints get an "
        "entry marked as unwritten, for which the linter then asks. The same document gives the same bytes.",
    )
    renew.add_argument("document", type=Path, metavar="OPENAPI", help="file: CIPP's Config/openapi.json")
    renew.add_argument("--release", metavar="X.Y.Z", help="the release of CIPP that the document belongs to")
    renew.add_argument("--folder", type=Path, metavar="DIR", help="tool_specs of a checkout, if not the one in use")
    renew.set_defaults(run=_import)


def _diff(arguments: argparse.Namespace) -> int:
    overlay = _overlay(_document(arguments.document))
    differs = bool(overlay.added or overlay.missing or overlay.changed or overlay.spelling)
    print(json.dumps(as_data(overlay), ensure_ascii=False, indent=1) if arguments.json else as_text(overlay))
    return int(differs)


def _import(arguments: argparse.Namespace) -> int:
    from cipp_mcp.registry.files import folder, format_area, read_all
    from cipp_mcp.registry.merge import import_facts

    target = arguments.folder or Path(str(folder()))
    if not (target / "schema.json").is_file():
        raise Refused(f"{target} is not the folder tool_specs of a checkout.")
    if arguments.release and not re.fullmatch(r"\d+\.\d+\.\d+", arguments.release):
        raise Refused(f"{arguments.release!r} is not a release such as 10.8.2.")
    document = _document(arguments.document)
    existing = read_all(target)
    before = {entry["name"] for entries in existing.values() for entry in entries}
    renewed = import_facts(document.facts, existing)
    after = {entry["name"] for entries in renewed.values() for entry in entries}
    written = [area for area, entries in renewed.items() if _write(target / f"{area}.json", format_area(area, entries))]
    if arguments.release:
        _write(target / "catalogue.json", json.dumps({"cipp": arguments.release}) + "\n")
    print(f"Changed: {', '.join(written) or 'nothing'}")
    for title, names in (("New, to be written", after - before), ("Gone", before - after)):
        if names:
            print(f"{title}: {', '.join(sorted(names, key=str.lower))}")
    for problem in document.problems:
        print(f"Left out: {problem}")
    return 0


def _write(path: Path, text: str) -> bool:
    """Writes `text` if it is not there yet; whether it was written."""
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    path.write_bytes(text.encode())
    return True


def _document(path: Path) -> Document:
    from cipp_mcp.registry.document import MAX_BYTES, parse_document
    from cipp_mcp.registry.openapi import DocumentError

    try:
        with path.open("rb") as file:
            return parse_document(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from None
    except DocumentError as error:
        raise Refused(f"{path} cannot be used: {error}.") from None


def _overlay(document: Document) -> Overlay:
    from cipp_mcp.registry import Registry
    from cipp_mcp.registry.deployment import overlay_of

    return overlay_of(document, Registry.load().baked)


def as_data(overlay: Overlay) -> dict[str, Any]:
    """The differences as JSON shows them."""
    return {
        "new": {name: overlay.entries[name][1]["risk"] for name in overlay.added},
        "gone": overlay.missing,
        "renamed": overlay.spelling,
        "changed": overlay.changed,
        "contradicted": [conflict.as_dict() for conflict in overlay.conflicts],
        "problems": overlay.problems,
    }


def as_text(overlay: Overlay) -> str:
    """The differences as people read them."""
    entries = overlay.entries
    parts = {
        "New": [f"{name} [{entries[name][1]['risk']}] {entries[name][1]['facts']['role']}" for name in overlay.added],
        "Gone": [f"{name}" + (f" (use {instead})" if instead else "") for name, instead in overlay.missing.items()],
        "Renamed": [f"{name} -> {spelling}" for name, spelling in overlay.spelling.items()],
        "Changed": [f"{name}: {', '.join(facts)}" for name, facts in overlay.changed.items()],
        "Corrections contradicted": [str(conflict) for conflict in overlay.conflicts],
        "Not understood": overlay.problems,
    }
    blocks = [
        f"{title} ({len(lines)})\n" + "\n".join(f"  {line}" for line in lines)
        for title, lines in parts.items()
        if lines
    ]
    return "\n".join(blocks) or "The facts are the same."
