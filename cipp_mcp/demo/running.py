"""`DemoCipp`: starts the server in a thread, says how to reach it, and stops it."""

from __future__ import annotations

import datetime
import json
import socket
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cipp_mcp.demo import clients
from cipp_mcp.demo.recorded import Document, Override, Overrides, Recording

if TYPE_CHECKING:
    import uvicorn

    from cipp_mcp.demo.identity import Identity
    from cipp_mcp.demo.world.state import State

_PATIENCE = 30.0


class DemoCipp:
    """A CIPP deployment with its token endpoint on one loopback port, for as long as the ``with`` block lasts.

    The same `seed`, `users`, `tenants` and `today` give the same content; `today` moves all its dates.
    """

    tenant_id = clients.PARTNER_TENANT_ID
    client_id = clients.CLIENT_ID
    client_secret = clients.CLIENT_SECRET
    expired_client_secret = clients.EXPIRED_SECRET
    readonly_client_id = clients.READONLY_CLIENT_ID
    no_uri_client_id = clients.NO_URI_CLIENT_ID
    limited_client_id = clients.LIMITED_CLIENT_ID
    elsewhere_client_id = clients.ELSEWHERE_CLIENT_ID
    v2_client_id = clients.V2_CLIENT_ID

    def __init__(
        self,
        users: int = 300,
        tenants: int = 4,
        seed: int = 1,
        *,
        token_lifetime: int = 3600,
        today: datetime.date | None = None,
        queue_polls: int = 2,
        port: int = 0,
    ) -> None:
        from cipp_mcp.demo.world.state import State

        self.requests = Recording()
        self.token_requests = Recording()
        self._make_state = partial(State, users, tenants, seed, today, queue_polls)
        self.state: State = self._make_state()
        self._overrides = Overrides()
        self._document = Document()
        self._token_lifetime = token_lifetime
        self._wanted_port = port
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._identity: Identity | None = None
        self._port = 0
        self._ca_file = Path()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def authority(self) -> str:
        return self.url

    @property
    def ca_file(self) -> Path:
        return self._ca_file

    @property
    def identity(self) -> Identity:
        """The token endpoint, for tests that need a token of a special kind."""
        if self._identity is None:
            raise RuntimeError("the demo is not running")
        return self._identity

    def environment(self) -> dict[str, str]:
        """The settings of a server that should talk to this deployment."""
        return {
            "CIPP_URL": self.url,
            "CIPP_TENANT_ID": self.tenant_id,
            "CIPP_CLIENT_ID": self.client_id,
            "CIPP_CLIENT_SECRET": self.client_secret,
            "CIPP_AUTHORITY": self.authority,
            "SSL_CERT_FILE": str(self.ca_file),
        }

    def answer(
        self,
        endpoint: str,
        *,
        status: int = 200,
        body: Any = None,
        headers: dict[str, str] | None = None,
        content_type: str | None = None,
        times: int | None = None,
        delay: float = 0.0,
    ) -> None:
        """Answers calls of `endpoint` with this instead, the next `times` calls or all of them.

        `bytes` and `str` bodies go out as they are, anything else as JSON; `delay` is in seconds. Several limited
        answers for one endpoint are given in turn, before an unlimited one. The call does nothing to the state.
        ``token`` stands for the token endpoint.
        """
        self._overrides.add(endpoint, Override(status, body, dict(headers or {}), content_type, times, delay))

    def delay(self, endpoint: str, seconds: float, times: int | None = None) -> None:
        """Lets calls of `endpoint` take so long; what they do, they do at the end, wherever the caller is by then."""
        self._overrides.add(endpoint, Override(times=times, delay=seconds, genuine=True))

    def describe(self, document: Any) -> None:
        """Serves `document` as ``/openapi.json``, as container deployments do: `bytes` as they are, else JSON; None ends it."""
        is_raw = document is None or isinstance(document, bytes)
        self._document.content = document if is_raw else json.dumps(document).encode()

    @property
    def document_requests(self) -> Recording:
        """Requests for the description of the API, wherever they went."""
        return self._document.requests

    def restore(self) -> None:
        """Takes back everything that `answer` and `describe` laid down."""
        self._overrides.clear()
        self.describe(None)
        self._document.requests.clear()

    def reset(self) -> None:
        """Back to the beginning: the content, the records and the answers laid down; tokens stay valid."""
        self.restore()
        self.state = self._make_state()
        self.requests.clear()
        self.token_requests.clear()

    def revoke_tokens(self) -> None:
        """Every token issued so far gets 401 from now on."""
        self.identity.revoke()

    def start(self) -> None:
        """Starts the server; returns when it answers."""
        import uvicorn

        from cipp_mcp.demo import certificate
        from cipp_mcp.demo.identity import Identity
        from cipp_mcp.demo.server import Server

        self._folder = tempfile.TemporaryDirectory(prefix="cipp-demo-", ignore_cleanup_errors=True)
        files = certificate.make(Path(self._folder.name))
        self._ca_file = files.ca
        # asyncio switches Nagle's algorithm off only on sockets that say they are TCP.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", self._wanted_port))
        self._port = listener.getsockname()[1]
        self._identity = Identity(self._token_lifetime, self.url)
        app = Server(
            lambda: self.state,
            self._identity,
            self.url,
            self.requests,
            self.token_requests,
            self._overrides,
            self._document,
        )
        config = uvicorn.Config(
            app,
            ssl_certfile=files.certificate,
            ssl_keyfile=str(files.key),
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            backlog=256,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="cipp-demo", daemon=True
        )
        self._thread.start()
        end = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                self.stop()
                raise RuntimeError("the embedded CIPP did not start")
            time.sleep(0.002)

    def stop(self) -> None:
        """Stops the server without waiting for calls that are still under way."""
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = True
        if self._thread is not None:
            self._thread.join(timeout=2)
        if self._folder is not None:
            self._folder.cleanup()
        self._server, self._thread, self._folder = None, None, None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
