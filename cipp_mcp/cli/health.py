"""``python -m cipp_mcp.cli.health``: whether the HTTP server of this container is alive; for its health check.

Asks /healthz at CIPP_HTTP_LISTEN. Exits with 0 when it answers 200, and where CIPP_HTTP_LISTEN is not set: a container
that serves stdio lives as long as its process. Exits with 1 otherwise, and says why on stderr.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import sys

from cipp_mcp.http_settings import listen

_SECONDS = 4.0


def main() -> int:
    text = os.environ.get("CIPP_HTTP_LISTEN", "").strip()
    if not text:
        return 0
    try:
        address = listen(text)
        connection = http.client.HTTPConnection(_reachable(address.host), address.port, timeout=_SECONDS)
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"cipp-mcp: {text}: {error}", file=sys.stderr)
        return 1
    if status != 200:
        print(f"cipp-mcp: {text}: HTTP {status}", file=sys.stderr)
    return 0 if status == 200 else 1


def _reachable(host: str) -> str:
    """Where a server that listens on `host` can be reached from its own machine."""
    if host == "localhost" or not ipaddress.ip_address(host).is_unspecified:
        return host
    return "::1" if ":" in host else "127.0.0.1"


if __name__ == "__main__":
    raise SystemExit(main())
