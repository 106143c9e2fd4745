"""Turns a host's natural arguments into the exact HTTP request that CIPP's handler reads."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cipp_mcp.connection.wire import Request
from cipp_mcp.errors import Refused
from cipp_mcp.registry import Endpoint, Parameter

_OMIT = object()
_TENANT_LIKE = re.compile(r"(tenant|customer)", re.IGNORECASE)


def build_request(endpoint: Endpoint, arguments: Mapping[str, Any]) -> Request:
    """The one request that `arguments` (and its ``extra``) mean for `endpoint`.

    Raises Refused, naming what is wrong and what is valid, for unknown names, values of a wrong type and what
    the endpoint cannot do without.
    """
    given = match_names(endpoint, arguments)
    extra = _object(given.pop("extra", None), "extra")
    items = given.pop("items", None) if endpoint.body is not None and "items" not in endpoint.parameters else None
    query: dict[str, str] = {}
    if endpoint.body is not None:
        body: Any = _array_body(endpoint, given, extra, items, query)
    else:
        values = _converted(endpoint, given)
        _check_required(endpoint, values)
        fields: dict[str, Any] = {}
        _place(endpoint, values, query, fields)
        _add_extra(endpoint, extra, query, fields)
        body = fields or None  # an empty body would be noise where all arguments go into the URL
    return Request(
        endpoint=endpoint.path,
        method=endpoint.method,
        query=query,
        body=body,
        repeatable=endpoint.retry == "safe" and endpoint.risk == "read",
    )


def match_names(endpoint: Endpoint, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` under the host's spelling of each name, nulls left out; case and CIPP's own spelling are forgiven.

    Raises Refused for a name that the endpoint does not have, or one given twice.
    """
    allowed = {"extra": "extra"}
    if endpoint.body is not None:
        allowed["items"] = "items"
    for name, parameter in endpoint.parameters.items():
        if parameter.wire:
            allowed[parameter.wire.lower()] = name
    allowed |= {name.lower(): name for name in endpoint.parameters}
    matched: dict[str, Any] = {}
    for name, value in arguments.items():
        known = allowed.get(name.lower(), name if endpoint.open else None)
        if known is None:
            raise unknown_argument(endpoint, name)
        if known in matched:
            raise Refused(f"{endpoint.name}: {known} is given twice (also as {name!r}).")
        if value is not None:
            matched[known] = value
    return matched


def unknown_argument(endpoint: Endpoint, name: str) -> Refused:
    """The refusal that lists what is valid and guesses what was meant."""
    names = list(endpoint.parameters)
    near = difflib.get_close_matches(name.lower(), [known.lower() for known in names], 1, cutoff=0.5)
    guess = next((known for known in names if near and known.lower() == near[0]), None)
    valid = ", ".join(sorted(names, key=str.lower)) or "no arguments at all"
    return Refused(
        f"{endpoint.name} has no argument {name!r}"
        + (f"; did you mean {guess}?" if guess else ".")
        + f" Valid: {valid}.",
        hint="A field that CIPP reads but this list lacks may be passed inside 'extra' as it is. Nothing was sent.",
    )


def _converted(endpoint: Endpoint, given: Mapping[str, Any]) -> dict[str, Any]:
    lenient = endpoint.verified == "spec"
    known = endpoint.parameters
    values = {
        name: _natural(name, value, known[name], lenient) if name in known else value for name, value in given.items()
    }
    for name, parameter in known.items():
        if name not in values and any(argument in values for argument in parameter.implied_by):
            values[name] = True
    return values


def _natural(name: str, value: Any, parameter: Parameter, lenient: bool) -> Any:
    """`value` as the declared type. `lenient` lets shapes pass that an unverified type may be wrong about."""
    kind = parameter.type
    if value is None:  # inside an object: settings that were read and are sent back
        return None
    if isinstance(value, dict) and "value" in value and (parameter.send is not None or lenient) and kind != "object":
        return value  # already CIPP's own {label, value} shape
    if kind == "boolean":
        value = _boolean(name, value)
    elif kind in ("integer", "number"):
        value = _number(name, value, whole=kind == "integer")
    elif kind == "array":
        value = _list(name, value, parameter, lenient)
    elif kind == "object" and parameter.send == "json" and isinstance(value, str):
        pass  # sent as text anyway, and may hold variables that CIPP fills in, which are no JSON yet
    elif kind == "object":
        value = _fields(name, _object(value, name), parameter, lenient)
    elif isinstance(value, list | dict):
        if not lenient:
            raise _wrong(name, "a string", value)
    elif isinstance(value, bool):
        value = "true" if value else "false"
    elif parameter.send != "epoch":
        value = str(value)
    return _known_value(name, value, parameter)


