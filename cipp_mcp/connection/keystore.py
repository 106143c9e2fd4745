"""The client secret in the system's key store, through the optional package `keyring`.

One entry per API client: service ``cipp-mcp``, user = client id. `CIPP_CLIENT_SECRET=keyring` reads it.
"""

from __future__ import annotations

from types import ModuleType

from cipp_mcp.errors import CippError

IN_KEY_STORE = "keyring"
"""The value of CIPP_CLIENT_SECRET that means: it is in the key store. No secret of Entra's is this short."""

SERVICE = "cipp-mcp"
_INSTALL = "Install it beside this server: pip install 'cipp-mcp[keyring]'; or use CIPP_CLIENT_SECRET_FILE or CIPP_CLIENT_SECRET."


class KeyStoreError(CippError):
    """The key store cannot be used, or has no entry for this client."""


def store_secret(client_id: str, secret: str) -> str:
    """Puts `secret` under `client_id`, reads it back, and returns the store's name for people.

    Raises KeyStoreError where there is no key store, it is locked, or it gave back something else.
    """
    keyring = _keyring()
    try:
        keyring.set_password(SERVICE, client_id, secret)
        kept = keyring.get_password(SERVICE, client_id)
    except Exception as error:  # every backend raises its own kinds
        raise _unusable(error) from None
    if kept != secret:
        raise KeyStoreError(f"The key store {_name(keyring)} did not keep the secret.", hint=_INSTALL)
    return _name(keyring)


def stored_secret(client_id: str) -> str:
    """The secret under `client_id`. May wait for a person who unlocks the store.

    Raises KeyStoreError where there is no key store, it is locked, or it has no such entry.
    """
    keyring = _keyring()
    try:
        secret = keyring.get_password(SERVICE, client_id)
    except Exception as error:  # every backend raises its own kinds
        raise _unusable(error) from None
    if not secret:
        raise KeyStoreError(
            f"The key store {_name(keyring)} has no secret for client {client_id}.",
            hint="Store it with: cipp-mcp setup",
        )
    return str(secret)


def key_store_name() -> str:
    """The name of the key store in use; KeyStoreError if `keyring` is not installed or finds none."""
    keyring = _keyring()
    if keyring.get_keyring().priority <= 0:
        raise KeyStoreError("This system has no key store that keyring can use.", hint=_INSTALL)
    return _name(keyring)


def _keyring() -> ModuleType:
    try:
        import keyring
    except ImportError:
        raise KeyStoreError(
            "The Python package keyring, which reads the key store, is missing.", hint=_INSTALL
        ) from None
    return keyring


def _name(keyring: ModuleType) -> str:
    return str(keyring.get_keyring().name)


def _unusable(error: Exception) -> KeyStoreError:
    return KeyStoreError(
        f"The system's key store could not be used ({type(error).__name__}).",
        hint="Unlock it and try again; on a machine without one, use CIPP_CLIENT_SECRET_FILE.",
    )
