"""The client secret can live in the system's key store, and a server started by a host finds it there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.core import load_keyring

from cipp_mcp.connection.keystore import KeyStoreError, key_store_name, store_secret, stored_secret
from cipp_mcp.demo import DemoCipp
from cipp_mcp.doctor import Finding, examine
from tests.conftest import in_memory, over_stdio, read, settings_for
from tests.file_keyring import FileKeyring

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file in which the fake key store of this test keeps its entries."""
    file = tmp_path / "keys.json"
    monkeypatch.setenv("TEST_KEYS_FILE", str(file))
    before = keyring.get_keyring()
    keyring.set_keyring(load_keyring("tests.file_keyring.FileKeyring"))
    yield file
    keyring.set_keyring(before)


async def _credential(demo: DemoCipp) -> Finding:
    findings = await examine({**demo.environment(), "CIPP_CLIENT_SECRET": "keyring"})
    return next(finding for finding in findings if finding.check == "credential")


async def test_a_server_takes_its_secret_from_the_key_store(demo: DemoCipp, kept: Path) -> None:
    store_secret(demo.client_id, demo.client_secret)
    environment = {
        **demo.environment(),
        "CIPP_CLIENT_SECRET": "keyring",
        "PYTHON_KEYRING_BACKEND": "tests.file_keyring.FileKeyring",
        "TEST_KEYS_FILE": str(kept),
    }
    async with over_stdio(environment) as client:
        assert (await read(client, "ListTenants"))["outcome"] == "ok"


async def test_secrets_of_several_clients_are_kept_apart(demo: DemoCipp) -> None:
    store_secret(demo.client_id, demo.client_secret)
    store_secret(demo.readonly_client_id, "another")
    assert stored_secret(demo.client_id) == demo.client_secret
    assert (await _credential(demo)).state == "pass"


async def test_a_secret_that_was_never_stored_is_named(demo: DemoCipp) -> None:
    async with in_memory(settings_for(demo, CIPP_CLIENT_SECRET="keyring")) as client:
        reply = await read(client, "ListTenants")
    assert f"no secret for client {demo.client_id}" in reply["messages"][0]
    assert "cipp-mcp setup" in reply["hint"]
    found = await _credential(demo)
    assert (found.state, "cipp-mcp setup" in found.remedy) == ("fail", True)


async def test_a_locked_key_store_is_named(demo: DemoCipp) -> None:
    keyring.set_keyring(load_keyring("tests.file_keyring.LockedKeyring"))
    found = await _credential(demo)
    assert found.state == "fail"
    assert "could not be used" in found.seen
    assert "Unlock it" in found.remedy


async def test_a_missing_keyring_package_is_named(demo: DemoCipp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    found = await _credential(demo)
    assert found.state == "fail"
    assert "pip install 'cipp-mcp[keyring]'" in found.remedy


def test_a_system_without_a_key_store_is_named() -> None:
    keyring.set_keyring(load_keyring("keyring.backends.fail.Keyring"))
    with pytest.raises(KeyStoreError) as caught:
        key_store_name()
    assert "CIPP_CLIENT_SECRET_FILE" in str(caught.value.hint)


def test_a_store_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileKeyring, "set_password", lambda *_: None)
    with pytest.raises(KeyStoreError, match="did not keep"):
        store_secret("x", "y")
