"""A configuration with comments is edited in place: the rest of its text stays as a person wrote it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipp_mcp.cli.jsonc import append_item, parse, set_member


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("{}", '{\n  "a": {\n    "b": 1\n  }\n}'),
        ('{"x": 1}', '{"x": 1,\n  "a": {\n    "b": 1\n  }\n}'),
        ('{\n    "a": {}\n}\n', '{\n    "a": {\n        "b": 1\n    }\n}\n'),
        ('{\n  "a": {"b": 0}, // why\n}', '{\n  "a": {"b": 1}, // why\n}'),
        ('{\n  "a": {\n    "c": 2 // last\n  }\n}', '{\n  "a": {\n    "c": 2, // last\n    "b": 1\n  }\n}'),
        ('{\n  "a": {\n    "c": 2, /* x */\n  }\n}', '{\n  "a": {\n    "c": 2, /* x */\n    "b": 1\n  }\n}'),
        ('{\r\n\t"a": {\r\n\t}\r\n}', '{\r\n\t"a": {\r\n\t\t"b": 1\r\n\t}\r\n}'),
        ('\ufeff{"a": {"b": [1, 2]}}', '\ufeff{"a": {"b": 1}}'),
        ('{"a": {"b": "}//"}}', '{"a": {"b": 1}}'),
        ("// nothing yet\n{\n  // here\n}", '// nothing yet\n{\n  // here\n  "a": {\n    "b": 1\n  }\n}'),
    ],
)
def test_a_member_is_set_and_the_rest_stays(before: str, after: str) -> None:
    assert set_member(before, ["a", "b"], 1) == after


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    document=st.dictionaries(st.text(max_size=4), _VALUES, max_size=4),
    name=st.text(max_size=4),
    value=_VALUES,
    indent=st.sampled_from([None, 1, 2, "\t"]),
)
def test_any_document_is_what_a_plain_assignment_would_make_it(
    document: dict[str, object], name: str, value: object, indent: int | str | None
) -> None:
    text = json.dumps(document, indent=indent)
    assert parse(set_member(text, [name], value)) == {**document, name: value}


def test_an_item_joins_a_list_behind_its_comments() -> None:
    assert append_item('{"inputs": [\n  1, // one\n]}', "inputs", 2) == '{"inputs": [\n  1, // one\n  2\n]}'
    assert parse(append_item("{}", "inputs", 2)) == {"inputs": [2]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1', "comma or }"),
        ("{'a': 1}", "quotation marks"),
        ('{"a" 1}', "colon"),
        ('{"a": x}', "a value is expected"),
        ('{\n"a": 1\n"b": 2}', "line 3"),
        ("{} {}", "behind the end"),
        ("[" * 5000, "too deeply"),
        ("/* open", "a value is expected"),
    ],
)
def test_a_fault_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_a_way_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.b is not an object"):
        set_member('{"a": {"b": []}}', ["a", "b", "c"], 1)
    with pytest.raises(ValueError, match="not a list"):
        append_item('{"inputs": {}}', "inputs", 1)
