"""Maintainers see what a new document changes, and take its facts over without losing a written word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cipp_mcp.cli.main import main
from cipp_mcp.registry import Registry
from cipp_mcp.registry.files import folder, read_all
from tests.catalogue_lint import problems
from tests.openapi_documents import Drift, baked_facts, document_of, drifted


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["catalogue", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of tool_specs that may be written to."""
    target = tmp_path / "tool_specs"
    shutil.copytree(str(folder()), target)
    return target


def written(path: Path, document: dict[str, Any]) -> str:
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


def test_importing_the_current_document_changes_not_one_byte(copy: Path, tmp_path: Path) -> None:
    before = content(copy)
    assert run("import", written(tmp_path / "now.json", document_of(baked_facts())), "--folder", str(copy)) == 0
    assert content(copy) == before


def test_importing_a_new_document_keeps_all_that_is_written(copy: Path, tmp_path: Path) -> None:
    drift = drifted()
    document = written(tmp_path / "new.json", drift.document)
    assert run("import", document, "--folder", str(copy), "--release", "10.9.0") == 0
    once = content(copy)
    assert run("import", document, "--folder", str(copy)) == 0
    assert content(copy) == once
    assert json.loads(once["catalogue.json"]) == {"cipp": "10.9.0"}
    entries = {raw["name"]: (area, raw) for area, raws in read_all(copy).items() for raw in raws}
    assert set(entries) == set(drift.facts)
    spellings = {spelling: name for name, spelling in drift.renamed.items()}
    for name, (area, raw) in entries.items():
        assert raw["facts"] == drift.facts[name], name
        if name in drift.added:
            assert "still unwritten" in problems(raw, area)
        else:
            ours = Registry.load().baked[spellings.get(name, name)][1]
            assert {**raw, "facts": None, "name": None} == {**ours, "facts": None, "name": None}


def test_a_difference_is_shown_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drift: Drift = drifted()
    document = written(tmp_path / "new.json", drift.document)
    assert run("diff", document, "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert set(shown["new"]) == set(drift.added)
    assert set(shown["gone"]) == drift.removed
    assert shown["renamed"] == drift.renamed
    assert {*drift.verbs, *drift.demanding, *drift.promoted} <= set(shown["changed"])
    assert any(one["endpoint"] in drift.moved for one in shown["contradicted"])
    assert run("diff", document) == 1
    text = capsys.readouterr().out
    for title in ("New (", "Gone (", "Renamed (", "Changed (", "Corrections contradicted ("):
        assert title in text


def test_without_a_difference_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", written(tmp_path / "now.json", document_of(baked_facts()))) == 0
    assert capsys.readouterr().out == "The facts are the same.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diff", "{folder}/absent.json"], "cannot be read"),
        (["diff", "{folder}/bad.json"], "not valid JSON"),
        (["import", "{folder}/good.json", "--folder", "{folder}"], "is not the folder tool_specs"),
        (["import", "{folder}/good.json", "--release", "newest"], "is not a release"),
    ],
)
def test_wrong_input_is_named_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    written(tmp_path / "good.json", document_of(baked_facts()))
    before = content(tmp_path)
    assert run(*(argument.format(folder=tmp_path) for argument in arguments)) == 2
    assert said in capsys.readouterr().err
    assert content(tmp_path) == before