def _known_value(name: str, value: Any, parameter: Parameter) -> Any:
    if not parameter.enum or not isinstance(value, str | int | float):
        return value
    for known in parameter.enum:
        if str(known).lower() == str(value).lower():
            return known
    if parameter.closed:
        raise Refused(f"{name}={value!r} is not a value CIPP acts on. Valid: {', '.join(map(str, parameter.enum))}.")
    return value


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise _wrong(name, "true or false", value)


def _number(name: str, value: Any, *, whole: bool) -> int | float:
    if not isinstance(value, bool):
        try:
            number = float(value)
            if number == int(number):
                return int(number)
            if not whole:
                return number
        except (TypeError, ValueError, OverflowError):
            pass
    raise _wrong(name, "a whole number" if whole else "a number", value)


def _list(name: str, value: Any, parameter: Parameter, lenient: bool) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value, name)
    values = value if isinstance(value, list) else [value]
    inner = parameter.items or Parameter()
    return [_natural(f"{name}[{position}]", item, inner, lenient) for position, item in enumerate(values)]


def _fields(name: str, value: dict[str, Any], parameter: Parameter, lenient: bool) -> dict[str, Any]:
    known = parameter.properties
    if not known:
        return value
    folded = {inner.lower(): inner for inner in known}
    result: dict[str, Any] = {}
    for given, inner in value.items():
        match = folded.get(given.lower())
        if match is not None:
            result[match] = _natural(f"{name}.{match}", inner, known[match], lenient)
        elif parameter.open or lenient:
            result[given] = inner
        else:
            raise Refused(f"{name} has no field {given!r}. Valid: {', '.join(known)}.")
    return result


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        value = _parsed(value, name)
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return value


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Refused(f"{name} is a string that is not valid JSON. Pass the object or list itself.") from None


def _wrong(name: str, wanted: str, value: Any) -> Refused:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return Refused(f"{name} must be {wanted}, not {shown[:60] + '…' if len(shown) > 60 else shown}. Nothing was sent.")


def _check_required(endpoint: Endpoint, values: Mapping[str, Any]) -> None:
    missing = []
    for name, parameter in endpoint.parameters.items():
        # An empty text in the URL is no value to CIPP; in a body it may well mean "make it empty".
        if name in values and not (values[name] == "" and parameter.place in ("query", "both")):
            continue
        # Facts of an unverified entry say too often "required" of what only one of several actions needs.
        needed = parameter.required and (name == "tenantFilter" or endpoint.verified != "spec")
        if needed or _required_here(parameter, values):
            missing.append(f"{name} ({parameter.description})" if parameter.description else name)
    if endpoint.verified != "spec":
        for name, parameter in endpoint.parameters.items():
            missing += _missing_inside(name, parameter, values.get(name), values)
    missing += [f"one of {', '.join(group)}" for group in endpoint.one_of if not any(name in values for name in group)]
    if missing:
        raise Refused(
            f"{endpoint.name} needs {', '.join(missing)}. Nothing was sent.",
            hint="ListTenants gives the tenants." if missing[0].startswith("tenantFilter") else None,
        )


