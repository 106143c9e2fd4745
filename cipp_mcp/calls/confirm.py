"""Confirmations: sealed, bound to one call and one caller, valid once and for five minutes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

from cipp_mcp.errors import Refused
from cipp_mcp.state import ProcessState, State, StateLost

LIFETIME = 300.0
_CLOCKS_APART = 60.0
"""By how much the clocks of two instances may differ: one whose clock is behind still takes what has expired here."""

_VERSION = "1"


class Confirmations:
    """Issues and redeems confirmation tokens.

    A token is ``expiry.nonce.typed.tag``: the tag is an HMAC-SHA256 over the rest, the caller and the digest of the
    call, so nothing about the call is in it and nothing of it can be changed. ``typed`` is a keyed digest of the text
    that the person has to type, or ``-``. Another process with the same key accepts the token; that it is used once is
    known to all that share `state`.
    """

    def __init__(self, key: str | None, state: State | None = None) -> None:
        secret = key.encode() if key else secrets.token_bytes(32)
        self._key = hashlib.sha256(b"cipp-mcp confirmation " + secret).digest()
        self._state = state or ProcessState()

    def issue(self, caller: str, digest: str, typed: str | None = None) -> str:
        """A token for the call of `digest` by `caller`; `typed` is what has to be typed to approve it."""
        expiry, nonce = str(int(time.time() + LIFETIME)), secrets.token_urlsafe(12)
        wanted = "-" if typed is None else self._tag("typed", nonce, _folded(typed))
        return ".".join((expiry, nonce, wanted, self._tag(caller, digest, expiry, nonce, wanted)))

    async def redeem(self, token: str, caller: str, digest: str, typed: str | None = None) -> bool:
        """Accepts `token` once, with what the person `typed`; returns whether anything had to be typed.

        Raises Refused when it is forged, for another call or caller, expired, already used, or typed wrongly, and
        when it cannot be told whether it was used.
        """
        parts = token.split(".")
        expiry, nonce, wanted, tag = parts if len(parts) == 4 else ("", "", "", "")
        if not expiry.isdigit() or not _same(tag, self._tag(caller, digest, expiry, nonce, wanted)):
            raise _invalid("belongs to another call, another caller or another server")
        now = time.time()
        if now > int(expiry):
            raise _invalid("has expired")
        try:
            is_first = await self._state.use_once(nonce, int(expiry) - now + _CLOCKS_APART)
        except StateLost:
            raise Refused(
                "Whether this confirmation has been used before cannot be told now, because the state that the "
                "instances of this server share (CIPP_STATE_URL) cannot be reached. Nothing was changed.",
                hint="Try again in a while; reads go on working.",
                reason="state",
            ) from None
        if not is_first:
            raise _invalid("has already been used")
        if wanted == "-":
            return False
        if not _same(wanted, self._tag("typed", nonce, _folded(typed or ""))):
            raise Refused(
                "What was typed is not the name of what would be hit. Nothing was changed.",
                hint="Make the call again to be asked anew.",
                reason="typed wrongly",
            )
        return True

    def _tag(self, *parts: str) -> str:
        message = b"\x00".join(part.encode("utf-8", "replace") for part in (_VERSION, *parts))
        return base64.urlsafe_b64encode(hmac.new(self._key, message, hashlib.sha256).digest()).decode().rstrip("=")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _folded(text: str) -> str:
    return text.strip().casefold()


def call_digest(value: Any) -> str:
    """A digest of everything that a confirmation is bound to."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _invalid(why: str) -> Refused:
    return Refused(
        f"The confirmation {why}. Nothing was changed.",
        hint="Make the call again without it to be asked anew.",
        reason="confirmation",
    )
