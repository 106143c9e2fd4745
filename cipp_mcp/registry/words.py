"""Takes names apart."""

from __future__ import annotations

import re

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+")


def split_name(name: str) -> list[str]:
    """The words of a camel-case name: ``ListMFAUsers`` -> List, MFA, Users."""
    return _WORDS.findall(name) or [name]


def canonical(name: str) -> str:
    """What two spellings of one endpoint have in common: CIPP has renamed some by case or a leading ``invoke-``."""
    return name.lower().removeprefix("invoke-")
