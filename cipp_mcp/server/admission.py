"""What a check of a bearer token comes to: an identity, or a reason to keep its bearer out."""

from __future__ import annotations

from typing import Protocol

from mcp.server.auth.provider import AccessToken

from cipp_mcp.connection.identity import Identity
from cipp_mcp.state import State, StateLost


class Admitted(AccessToken):
    """A token that was accepted, as the SDK wants it, with the identity it stands for.

    The SDK binds a session to client id, issuer and subject.
    """

    identity: Identity


class NotAdmitted(Exception):
    """A token was not accepted. The message is for the log of this server; its bearer learns the status only."""

    def __init__(self, why: str, *, status: int = 401, error: str = "invalid_token") -> None:
        super().__init__(why)
        self.status = status
        self.error = error


class Unrevoked:
    """Keeps out who was revoked (``cipp-mcp revoke``), whatever token they bring."""

    def __init__(self, verifier: Verifier, state: State) -> None:
        self._verifier = verifier
        self._state = state

    async def verify(self, token: str) -> Admitted:
        """Who the bearer is; raises NotAdmitted, with 503 while it is not known who was revoked."""
        admitted = await self._verifier.verify(token)
        try:
            revoked = await self._state.revoked()
        except StateLost:
            raise NotAdmitted(
                "the shared state was never reached, so nobody knows who was revoked",
                status=503,
                error="temporarily_unavailable",
            ) from None
        if admitted.identity.name in revoked:
            raise NotAdmitted(f"{admitted.identity.shown} was revoked")
        return admitted


class Verifier(Protocol):
    """Checks the token of a request."""

    async def verify(self, token: str) -> Admitted:
        """Who the bearer is; raises NotAdmitted."""
        ...
