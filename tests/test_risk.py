"""The risk of a call is judged from its arguments, in whatever shape they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipp_mcp.calls.risk import risk_of
from cipp_mcp.registry import Endpoint, Registry

FOR_ABSENCE = [
    (endpoint, rule.argument)
    for endpoint in Registry.load()
    for rule in endpoint.risk_when
    if rule.values and None in rule.values
]
SCALARS = st.text(min_size=1).filter(str.strip) | st.integers() | st.booleans()
PRESENT = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.text(), inner, min_size=1, max_size=3),
    max_leaves=6,
)


@given(value=PRESENT, data=st.data())
def test_an_argument_that_is_given_in_any_shape_is_never_taken_for_absent(value: Any, data: Any) -> None:
    endpoint, argument = data.draw(st.sampled_from(FOR_ABSENCE))
    head, *inner = argument.split(".")
    for name in reversed(inner):
        value = {name: value}
    without = [rule for rule in endpoint.risk_when if not rule.values or None not in rule.values]
    strict: Endpoint = endpoint.model_copy(update={"risk_when": without})
    for arguments in ({head: value}, {head.upper(): value}, {"extra": {head: value}}):
        assert risk_of(endpoint, arguments) == risk_of(strict, arguments), arguments


@pytest.mark.parametrize(
    ("name", "arguments", "risk"),
    [
        ("ExecManageRetentionTags", {"tenantFilter": "a.example"}, "read"),
        ("ExecManageRetentionTags", {"CreateTags": [{"Name": "Ten years"}]}, "write"),
        ("ExecManageRetentionTags", {"ModifyTags": [{"Identity": "Ten years"}]}, "destructive"),
        ("ExecManageRetentionPolicies", {"CreatePolicies": [{"Name": "All"}]}, "write"),
        ("ExecManageRetentionPolicies", {"extra": {"DeletePolicies": ["All"]}}, "destructive"),
    ],
)
def test_a_list_of_objects_counts_as_given(name: str, arguments: Any, risk: str) -> None:
    assert risk_of(Registry.load()[name], arguments) == risk
