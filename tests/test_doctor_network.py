"""``cipp-mcp doctor`` names what stands between this machine and CIPP: names, proxies, TLS, wrong sites, clocks."""

from __future__ import annotations

import os
import socket
import ssl
import time
from pathlib import Path

import pytest

from cipp_mcp.demo import DemoCipp
from tests.examining import examined, first_failure
from tests.sites import certificate_for, proxy, site

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


async def test_a_host_without_an_address_is_named(demo: DemoCipp) -> None:
    found = first_failure(await examined(demo, {"CIPP_URL": "https://no-such-host.invalid"}))
    assert found.check == "cipp-host"
    assert "no address in DNS" in found.seen
    assert "CIPP_URL" in found.remedy


@pytest.mark.parametrize(
    ("setting", "check"), [("CIPP_URL", "cipp-host"), ("CIPP_AUTHORITY", "sign-in-host")], ids=["CIPP", "authority"]
)
async def test_a_closed_port_is_named(demo: DemoCipp, setting: str, check: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        findings = await examined(demo, {setting: f"https://127.0.0.1:{unused.getsockname()[1]}"})
    found = first_failure(findings)
    assert found.check == check
    assert "no connection to 127.0.0.1" in found.seen
    assert setting in found.remedy
    assert findings["tenants"].state == "skip"
    assert found.title in findings["tenants"].seen


async def test_a_port_without_tls_is_named(demo: DemoCipp) -> None:
    with proxy() as (address, _):
        found = first_failure(await examined(demo, {"CIPP_URL": address.replace("http:", "https:")}))
    assert (found.check, "TLS with 127.0.0.1 failed" in found.seen) == ("cipp-host", True)


async def test_an_issuer_that_is_not_trusted_is_named(demo: DemoCipp, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    found = first_failure(await examined(demo, trust=ssl.create_default_context))
    assert found.check == "cipp-host"
    assert "cipp-mcp demo authority" in found.seen
    assert "SSL_CERT_FILE" in found.remedy


@pytest.mark.parametrize(
    ("host", "days", "said", "remedy"),
    [("127.0.0.1", -1, "has expired", "clock"), ("cipp.contoso.com", 9, "not for 127.0.0.1", "CIPP_URL")],
    ids=["expired", "another host's"],
)
async def test_a_wrong_certificate_is_named(
    demo: DemoCipp, tmp_path: Path, host: str, days: int, said: str, remedy: str
) -> None:
    certificate, key, trust = certificate_for(tmp_path, host, days=days)
    with site(certificate, key, 401) as address:
        found = first_failure(await examined(demo, {"CIPP_URL": address}, trust=lambda: trust))
    assert found.check == "cipp-host"
    assert said in found.seen
    assert remedy in found.remedy


def _broken_bundle() -> ssl.SSLContext:
    return ssl.create_default_context(cafile="/no/such/bundle.pem")


async def test_a_bundle_that_cannot_be_read_is_named(demo: DemoCipp) -> None:
    found = first_failure(await examined(demo, trust=_broken_bundle))
    assert found.check == "cipp-host"
    assert "SSL_CERT_FILE" in found.seen
    assert "PEM" in found.remedy


async def test_a_proxy_that_works_is_used_and_named(demo: DemoCipp, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as (address, asked):
        monkeypatch.setenv("HTTPS_PROXY", address.replace("//", "//name:hunter2@"))
        findings = await examined(demo)
    assert "through the proxy 127.0.0.1" in findings["cipp-host"].seen
    assert {finding.state for finding in findings.values()} == {"pass"}
    assert asked
    assert "hunter2" not in str(findings)


async def test_a_proxy_that_refuses_is_named(demo: DemoCipp, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(407) as (address, _):
        monkeypatch.setenv("HTTPS_PROXY", address)
        found = first_failure(await examined(demo))
    assert found.check == "cipp-host"
    assert "407" in found.seen
    assert "HTTPS_PROXY" in found.remedy


async def test_a_proxy_without_an_address_is_named(demo: DemoCipp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://no-such-proxy.invalid:8080")
    found = first_failure(await examined(demo))
    assert found.check == "cipp-host"
    assert "the proxy no-such-proxy.invalid has no address" in found.seen
    assert "HTTPS_PROXY" in found.remedy


@pytest.fixture
def files(demo: DemoCipp) -> tuple[Path, Path]:
    """Certificate and key of the embedded CIPP, for a site beside it."""
    return demo.ca_file.with_name("server.pem"), demo.ca_file.with_name("server.key")


_SITES: dict[str, tuple[int, bytes, dict[str, str], str, str]] = {
    "front end": (200, b"<!doctype html><title>CIPP</title>", {"Content-Type": "text/html"}, "front end", "CIPP-API"),
    "other address": (
        301,
        b"",
        {"Location": "https://new.contoso.com/api"},
        "redirects to new.contoso.com",
        "CIPP_URL",
    ),
    "nothing there": (404, b"", {}, "nothing answers to /api", "CIPP_URL"),
    "stopped": (403, b"<h1>Error 403 - This web app is stopped.</h1>", {}, "is stopped", "Start the function app"),
    "starting": (503, b"<html>Service Unavailable", {"Content-Type": "text/html"}, "error page", "in a minute"),
}


@pytest.mark.parametrize(("status", "content", "headers", "said", "remedy"), _SITES.values(), ids=_SITES)
async def test_what_is_not_the_api_is_named(
    demo: DemoCipp,
    files: tuple[Path, Path],
    status: int,
    content: bytes,
    headers: dict[str, str],
    said: str,
    remedy: str,
) -> None:
    with site(*files, status, content, headers) as address:
        found = first_failure(await examined(demo, {"CIPP_URL": address}))
    assert found.check == "site"
    assert said in found.seen
    assert remedy in found.remedy


async def test_a_redirect_to_sign_in_is_an_api_that_asks_for_a_token(demo: DemoCipp, files: tuple[Path, Path]) -> None:
    with site(*files, 302, b"", {"Location": "/.auth/login/aad"}) as address:
        findings = await examined(demo, {"CIPP_URL": address})
    assert findings["site"].state == "pass"
    assert findings["api-client"].state == "fail"
    assert "saved to Azure" in findings["api-client"].remedy


async def test_an_api_that_asks_for_no_token_is_a_warning(demo: DemoCipp, files: tuple[Path, Path]) -> None:
    with site(*files, 200, b"{}", {"Content-Type": "application/json"}) as address:
        findings = await examined(demo, {"CIPP_URL": address})
    assert findings["site"].state == "warn"
    assert findings["api-client"].seen == "what answers there is not CIPP"


@pytest.mark.parametrize(
    ("minutes", "state", "said"),
    [(60, "fail", "60 minutes ahead"), (-60, "fail", "60 minutes behind"), (3, "warn", "3 min")],
)
async def test_a_wrong_clock_is_named(demo: DemoCipp, minutes: int, state: str, said: str) -> None:
    found = (await examined(demo, now=lambda: time.time() + minutes * 60))["clock"]
    assert (found.state, said in found.seen, "NTP" in found.remedy) == (state, True, True)
