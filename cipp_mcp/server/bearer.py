"""Static bearer tokens: a file with the hash of each caller's token, read again whenever it changes.

    {"callers": {"night-agent": {"sha256": "<64 hex digits>", "groups": ["helpdesk"]}}}

A token is 256 random bits, so a plain hash of it can be shown to anybody; `sha256` may be a list while a token is
being replaced by a new one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cipp_mcp.connection.identity import Identity
from cipp_mcp.errors import SettingsError
from cipp_mcp.server.admission import Admitted, NotAdmitted
from cipp_mcp.watched import WatchedFile

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", to_lower=True)]
CallerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._-]{0,99}$")]


class Entry(BaseModel):
    """One caller of the file."""

    model_config = ConfigDict(extra="forbid")

    sha256: Hash | Annotated[list[Hash], Field(min_length=1)]
    groups: list[str] = []

    @property
    def hashes(self) -> list[str]:
        return [self.sha256] if isinstance(self.sha256, str) else self.sha256


class TokenFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    callers: dict[CallerName, Entry]

    @classmethod
    def read(cls, path: Path) -> TokenFile:
        """The checked file at `path`; raises SettingsError that names the place and what is wrong there."""
        try:
            file = cls.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
        except ValidationError as error:
            # Not the values: somebody may have put a token where its hash belongs.
            said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            raise SettingsError(f"Token file {path} not accepted: {said}") from None
        except (OSError, ValueError) as error:
            raise SettingsError(f"Token file {path} not accepted: {error}") from None
        owners: dict[str, str] = {}
        for name, entry in file.callers.items():
            for known in entry.hashes:
                if owners.setdefault(known, name) != name:
                    raise SettingsError(
                        f"Token file {path} not accepted: {owners[known]} and {name} have the same token"
                    )
        return file


class StaticTokens:
    """Checks tokens against the file at `path`; raises SettingsError when it is wrong at the start."""

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, TokenFile.read)

    async def verify(self, token: str) -> Admitted:
        """The caller whose token this is; every hash is compared, in constant time."""
        given = token_hash(token)
        found: tuple[str, Entry] | None = None
        for name, entry in self._file.content.callers.items():
            for known in entry.hashes:
                if hmac.compare_digest(given, known):
                    found = (name, entry)
        if found is None:
            raise NotAdmitted("no caller has this token")
        name, entry = found
        identity = Identity(name, groups=frozenset(entry.groups))
        return Admitted(token="", client_id=name, subject=name, scopes=[], identity=identity)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def new_token() -> str:
    """A token that nobody can guess; the prefix lets secret scanners recognise it."""
    return "cippmcp_" + secrets.token_urlsafe(32)
