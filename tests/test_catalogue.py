"""The catalogue keeps its own rules, all 645 entries of it, and the pages made from it are current."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from cipp_mcp.cli.docs import catalogue_markdown, put_between, settings_markdown
from cipp_mcp.registry import AREAS, NEVER_CALLABLE, Registry
from cipp_mcp.registry.files import editor_schema, folder, format_area, read_all
from tests.catalogue_lint import problems

ROOT = Path(__file__).parents[1]


def test_every_entry_passes_the_linter() -> None:
    entries = [(area, raw) for area, raws in read_all().items() for raw in raws]
    assert len(entries) == 645
    assert {raw["name"]: found for area, raw in entries if (found := problems(raw, area))} == {}


def test_no_two_endpoints_have_the_same_summary_or_name() -> None:
    for key in ("name", "summary", "title"):
        words = Counter(str(getattr(endpoint, key)).lower() for endpoint in Registry.load())
        repeated = [word for word, count in words.items() if count > 1]
        assert repeated == [], key


@pytest.mark.parametrize("area", AREAS)
def test_area_files_are_formatted_canonically(area: str) -> None:
    text = (folder() / f"{area}.json").read_text(encoding="utf-8")
    assert text == format_area(area, read_all()[area])  # type: ignore[arg-type, index]


def test_cipps_own_mcp_is_in_the_catalogue_but_not_callable() -> None:
    for name in NEVER_CALLABLE:
        assert not Registry.load()[name].callable


def _is_current(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale; run with UPDATE_SNAPSHOTS=1"


def test_the_editor_schema_is_current() -> None:
    _is_current(ROOT / "tool_specs" / "schema.json", editor_schema())


def test_the_readmes_table_of_settings_is_current() -> None:
    path = ROOT / "README.md"
    _is_current(path, put_between(path.read_text(encoding="utf-8"), "settings", settings_markdown()))


def test_the_catalogues_table_is_current() -> None:
    path = ROOT / "tool_specs" / "README.md"
    _is_current(path, put_between(path.read_text(encoding="utf-8"), "catalogue", catalogue_markdown(Registry.load())))
