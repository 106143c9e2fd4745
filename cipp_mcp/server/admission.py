"""What a check of a bearer token comes to: an identity, or a reason to keep its bearer out."""

from __future__ import annotations

from typing import Protocol

from mcp.server.auth.provider import AccessToken

from cipp_mcp.connection.identity import Identity


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


class Verifier(Protocol):
    """Checks the token of a request."""

    async def verify(self, token: str) -> Admitted:
        """Who the bearer is; raises NotAdmitted."""
        ...
