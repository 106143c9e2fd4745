"""Tokens under stress, and from every source: one request however many wait, clear errors, recovery without a restart."""

from __future__ import annotations

import base64
import datetime
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cipp_mcp.connection.auth import TokenSource
from cipp_mcp.connection.client import CippClient
from cipp_mcp.connection.tls import ssl_context
from cipp_mcp.connection.wire import Request
from cipp_mcp.demo import DemoCipp
from cipp_mcp.errors import SettingsError, TokenError
from cipp_mcp.settings import Settings
from tests.conftest import settings_for

pytestmark = pytest.mark.anyio

_PING = Request("ListTenants", "GET")


@pytest.fixture(autouse=True)
def _no_token_requests_before(demo: DemoCipp) -> None:
    demo.token_requests.clear()


async def burst(client: CippClient, count: int) -> list[int]:
    """The statuses of `count` calls that start together."""
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await client.send(_PING)).status)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return statuses


async def test_five_hundred_calls_on_a_cold_cache_make_one_token_request(demo: DemoCipp) -> None:
    demo.answer("ListTenants", body=[])
    demo.answer("token", status=503, body=b"", times=1, delay=0.1)  # even when the first try fails
    async with CippClient(settings_for(demo), ssl_context) as client:
        statuses = await burst(client, 500)
    assert statuses == [200] * 500
    assert [request.status for request in demo.token_requests] == [503, 200]


async def test_a_revocation_in_the_middle_of_a_burst_costs_one_refresh(demo: DemoCipp) -> None:
    demo.answer("ListTenants", body=[])
    async with CippClient(settings_for(demo), ssl_context) as client:
        await client.send(_PING)
        async with anyio.create_task_group() as group:
            group.start_soon(burst, client, 100)
            while len(demo.requests) < 30:
                await anyio.lowlevel.checkpoint()
            demo.revoke_tokens()
    assert len(demo.token_requests) == 2
    assert [request.status for request in demo.requests].count(200) == 101


