"""Results and outcomes of one caller, sealed, where every instance of the server finds them.

What Redis holds is compressed and encrypted (AES-256-GCM, NIST SP 800-38D) with a key derived from CIPP_STATE_KEY, and
bound to its owner and handle, so that whoever can write to Redis can neither read it nor pass one for another.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from cipp_mcp.state.state import State, StateLost

MAX_BYTES = 256 * 1024
"""The most a shared result may take, compressed."""

_MAX_TEXT = 8 * 1024 * 1024
_INLINE = 64 * 1024
_LIFETIME = 3600.0
_SEPARATOR = "\x1e"  # never inside a JSON text, whose rows may well hold line feeds (RFC 7464)
_HANDLE = re.compile(r"\b[rj]\d+([a-z]+)\b")


@dataclass(frozen=True)
class SharedResult:
    """A result of another instance: its rows as JSON texts, or None where it is too large to be shared."""

    source: str
    rows: list[str] | None


class Shelf:
    """What one caller, under one policy, shares between instances."""

    def __init__(self, state: State, owner: str, key: str) -> None:
        """`owner` names the caller and what the policy allows: what was read under another one stays out of reach."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._state = state
        self._owner = owner
        self._cipher = AESGCM(hashlib.sha256(b"cipp-mcp shelf " + key.encode()).digest())

    def foreign(self, text: str) -> list[str]:
        """The handles in `text` that other instances gave out."""
        return list(dict.fromkeys(m[0] for m in _HANDLE.finditer(text) if m[1] != self._state.tag))

    async def keep_result(self, handle: str, source: str, rows: Sequence[str], size: int) -> None:
        """Shares a result of `size` characters, or says where it is when it is too large. Silent when that fails."""
        packed = None
        if size <= _MAX_TEXT:
            records = [json.dumps({"source": source, "rows": len(rows)}), *rows]
            lines = _SEPARATOR.join(records)
            packed = await self._pack(lines)
        if packed is None or len(packed) > MAX_BYTES:
            packed = await self._pack(json.dumps({"source": source, "rows": None}))
        await self._put(handle, packed)

    async def result(self, handle: str) -> SharedResult | None:
        """The result that another instance keeps as `handle`. Raises StateLost."""
        text = await self._get(handle)
        if text is None:
            return None
        head, *rows = text.split(_SEPARATOR)
        about = json.loads(head)
        return SharedResult(about["source"], None if about["rows"] is None else rows)

    async def keep_outcome(self, handle: str, record: dict[str, Any]) -> None:
        """Shares how far the call behind `handle` is. Silent when that fails."""
        await self._put(handle, await self._pack(json.dumps(record)))

    async def outcome(self, handle: str) -> dict[str, Any] | None:
        """How far the call is that another instance runs as `handle`. Raises StateLost."""
        text = await self._get(handle)
        record: dict[str, Any] | None = None if text is None else json.loads(text)
        return record

    async def is_alive(self, handle: str) -> bool:
        """Whether the instance that gave out `handle` lives. Raises StateLost."""
        match = _HANDLE.fullmatch(handle)
        return match is not None and await self._state.is_alive(match[1])

    async def _put(self, handle: str, packed: bytes) -> None:
        nonce = secrets.token_bytes(12)
        sealed = nonce + self._cipher.encrypt(nonce, packed, self._bound(handle))
        try:
            await self._state.put(f"{self._owner}\0{handle}", sealed, _LIFETIME)
        except StateLost:
            return

    async def _get(self, handle: str) -> str | None:
        from cryptography.exceptions import InvalidTag

        sealed = await self._state.get(f"{self._owner}\0{handle}")
        if sealed is None:
            return None
        try:
            packed = self._cipher.decrypt(sealed[:12], sealed[12:], self._bound(handle))
        except (InvalidTag, ValueError):
            return None  # not ours: somebody else wrote it
        return zlib.decompress(packed).decode()

    def _bound(self, handle: str) -> bytes:
        return f"{self._owner}\0{handle}".encode("utf-8", "replace")

    async def _pack(self, text: str) -> bytes:
        data = text.encode("utf-8", "replace")
        return zlib.compress(data) if len(data) < _INLINE else await anyio.to_thread.run_sync(zlib.compress, data)
