"""The one TLS trust of the process: CIPP and the token endpoint are checked against the same roots."""

from __future__ import annotations

import os
import ssl
from functools import cache


@cache
def ssl_context() -> ssl.SSLContext:
    """The bundle named by SSL_CERT_FILE or REQUESTS_CA_BUNDLE, else the system's roots and certifi's.

    httpx reads only the first variable and requests (MSAL's usual client) only the second; here either serves
    both. certifi is added because a python.org build on macOS has no system roots.
    """
    bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle:
        return ssl.create_default_context(cafile=bundle)
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
