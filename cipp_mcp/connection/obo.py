"""Tokens for CIPP in the name of one person: the on-behalf-of exchange of the token with which that person came in.

learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from cipp_mcp.connection.auth import TokenSource
from cipp_mcp.settings import Settings


class OnBehalfOf(TokenSource):
    """The token source of exactly one person, with an MSAL application and cache of its own.

    Nothing in it is shared with another person's: a mix-up would let CIPP act in the wrong name.
    """

    def __init__(self, settings: Settings, ssl_context: Callable[[], ssl.SSLContext], assertion: str) -> None:
        super().__init__(settings, ssl_context)
        self._assertion = assertion

    def present(self, assertion: str) -> None:
        """Exchanges this newer token of the same person from now on."""
        self._assertion = assertion

    def _ask(self, application: Any) -> Any:
        return application.acquire_token_on_behalf_of(self._assertion, scopes=[self._settings.token_scope])
