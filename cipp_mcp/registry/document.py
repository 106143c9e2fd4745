"""Reads an OpenAPI document that nobody has reviewed: bounded in every direction, and every word in it checked.

A deployment's document comes over the network. What it names becomes URLs, tool schemas and text before a model, so
names and values must look like CIPP's, prose is cut, cleaned and kept apart, and whatever does not fit is left out and
reported. Facts taken from CIPP's genuine document pass through unchanged.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from cipp_mcp.clean import one_line
from cipp_mcp.registry.openapi import METHODS, DocumentError, OperationError, Resolver, operation_facts

MAX_BYTES = 8 * 1024 * 1024
"""CIPP's own document has 2 MB."""
_MAX_PATHS = 3000
_MAX_PARAMETERS = 400
_MAX_FIELDS = 600
_MAX_VALUES = 200
_MAX_PROSE = 320
_MAX_PROBLEMS = 50
_PATH = re.compile(r"^/?(?:api/)?([^/]*)/?$")
ENDPOINT_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
# CIPP itself has names such as $top, @odata.type and businessPhones[0].
_ARGUMENT = re.compile(r"^[$@]?[A-Za-z0-9_.-]{1,64}(\[\d{1,3}\])?$")
_RESERVED = frozenset({"extra"})
# A value is a word or a short label, never a sentence.
_VALUE = re.compile(r"^[A-Za-z0-9_.@:/+-]{0,64}( [A-Za-z0-9_.@:/+-]{1,32}){0,2}$")
_ROLE = re.compile(r"^[A-Za-z0-9]{1,40}(\.[A-Za-z0-9]{1,40}){0,3}$")
_TAG = re.compile(
    r"^[A-Za-z0-9-]{1,30}( [A-Za-z0-9-]{1,20}){0,2}( > [A-Za-z0-9-]{1,30}( [A-Za-z0-9-]{1,20}){0,2}){0,3}$"
)


@dataclass
class Document:
    """What was taken from a document."""

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Endpoint name as the document spells it -> facts (the shape of `models.Facts`)."""
    prose: dict[str, str] = field(default_factory=dict)
    """Endpoint name -> its description: somebody else's words, cleaned and cut."""
    unreadable: set[str] = field(default_factory=set)
    """Endpoints that the document has, but describes in a way that cannot be understood."""
    problems: list[str] = field(default_factory=list)
    """What was left out, in sentences of our own; at most fifty."""

    def note(self, problem: str) -> None:
        """Adds to the problems."""
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(problem)


def parse_document(content: bytes) -> Document:
    """What can be used of the OpenAPI document in `content`.

    Raises DocumentError when it is no OpenAPI document of CIPP, or larger or more tangled than any of CIPP's.
    """
    if len(content) > MAX_BYTES:
        raise DocumentError(f"it is larger than {MAX_BYTES // 1024**2} MB")
    if content[:200].lstrip()[:1] == b"<":
        raise DocumentError("it is a web page, not JSON")
    try:
        document = json.loads(content)
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None
    except ValueError:
        raise DocumentError("it is not valid JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise DocumentError("it is not an OpenAPI document: it has no 'paths' object")
    if len(document["paths"]) > _MAX_PATHS:
        raise DocumentError(f"it describes {len(document['paths']):,} paths; {_MAX_PATHS:,} is the most that is read")
    read = Document()
    resolver = Resolver(document)
    seen: dict[str, str] = {}
    for path, item in document["paths"].items():
        name = _name(path, read)
        if name is None or not isinstance(item, dict):
            continue
        twin = seen.setdefault(name.lower(), name)
        if twin != name:
            read.note(f"{name} and {twin} differ only in case; {name} was left out")
            continue
        _read_path(name, item, resolver, read)
    if not read.facts:
        raise DocumentError("it is not an OpenAPI document of CIPP: it describes no operation that could be used")
    return read


def _name(path: str, read: Document) -> str | None:
    match = _PATH.match(path)
    name = match[1] if match else ""
    if not ENDPOINT_NAME.match(name):
        read.note(f"the path {one_line(path)[:60]!r} is not of the form /api/Name")
        return None
    return name


def _read_path(name: str, item: dict[str, Any], resolver: Resolver, read: Document) -> None:
    # CIPP has one verb for each path. Were there several, the last of get, post, put … would be the most cautious.
    for method in METHODS:
        operation = item.get(method)
        if not isinstance(operation, dict):
            continue
        try:
            read.facts[name] = _checked(name, operation_facts(method, operation, resolver), read)
        except DocumentError:
            raise
        except (OperationError, AttributeError, TypeError, ValueError, KeyError, RecursionError) as error:
            why = str(error) if isinstance(error, OperationError) else "it is not built like an operation"
            read.note(f"{name} could not be read: {why}")
            read.facts.pop(name, None)
            read.unreadable.add(name)
            return
        said = operation.get("description") or operation.get("summary")
        if isinstance(said, str) and said != name:
            text = one_line(said[: 4 * _MAX_PROSE])
            read.prose[name] = text if len(text) <= _MAX_PROSE else text[: _MAX_PROSE - 1].rsplit(" ", 1)[0] + "…"


def _checked(name: str, facts: dict[str, Any], read: Document) -> dict[str, Any]:
    checked = {
        **facts,
        "tag": facts["tag"] if _TAG.match(facts["tag"]) else "",
        "role": facts["role"] if _ROLE.match(facts["role"]) else "",
    }
    parameters: dict[str, Any] = {}
    folded: set[str] = set()
    for argument, shape in list(facts.get("parameters", {}).items())[:_MAX_PARAMETERS]:
        if not _ARGUMENT.match(argument) or argument.lower() in _RESERVED or argument.lower() in folded:
            read.note(f"{name}: the argument {one_line(argument)[:40]!r} has no usable name")
            continue
        folded.add(argument.lower())
        parameters[argument] = _checked_shape(shape)
    checked.pop("parameters", None)
    response = checked.pop("response", None)
    if parameters:
        checked["parameters"] = parameters
    if response is not None:
        checked["response"] = _checked_response(response)
    return checked


def _checked_shape(shape: dict[str, Any]) -> dict[str, Any]:
    checked = dict(shape)
    if "enum" in shape:
        values = [value for value in shape["enum"] if _is_value(value)][:_MAX_VALUES]
        checked["enum"] = values
        if not values:
            del checked["enum"]
    if "items" in shape:
        checked["items"] = _checked_shape(shape["items"])
    if "properties" in shape:
        inner = list(shape["properties"].items())[:_MAX_PARAMETERS]
        checked["properties"] = {name: _checked_shape(one) for name, one in inner if _ARGUMENT.match(name)}
    return checked


def _is_value(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_VALUE.match(value))
    return isinstance(value, bool | int | float) and abs(value) < 1e15


def _checked_response(response: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    left = _MAX_FIELDS
    for kind, names in response.get("fields", {}).items():
        kept = [name for name in names if _ARGUMENT.match(name)][:left]
        left -= len(kept)
        if kept and re.fullmatch(r"[a-z]{1,10}", kind):
            fields[kind] = kept
    return {"type": response["type"]} | ({"fields": fields} if fields else {})