async def test_a_client_whose_tokens_are_never_accepted_does_not_flood_the_authority(demo: DemoCipp) -> None:
    async with CippClient(settings_for(demo, CIPP_CLIENT_ID=demo.v2_client_id), ssl_context) as client:
        for _ in range(10):
            assert (await client.send(_PING)).status == 401
    assert len(demo.token_requests) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 503, "body": b"<html>down</html>"}, "HTTP 503"),
        ({"status": 429, "body": {"error": "too_many"}, "headers": {"Retry-After": "7"}}, "limiting requests"),
        ({"status": 200, "body": b"this is no token"}, "could not be used"),
        ({"status": 200, "body": {"token_type": "Bearer"}}, "gave no token"),
        ({"status": 200, "body": {"access_token": 7}}, "gave no token"),
        ({"status": 200, "body": b" " * 3_000_000}, "could not be used"),
        ({"status": 400, "body": {"error": "invalid_request", "error_description": "no number"}}, "invalid_request"),
    ],
    ids=["down", "limiting", "garbage", "no token in it", "a number", "3 MB", "unknown refusal"],
)
async def test_an_authority_out_of_order_is_named_and_used_again_when_it_recovers(
    demo: DemoCipp, answer: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cipp_mcp.connection.auth._FIRST_PAUSE", 0.02)
    demo.answer("token", **answer)
    source = TokenSource(settings_for(demo), ssl_context)
    with pytest.raises(TokenError, match=said) as raised:
        await source.token()
    assert raised.value.hint
    assert "CIPP was not called" in raised.value.message
    demo.restore()
    monkeypatch.setattr(source, "_not_before", 0.0)  # the seconds that the authority asked for are over
    assert (await source.token()).value
    source.close()


async def test_a_slow_authority_holds_up_no_call_beyond_its_time(demo: DemoCipp) -> None:
    demo.answer("token", body={}, delay=2)
    async with CippClient(settings_for(demo, CIPP_TIMEOUT="1"), ssl_context) as client:
        began = time.monotonic()
        with pytest.raises(Exception, match=r"within 1 s .*waiting for a token"):
            await client.send(_PING)
    assert time.monotonic() - began < 1.9
    assert not demo.requests
    while not demo.token_requests:
        await anyio.sleep(0.01)  # the answer that nobody waits for any more


async def test_a_limit_that_the_authority_sets_is_kept(demo: DemoCipp) -> None:
    demo.answer("token", status=429, body={}, headers={"Retry-After": "20"})
    source = TokenSource(settings_for(demo), ssl_context)
    for _ in range(5):
        with pytest.raises(TokenError, match="limiting"):
            await source.token()
    assert len(demo.token_requests) == 1
    source.close()


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_clock_that_is_ten_minutes_wrong_does_no_harm(
    demo: DemoCipp, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = time.time
    async with CippClient(settings_for(demo), ssl_context) as client:
        assert (await client.send(_PING)).status == 200
        # The clock jumps while the server runs: the cached token stays in use, and a new one can be had.
        monkeypatch.setattr("msal.token_cache.time.time", lambda: right() + minutes * 60)
        assert (await client.send(_PING)).status == 200
        assert len(demo.token_requests) == 1
        demo.revoke_tokens()
        monkeypatch.setattr("msal.token_cache.time.time", right)
        assert (await client.send(_PING)).status == 200
    assert len(demo.token_requests) == 2


async def test_a_token_is_renewed_while_the_old_one_still_serves(
    demo: DemoCipp, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = TokenSource(settings_for(demo), ssl_context)
    old = await source.token()
    old.renew_at = 0.0
    demo.answer("token", status=500, body=b"")
    assert (await source.token()) is old
    while source._acquisition is not None:
        await anyio.sleep(0.01)
    demo.restore()
    assert (await source.token()) is old  # a failed renewal is not noticed
    monkeypatch.setattr(source, "_renew_not_before", 0.0)
    assert (await source.token()) is old
    while source._acquisition is not None:
        await anyio.sleep(0.01)
    assert (await source.token()) is not old
    source.close()


async def test_a_new_secret_in_the_file_is_used_without_a_restart(demo: DemoCipp, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("an old one\n", encoding="utf-8")
    settings = with_credential(demo, CIPP_CLIENT_SECRET_FILE=str(file))
    async with CippClient(settings, ssl_context) as client:
        with pytest.raises(TokenError, match="AADSTS7000215"):
            await client.send(_PING)
        file.write_text(f"\ufeff{demo.client_secret}\n", encoding="utf-8")
        assert (await client.send(_PING)).status == 200
        file.write_text("rotated away", encoding="utf-8")
        demo.revoke_tokens()
        with pytest.raises(TokenError, match="AADSTS7000215"):
            await client.send(_PING)
        file.unlink()
        with pytest.raises(TokenError, match="CIPP_CLIENT_SECRET_FILE cannot be read"):
            await client.send(_PING)


def with_credential(demo: DemoCipp, environment: dict[str, str] | None = None, **changes: str) -> Settings:
    """Settings with another credential than the secret."""
    own = {name: value for name, value in demo.environment().items() if name != "CIPP_CLIENT_SECRET"}
    return Settings.from_environment(own | changes | (environment or {}))


def certificate_files(folder: Path, password: bytes | None) -> dict[str, Path]:
    """A self-signed certificate as one PEM file and as PFX."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import pkcs12
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cipp-mcp test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cipher = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, cipher) + certificate.public_bytes(pem)
    files = {"pem": folder / "client.pem", "pfx": folder / "client.pfx"}
    files["pem"].write_bytes(text)
    files["pfx"].write_bytes(pkcs12.serialize_key_and_certificates(b"client", key, certificate, None, cipher))
    return files


@pytest.mark.parametrize("form", ["pem", "pfx"])
@pytest.mark.parametrize("password", [None, "sesame"], ids=["open", "with a password"])
async def test_a_certificate_signs_in(demo: DemoCipp, tmp_path: Path, form: str, password: str | None) -> None:
    file = certificate_files(tmp_path, password.encode() if password else None)[form]
    changes = {"CIPP_CLIENT_CERTIFICATE": str(file)}
    settings = with_credential(demo, changes | ({"CIPP_CLIENT_CERTIFICATE_PASSWORD": password} if password else {}))
    async with CippClient(settings, ssl_context) as client:
        assert (await client.send(_PING)).status == 200
    sent = demo.token_requests[-1].body
    header = json.loads(base64.urlsafe_b64decode(sent["client_assertion"].split(".")[0] + "=="))
    assert header["alg"] == "PS256"
    assert "x5t#S256" in header
    assert "client_secret" not in sent


@pytest.mark.parametrize(
    ("content", "password", "said"),
    [
        (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", None, "both the private key"),
        (b"\x30\x82nonsense", None, "neither PEM nor a PFX"),
        (None, "wrong", "neither PEM nor a PFX"),
    ],
    ids=["no key", "no certificate at all", "wrong password"],
)
async def test_a_certificate_that_cannot_be_used_is_named(
    demo: DemoCipp, tmp_path: Path, content: bytes | None, password: str | None, said: str
) -> None:
    file = certificate_files(tmp_path, b"right")["pfx"]
    if content is not None:
        file.write_bytes(content)
    changes = {"CIPP_CLIENT_CERTIFICATE": str(file)}
    settings = with_credential(demo, changes | ({"CIPP_CLIENT_CERTIFICATE_PASSWORD": password} if password else {}))
    source = TokenSource(settings, ssl_context)
    with pytest.raises(TokenError, match=said):
        await source.token()
    assert "wrong" not in repr(settings)
    source.close()


async def test_workload_identity_sends_the_token_that_the_platform_renews(demo: DemoCipp, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("aaa.bbb.first", encoding="ascii")
    settings = with_credential(demo, {"AZURE_FEDERATED_TOKEN_FILE": str(file)}, CIPP_IDENTITY="workload")
    async with CippClient(settings, ssl_context) as client:
        assert (await client.send(_PING)).status == 200
        file.write_text("aaa.bbb.second", encoding="ascii")
        demo.revoke_tokens()
        assert (await client.send(_PING)).status == 200
    assert [request.body["client_assertion"] for request in demo.token_requests] == ["aaa.bbb.first", "aaa.bbb.second"]


class _Platform(BaseHTTPRequestHandler):
    """The identity endpoint of an App Service (IDENTITY_ENDPOINT, IDENTITY_HEADER)."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        good = self.headers.get("X-IDENTITY-HEADER") == "key"
        answer = {"access_token": "aaa.bbb.managed", "expires_on": str(int(time.time()) + 3600), "resource": "x"}
        content = json.dumps({**answer, "token_type": "Bearer"} if good else {"statusCode": 400}).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Platform)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "key")
    _Platform.asked.clear()
    yield _Platform.asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("identifier", [None, "11111111-2222-3333-4444-555555555555"], ids=["system", "user-assigned"])
async def test_a_managed_identity_is_exchanged_for_the_api_client(
    demo: DemoCipp, platform: list[str], identifier: str | None
) -> None:
    changes = {"CIPP_MANAGED_IDENTITY_ID": identifier} if identifier else {}
    async with CippClient(with_credential(demo, changes, CIPP_IDENTITY="managed"), ssl_context) as client:
        assert (await client.send(_PING)).status == 200
    assert demo.token_requests[-1].body["client_assertion"] == "aaa.bbb.managed"
    assert "AzureADTokenExchange" in platform[0]
    assert (identifier or "client_id") in platform[0] or identifier is None


async def test_a_managed_identity_that_is_not_there_is_named(
    demo: DemoCipp, platform: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    source = TokenSource(with_credential(demo, CIPP_IDENTITY="managed"), ssl_context)
    with pytest.raises(TokenError, match="managed identity gave no token") as raised:
        await source.token()
    assert "CIPP_MANAGED_IDENTITY_ID" in str(raised.value.hint)
    assert not demo.token_requests
    source.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CIPP_CLIENT_SECRET": "x", "CIPP_IDENTITY": "managed"}, "both set"),
        ({"CIPP_CLIENT_CERTIFICATE_PASSWORD": "hidden"}, "without CIPP_CLIENT_CERTIFICATE"),
        ({"CIPP_IDENTITY": "workload"}, "AZURE_FEDERATED_TOKEN_FILE"),
        ({"CIPP_IDENTITY": "magic"}, "allowed are workload, managed"),
        ({"CIPP_MANAGED_IDENTITY_ID": "11111111-2222-3333-4444-555555555555"}, "without CIPP_IDENTITY=managed"),
    ],
)
def test_a_credential_that_makes_no_sense_stops_the_start(changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        Settings.from_environment(changes)
    assert "hidden" not in raised.value.message
    assert os.environ.get("AZURE_FEDERATED_TOKEN_FILE") is None
