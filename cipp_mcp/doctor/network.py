"""Checks of the way to CIPP and to the sign-in host: names, proxy, TLS, what answers there, and the clocks."""

from __future__ import annotations

import email.utils
import http.client
import os
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread

from cipp_mcp.calls.answer import read_answer
from cipp_mcp.connection.wire import Answer
from cipp_mcp.doctor.case import Case, Verdict, failed, of_outcome, passed, warned
from cipp_mcp.registry import Registry

_PATIENCE = 10.0
_LOGIN = re.compile(
    r"/\.auth/login|login\.(microsoftonline|windows|partner\.microsoftonline)|chinacloudapi", re.IGNORECASE
)
_STOPPED = re.compile(rb"(app|site) (is|has been) (stopped|disabled|suspended)|site disabled", re.IGNORECASE)
_MOST_SKEW = 300
# OpenSSL's X509_V_ERR_* (openssl/x509_vfy.h).
_NOT_YET, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64


async def cipp_host(case: Case) -> Verdict:
    """CIPP's host has an address, can be connected to, and shows a certificate that is trusted."""
    where = case.settings.url or ""
    return await anyio.to_thread.run_sync(_reach, where, "CIPP_URL", case.trust, abandon_on_cancel=True)


async def sign_in_host(case: Case) -> Verdict:
    """The same for the token authority."""
    where, name = case.settings.authority, "CIPP_AUTHORITY"
    return await anyio.to_thread.run_sync(_reach, where, name, case.trust, abandon_on_cancel=True)


async def site(case: Case) -> Verdict:
    """Without a token, CIPP's API asks for one; a front end sends a page."""
    before = case.now()
    try:
        answer = await anyio.to_thread.run_sync(
            _get, f"{case.settings.url}/api/GetVersion", case.trust, abandon_on_cancel=True
        )
    except OSError as error:
        return failed(f"no answer to a plain request ({_said(error)})", "Try again in a minute: CIPP may be starting.")
    date = email.utils.parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else None
    if date is not None:
        case.clock_ahead = (before + case.now()) / 2 - date.timestamp()
    return _judge(answer)


async def clock(case: Case) -> Verdict:
    """This machine's clock agrees with that of CIPP's host."""
    ahead = case.clock_ahead
    if ahead is None:
        return passed("CIPP's host does not tell its time")
    if abs(ahead) <= 60:
        return passed("agrees with CIPP's host within a minute")
    seen = f"this machine is {abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} CIPP's host"
    remedy = "Set this machine's clock (NTP): certificates, tokens and logs depend on it."
    return failed(seen, remedy) if abs(ahead) > _MOST_SKEW else warned(seen, remedy)


def _judge(answer: Answer) -> Verdict:
    status, location = answer.status, answer.headers.get("location", "")
    page = "html" in answer.content_type.lower()
    if _STOPPED.search(answer.content):
        return failed(
            f"the host says that CIPP's function app is stopped (HTTP {status})",
            "Start the function app in the Azure portal, or ask whoever hosts your CIPP.",
        )
    if 300 <= status < 400:
        if _LOGIN.search(location):
            return passed(f"it sends callers without a token to sign in (HTTP {status})")
        return failed(
            f"it redirects to {urlsplit(location).netloc or location[:80] or 'nowhere'} (HTTP {status})",
            "Set CIPP_URL to the address that answers there, as CIPP shows it under Integrations > CIPP-API.",
        )
    if status in (401, 403):
        return passed(f"an API that asks for a token (HTTP {status})")
    if page or status >= 500:
        return of_outcome(read_answer(Registry.load()["GetVersion"], answer))
    if status == 404:
        return failed(
            "nothing answers to /api there (HTTP 404)",
            "Set CIPP_URL to the address that CIPP shows under Integrations > CIPP-API; /api is added where it is missing.",
        )
    if status < 300:
        return warned(
            f"CIPP answered without asking for a token (HTTP {status})",
            "Anybody can call it: in Azure, let the function app's authentication demand sign-in.",
        )
    return of_outcome(read_answer(Registry.load()["GetVersion"], answer))


