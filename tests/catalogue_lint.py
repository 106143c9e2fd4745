"""What every entry of `tool_specs` has to keep: `problems` names each breach in one sentence."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from cipp_mcp.registry.merge import merge_entry, merge_patch
from cipp_mcp.registry.models import Area, Endpoint, Entry, Parameter
from cipp_mcp.registry.words import split_name

VERBS = frozenset(
    """Add Accept Acknowledge Activate Analyse Apply Approve Archive Assign Audit Authorise Block Book Build Call Cancel
    Change Check Clear Clone Close Collect Compare Complete Configure Connect Convert Copy Count Create Delete Deny Deploy
    Disable Disconnect Download Dismiss Edit Empty Enable End Exclude Exempt Exchange Execute Expand Export Extend Fetch
    Find Fix Force Forward Generate Get Give Grant Hide Import Include Install Invite Issue Keep Link List Locate Lock Look
    Manage Map Mark Match Measure Merge Move Offboard Onboard Open Pause Place Point Preview Promote Publish Purge
    Push Query Queue Raise Read Rebuild Recalculate Receive Record Redirect Refresh Register Reject Release Remove Rename
    Renew Repair Replace Reply Report Request Rerun Reset Resolve Restart Restore Resume Retire Retrieve Return Revert
    Revoke Rotate Run Save Schedule Search Send Set Share Show Snooze Start Stop Store Submit Summarise Suspend Switch Sync
    Synchronise Test Tidy Toggle Trace Transfer Trigger Turn Unassign Unblock Unlink Unlock Unregister Update Upload Validate
    Verify Wake Wipe Withdraw Write""".split()
)
_SENTENCE_END = (".", "!", ")")


def problems(raw: dict[str, Any], area: Area) -> list[str]:
    """Every rule that the entry breaks; an empty list when it keeps them all."""
    try:
        entry, endpoint = Entry.model_validate(raw), merge_entry(raw, area)
    except ValidationError as error:
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    found = [] if not entry.unwritten else ["still unwritten"]
    found += _prose(endpoint)
    found += _keywords(endpoint)
    found += _risk(endpoint)
    found += _answer(entry, endpoint)
    found += _orphans(entry)
    for name, parameter in endpoint.parameters.items():
        found += _parameter(name, parameter)
    return found


def _prose(endpoint: Endpoint) -> list[str]:
    found = []
    if not 3 <= len(endpoint.title) <= 60:
        found.append("title: 3 to 60 characters")
    if len(endpoint.summary) > 100:
        found.append(f"summary: {len(endpoint.summary)} characters, at most 100")
    if endpoint.summary.split()[0] not in VERBS:
        found.append(f"summary: starts with {endpoint.summary.split()[0]!r}, not with a verb of the list")
    if endpoint.summary.endswith("."):
        found.append("summary: no full stop at the end")
    words = len(endpoint.description.split())
    if not 8 <= words <= 90:
        found.append(f"description: {words} words, between 8 and 90")
    if not endpoint.description.endswith(_SENTENCE_END):
        found.append("description: ends like a sentence")
    found += [
        f"notes: {note!r} does not end like a sentence" for note in endpoint.notes if not note.endswith(_SENTENCE_END)
    ]
    return found


def _stem(word: str) -> str:
    return re.sub(r"(ies|es|s|ing|ed)$", "", word.lower())


def _keywords(endpoint: Endpoint) -> list[str]:
    found = []
    if not 4 <= len(endpoint.keywords) <= 12:
        found.append(f"keywords: {len(endpoint.keywords)}, between 4 and 12")
    if len({keyword.lower() for keyword in endpoint.keywords}) < len(endpoint.keywords):
        found.append("keywords: one stands twice")
    named = {_stem(word) for word in split_name(endpoint.name)}
    for keyword in endpoint.keywords:
        if keyword != keyword.strip() or len(keyword) > 40:
            found.append(f"keywords: {keyword!r} is padded or longer than 40 characters")
        if all(_stem(word) in named for word in re.findall(r"[A-Za-z0-9]+", keyword)):
            found.append(f"keywords: {keyword!r} only repeats the name")
    return found


def _risk(endpoint: Endpoint) -> list[str]:
    found = []
    if endpoint.risk != "read" and not endpoint.side_effects.endswith(_SENTENCE_END):
        found.append(f"side_effects: risk {endpoint.risk} needs a sentence that says what a call changes")
    arguments = {name.lower() for name in endpoint.parameters}
    for rule in endpoint.risk_when:
        if rule.argument.split(".")[0].lower() not in arguments:
            found.append(f"risk_when: there is no argument {rule.argument!r}")
    if endpoint.retry == "safe" and endpoint.risk in ("security", "destructive", "platform"):
        found.append("retry: a critical change is never repeated")
    if endpoint.risk == "secret" and not endpoint.response.secrets:
        found.append("response.secrets: name the fields that hold the credential")
    if endpoint.scope == "tenant" and endpoint.tenant is None and endpoint.body is None:
        found.append("scope: tenant, but no argument is the tenant")
    return found


def _answer(entry: Entry, endpoint: Endpoint) -> list[str]:
    found = []
    response = endpoint.response
    if response.kind == "list" and not response.columns:
        found.append("response.columns: a list needs default columns")
    if len(response.columns) > 14:
        found.append(f"response.columns: {len(response.columns)}, at most 14")
    for column in [*response.columns, *([response.tenant_column] if response.tenant_column else [])]:
        if column.split(".")[0] not in endpoint.fields:
            found.append(f"response: column {column!r} is not among the fields of the answer")
    return found


def _orphans(entry: Entry) -> list[str]:
    found = []
    imported = entry.facts.parameters
    for name, patch in entry.parameters.items():
        if patch is None and name not in imported:
            found.append(f"parameters: {name!r} removes what the facts do not have")
        elif isinstance(patch, dict) and name not in imported and "in" not in patch:
            found.append(f"parameters: {name!r} is new and must say where it goes (in)")
        elif isinstance(patch, dict) and merge_patch(imported.get(name), patch) == imported.get(name):
            found.append(f"parameters: {name!r} changes nothing")
    if entry.tenant and entry.tenant not in merge_patch(imported, entry.parameters):
        found.append(f"tenant: there is no argument {entry.tenant!r}")
    return found


def _parameter(name: str, parameter: Parameter) -> list[str]:
    found = []
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        found.append(f"parameters: {name!r} is not a portable property name")
    if parameter.closed and not parameter.enum:
        found.append(f"parameters: {name!r} is closed without values")
    if parameter.type == "array" and parameter.items is None:
        found.append(f"parameters: {name!r} is an array without items")
    if isinstance(parameter.send, str) and parameter.send not in (
        "value",
        "epoch",
        "flag",
        "text",
        "csv",
        "lines",
        "unwrap",
        "json",
    ):
        found.append(f"parameters: {name!r} has an unknown send {parameter.send!r}")
    for inner_name, inner in (parameter.properties or {}).items():
        found += _parameter(f"{name}.{inner_name}"[-64:], inner)
    if parameter.items is not None:
        found += _parameter(name, parameter.items)
    return found