def _missing_inside(path: str, parameter: Parameter, value: Any, around: Mapping[str, Any]) -> Iterator[str]:
    """The fields that `value` lacks at any depth; `required_when` looks at its neighbours first, then outwards."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from _missing_inside(f"{path}[{position}]", parameter.items or Parameter(), item, around)
    elif isinstance(value, dict):
        near = {**around, **value}
        for name, inner in (parameter.properties or {}).items():
            if value.get(name) is not None:
                yield from _missing_inside(f"{path}.{name}", inner, value[name], near)
            elif inner.required or _required_here(inner, near):
                yield f"{path}.{name}"


def _required_here(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    return any(
        (wanted == ["*"] and values.get(argument) not in (None, "", [], {}, False))
        or str(plain(values.get(argument, ""))).lower() in (value.lower() for value in wanted)
        for argument, wanted in (parameter.required_when or {}).items()
    )


def plain(value: Any) -> Any:
    """The value inside a {label, value} object; anything else as it is."""
    return value["value"] if isinstance(value, dict) and "value" in value else value


def _place(endpoint: Endpoint, values: Mapping[str, Any], query: dict[str, str], body: dict[str, Any]) -> None:
    for name, value in values.items():
        parameter = endpoint.parameters.get(name)
        if parameter is None:  # an open endpoint passes on what it does not know
            body[name] = value
            continue
        wire = parameter.wire or name
        if parameter.place in ("query", "both"):
            text = _query_text(value, parameter)
            if text is not None:
                query[wire] = text
        if parameter.place != "query" and endpoint.has_body:
            sent = _sent(value, parameter)
            if sent is not _OMIT:
                _nest(body, wire.split("."), sent)


def _query_text(value: Any, parameter: Parameter) -> str | None:
    value = plain(value)
    if parameter.send == "flag":
        return "true" if value else None
    if parameter.send == "epoch":
        return str(_epoch(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and parameter.send != "json":
        joint = "\n" if parameter.send == "lines" else ","
        return joint.join(str(plain(item)) for item in value)
    if isinstance(value, dict | list):
        return _json(value)
    return str(value)


def _sent(value: Any, parameter: Parameter) -> Any:
    """The converted `value` in the shape that CIPP reads; _OMIT when it must be left out."""
    if isinstance(value, list) and parameter.items is not None:
        value = [_sent(item, parameter.items) for item in value]
    elif isinstance(value, dict) and parameter.properties:
        shaped: dict[str, Any] = {}
        for name, inner in value.items():
            known = parameter.properties.get(name)
            sent = inner if known is None else _sent(inner, known)
            if sent is not _OMIT:
                _nest(shaped, (known.wire or name).split(".") if known and known.wire else [name], sent)
        value = shaped
    send = parameter.send
    if send is None:
        return value
    if isinstance(value, dict) and "value" in value and (send == "value" or isinstance(send, dict)):
        return value
    if isinstance(send, dict):
        return _filled(send, value)
    if send == "value":
        return {"label": value, "value": value}
    if send == "flag":
        return True if value else _OMIT
    if send == "epoch":
        return _epoch(value)
    if send == "text":
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    if send == "unwrap":
        return value[0] if isinstance(value, list) and len(value) == 1 else value
    if send in ("csv", "lines"):
        return (("," if send == "csv" else "\n").join(map(str, value))) if isinstance(value, list) else value
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _filled(template: Any, value: Any) -> Any:
    if template == "$":
        return value
    if isinstance(template, dict):
        return {name: _filled(inner, value) for name, inner in template.items()}
    if isinstance(template, list):
        return [_filled(inner, value) for inner in template]
    return template


def _epoch(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    text = str(value).strip()
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            f"{text!r} is not a date; write it as 2026-11-23T17:00:00Z (ISO 8601). Nothing was sent."
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _nest(body: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        inner = body.setdefault(step, {})
        body = inner if isinstance(inner, dict) else {}
    body[path[-1]] = value


def _add_extra(endpoint: Endpoint, extra: Mapping[str, Any], query: dict[str, str], body: dict[str, Any]) -> None:
    taken = {name.lower() for name in (*query, *body, *endpoint.parameters)}
    for name, value in extra.items():
        if name.lower() in taken:
            # CIPP folds the case of names, so a twin in extra could say something else than what was checked.
            raise Refused(f"{endpoint.name}: {name!r} is an argument of its own; pass it as such, not inside extra.")
        if endpoint.tenant is not None and _TENANT_LIKE.match(name):
            # Some handlers prefer another copy of the tenant to the one that was checked and shown.
            raise Refused(f"{endpoint.name}: the tenant goes into tenantFilter, not into extra as {name!r}.")
        if endpoint.has_body:
            body[name] = value
        else:
            query[name] = _query_text(value, Parameter()) or ""


def _array_body(
    endpoint: Endpoint, given: Mapping[str, Any], extra: Mapping[str, Any], items: Any, query: dict[str, str]
) -> list[dict[str, Any]]:
    """The JSON array that a bulk endpoint reads: one object per item, each with its own tenant."""
    assert endpoint.body is not None
    sets: Iterable[Mapping[str, Any]] = [given]
    if items is not None:
        if isinstance(items, str):
            items = _parsed(items, "items")
        if not isinstance(items, list) or not items:
            raise _wrong("items", "a list of objects, one per change", items)
        sets = [{**given, **match_names(endpoint, _object(item, "items"))} for item in items]
    body: list[dict[str, Any]] = []
    for values in (_converted(endpoint, one) for one in sets):
        _check_required(endpoint, values)
        each = endpoint.body.each
        several = values.get(each) if each else None
        for element in several if isinstance(several, list) else [None]:
            fields: dict[str, Any] = {}
            rest = {name: value for name, value in values.items() if name != each or not isinstance(several, list)}
            _place(endpoint, rest, query, fields)
            _add_extra(endpoint, extra, {}, fields)
            if isinstance(element, dict):
                fields |= element  # the elements are the items
            elif element is not None and each:
                fields[endpoint.parameters[each].wire or each] = element
            body.append(fields)
    return body