def _reach(url: str, setting: str, trust: Callable[[], ssl.SSLContext]) -> Verdict:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    proxy = _proxy(parts.scheme, host)
    bundle = next((name for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE") if os.environ.get(name)), None)
    first = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    first_host, first_port = (first.hostname or "", first.port or 80) if proxy else (host, port)
    who = f"the proxy {first_host}" if proxy else host
    try:
        context = trust()
    except (OSError, ssl.SSLError) as error:
        return failed(
            f"the certificate bundle in {bundle or 'this system'} cannot be used ({_said(error)})",
            f"{bundle or 'SSL_CERT_FILE'} must name a file of PEM certificates.",
        )
    try:
        addresses = sorted(
            {str(entry[4][0]) for entry in socket.getaddrinfo(first_host, first_port, type=socket.SOCK_STREAM)}
        )
    except OSError as error:
        remedy = "Check HTTPS_PROXY." if proxy else f"Check the spelling of {setting}, and this machine's DNS or proxy."
        return failed(f"{who} has no address in DNS ({_said(error)})", remedy)
    try:
        _connect(parts.scheme, host, port, (first_host, first_port) if proxy else None, context, first)
    except ssl.SSLCertVerificationError as error:
        return _distrusted(error, host, None if proxy else port, setting, bundle)
    except ssl.SSLError as error:
        return failed(
            f"TLS with {host} failed ({_said(error)})", f"Check that {setting} names an HTTPS address and port."
        )
    except OSError as error:
        if proxy:
            return failed(
                f"{who} gave no way to {host} ({_said(error)})",
                f"Check HTTPS_PROXY and its credentials, or name {host} in NO_PROXY.",
            )
        return failed(
            f"no connection to {host} ({', '.join(addresses[:2])}) on port {port} ({_said(error)})",
            f"Check {setting}, the firewall, and whether a proxy is needed (HTTPS_PROXY).",
        )
    way = f"through {who}" if proxy else f"at {', '.join(addresses[:2])}"
    trusted = f"; trusted roots: {bundle}" if bundle else ""
    return passed(f"{host} {way}{', TLS' if parts.scheme == 'https' else ''}{trusted}")


def _connect(
    scheme: str, host: str, port: int, proxy: tuple[str, int] | None, context: ssl.SSLContext, proxy_url: Any
) -> None:
    if scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            *(proxy or (host, port)), timeout=_PATIENCE, context=context
        )
    else:
        connection = http.client.HTTPConnection(*(proxy or (host, port)), timeout=_PATIENCE)
    if proxy:
        headers = {}
        if proxy_url.username:
            import base64
            from urllib.parse import unquote

            pair = f"{unquote(proxy_url.username)}:{unquote(proxy_url.password or '')}"
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
        connection.set_tunnel(host, port, headers)
    try:
        connection.connect()
    finally:
        connection.close()


def _distrusted(
    error: ssl.SSLCertVerificationError, host: str, port: int | None, setting: str, bundle: str | None
) -> Verdict:
    if error.verify_code in (_EXPIRED, _NOT_YET):
        word = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
        return failed(
            f"the certificate of {host} {word}", "Check this machine's clock; if it is right, renew the certificate."
        )
    if error.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
        return failed(
            f"the certificate there is not for {host}", f"Check {setting}: the host's name must be the certificate's."
        )
    issuer = _issuer(host, port) if port else ""
    by = f", issued by {issuer}," if issuer else ""
    remedy = (
        "If a proxy or firewall inspects TLS, export its root certificate as PEM and name the file in SSL_CERT_FILE."
    )
    if bundle:
        remedy = f"{bundle} lacks this issuer: add its root certificate to the bundle, or unset {bundle}."
    return failed(f"the certificate of {host}{by} is not trusted ({error.verify_message})", remedy)


def _issuer(host: str, port: int) -> str:
    """Who signed the certificate that the host shows, looked at without trusting it; empty if it cannot be had."""
    from cryptography import x509

    try:
        pem = ssl.get_server_certificate((host, port), timeout=_PATIENCE)
        return x509.load_pem_x509_certificate(pem.encode()).issuer.rfc4514_string()[:120]
    except (OSError, ValueError):
        return ""


def _proxy(scheme: str, host: str) -> str:
    """The proxy that the environment or the system names for `host`; empty for none."""
    return "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme, "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _get(url: str, trust: Callable[[], ssl.SSLContext]) -> Answer:
    """A plain GET without a token; raises OSError when nothing answers."""
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust()), _NoRedirect)
    request = urllib.request.Request(url, headers={"User-Agent": "cipp-mcp", "Accept": "application/json"})
    try:
        response = opener.open(request, timeout=3 * _PATIENCE)
    except urllib.error.HTTPError as error:
        response = error
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {type(error).__name__}") from None
    with response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        content = response.read(65536)
        return Answer(response.status, headers.get("content-type", ""), headers, content, 0.0)


def _said(error: BaseException) -> str:
    inner = getattr(error, "reason", None)
    if isinstance(inner, OSError):
        error = inner
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:120]
