"""The prompts as data: ``tool_specs/prompts.json``, its shape, and its JSON Schema for editors.

A prompt is a way through several endpoints. In its texts, SQL and argument values ``{name}`` stands for an argument
of the prompt, ``{step}`` for the result handle of an earlier step and ``{step.column}`` for a value from its answer.
What a person typed gets its quotation marks doubled where it stands right after one, as SQL and OData want it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cipp_mcp.registry.files import folder

REFERENCE = re.compile(r"\{([a-z][a-z0-9_]*)(?:\.([A-Za-z_][A-Za-z0-9_.]*))?\}")
_NAME = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptArgument(_Model):
    """What a person fills in before the prompt is used."""

    name: _NAME
    title: str
    description: str
    required: bool = True
    kind: Annotated[Literal["tenant", "text"], Field(description="tenant: checked and completed from ListTenants.")] = (
        "text"
    )


class PromptStep(_Model):
    """One tool call: an endpoint, or one SELECT over earlier answers."""

    id: Annotated[_NAME | None, Field(description="The name by which later steps refer to this one.")] = None
    say: Annotated[str, Field(description="What this step finds out or does, for the model.")]
    endpoint: str | None = None
    arguments: dict[str, Any] = {}
    fields: list[str] = []
    limit: Annotated[int | None, Field(ge=1, le=2000)] = None
    preview: Annotated[bool, Field(description="Only shows the request of a change.")] = False
    query: Annotated[str | None, Field(description="One SELECT over results of earlier steps.")] = None
    after: Annotated[_NAME | None, Field(description="An earlier step without which this one makes no sense.")] = None

    @model_validator(mode="after")
    def _is_one_call(self) -> PromptStep:
        if (self.endpoint is None) == (self.query is None):
            raise ValueError("a step has either an endpoint or a query")
        return self

    def references(self) -> set[str]:
        """The names of prompt arguments and steps that this step builds on."""
        mentioned = {match[0] for text in strings([self.arguments, self.query]) for match in REFERENCE.findall(text)}
        return mentioned | ({self.after} if self.after else set())


class PromptSpec(_Model):
    """One prompt as it stands in the file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{2,63}$")]
    title: str
    description: str
    arguments: list[PromptArgument]
    task: Annotated[str, Field(description="What the model is asked to do; one or two sentences.")]
    steps: Annotated[list[PromptStep], Field(min_length=1)]
    report: Annotated[str, Field(description="What the person wants to read in the end.")]

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> PromptSpec:
        known = {argument.name for argument in self.arguments}
        for text in (self.task, self.report):
            _check(known, {match[0] for match in REFERENCE.findall(text)})
        arguments = frozenset(known)
        for step in self.steps:
            _check(known, step.references())
            for match in REFERENCE.finditer(step.query or ""):
                if match[1] in arguments and not is_quoted(match):
                    raise ValueError(f"in SQL {match[0]} must stand between quotation marks")
            if step.id in known:
                raise ValueError(f"{step.id!r} stands twice")
            known |= {step.id} if step.id else set()
        return self


def _check(known: set[str], mentioned: set[str]) -> None:
    if unknown := mentioned - known:
        raise ValueError(f"{sorted(unknown)[0]!r} is neither an argument nor an earlier step")


def is_quoted(match: re.Match[str]) -> bool:
    """Whether a reference stands right after a quotation mark."""
    return match.string[: match.start()].endswith("'")


def strings(value: Any) -> list[str]:
    """Every text in `value`, at any depth."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in strings(item)]


def read_prompts(source: Traversable | None = None) -> dict[str, PromptSpec]:
    """The prompts by name, in file order.

    Raises pydantic.ValidationError when one does not follow the schema.
    """
    text = ((source or folder()) / "prompts.json").read_text(encoding="utf-8")
    specs = [PromptSpec.model_validate(raw) for raw in json.loads(text)["prompts"]]
    return {spec.name: spec for spec in specs}


@cache
def prompts() -> dict[str, PromptSpec]:
    """The prompts of the installed catalogue; read once per process."""
    return read_prompts()


def prompts_schema() -> str:
    """The JSON Schema of ``tool_specs/prompts.json``, for completion in editors."""
    schema = PromptSpec.model_json_schema(ref_template="#/$defs/{model}")
    definitions = {**schema.pop("$defs"), "PromptSpec": schema}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Prompts: ways through several endpoints of CIPP",
        "type": "object",
        "required": ["prompts"],
        "properties": {
            "$schema": {"type": "string"},
            "prompts": {"type": "array", "items": {"$ref": "#/$defs/PromptSpec"}},
        },
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(document, indent=1) + "\n"
