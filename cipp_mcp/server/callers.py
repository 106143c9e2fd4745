"""From who called to what belongs to them: made at the first call, kept apart from all others, closed when idle."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from anyio import move_on_after
from anyio.abc import TaskGroup

from cipp_mcp.calls.caller import Caller
from cipp_mcp.calls.confirm import LIFETIME
from cipp_mcp.calls.dispatcher import Dispatcher
from cipp_mcp.calls.policy import Policy, PolicyFile, policy_for
from cipp_mcp.calls.queues import Client
from cipp_mcp.connection.identity import LOCAL, Identity
from cipp_mcp.errors import Busy
from cipp_mcp.results.store import MAX_BYTES
from cipp_mcp.settings import Settings
from cipp_mcp.state import State
from cipp_mcp.watched import WatchedFile

if TYPE_CHECKING:
    from cipp_mcp.connection.client import CippClient
    from cipp_mcp.connection.obo import OnBehalfOf
    from cipp_mcp.state.shelf import Shelf

_log = logging.getLogger(__name__)
_MOST = 1000
_IDLE = 3600.0
"""As long as results are kept."""

_MOST_BYTES = 512 * 1024 * 1024
_BYTES_EACH = 128 * 1024 * 1024


class SharedClient(Client, Protocol):
    """The client of the API client that this server is."""

    def opened(self) -> CippClient: ...


class Policies:
    """The policy of each caller, from the settings and a policy file that may change."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when the file is wrong at the start."""
        self._settings = settings
        self._file = WatchedFile(settings.policy, PolicyFile.read) if settings.policy else None

    def version(self) -> int:
        """Grows whenever the file has changed."""
        if self._file is None:
            return 0
        _ = self._file.content
        return self._file.version

    def of(self, identity: Identity) -> Policy:
        """What `identity` may do."""
        file = self._file.content if self._file is not None else None
        policy = policy_for(self._settings, file, identity.name, identity.groups)
        if file is not None and file.groups and not identity.groups_known and identity.name not in file.callers:
            # One of the groups that the token does not name may be meant to narrow.
            _log.warning("%s is in more groups than the token names, and gets nothing", identity.shown)
            return replace(policy, nothing=True)
        return policy


@dataclass
class Seat:
    """One caller at work: what is theirs, and through whom their calls go."""

    identity: Identity
    version: int
    caller: Caller
    dispatcher: Dispatcher
    client: Client
    tokens: OnBehalfOf | None = None
    used_at: float = 0.0

    @property
    def is_busy(self) -> bool:
        return any(not job.done.is_set() for job in self.caller.jobs.all())

    def close(self) -> None:
        self.caller.close()
        if self.tokens is not None:
            self.tokens.close()


class Callers:
    """The seats of all callers. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        group: TaskGroup,
        client: SharedClient,
        policies: Policies,
        make_dispatcher: Callable[[Client], Dispatcher],
        state: State,
        *,
        most: int = _MOST,
    ) -> None:
        self._settings = settings
        self._group = group
        self._client = client
        self._policies = policies
        self._make_dispatcher = make_dispatcher
        self._dispatcher = make_dispatcher(client)
        self._state = state
        self._most = most
        self._seats: dict[str, Seat] = {}
        self._leaving: list[Seat] = []

    def __len__(self) -> int:
        return len(self._seats)

    def seat(self, identity: Identity) -> Seat:
        """The seat of `identity`, with the policy that is in force now.

        Where that policy has changed, the caller begins anew: what was read under another one is not shown any more.
        Raises Busy when there are too many callers at work.
        """
        version = self._policies.version()
        seat = self._seats.get(identity.name)
        if seat is not None and (seat.version, seat.identity) == (version, identity):
            policy = seat.caller.policy
        else:
            policy = self._policies.of(identity)
        if seat is not None and seat.caller.policy != policy:
            del self._seats[identity.name]
            self._leaving.append(seat)
            seat = None
        if seat is None:
            seat = self._new(identity, version, policy)
        seat.identity, seat.version, seat.used_at = identity, version, time.monotonic()
        if seat.tokens is not None and identity.assertion is not None:
            seat.tokens.present(identity.assertion)
        return seat

    def _new(self, identity: Identity, version: int, policy: Policy) -> Seat:
        self._make_place()
        dispatcher, client, tokens = self._dispatcher, self._client, None
        acting: Client = client
        if self._settings.http_call_as == "caller":
            dispatcher, acting, tokens = self._on_behalf_of(identity)
        caller = Caller(
            identity.name,
            self._group,
            policy,
            dispatcher.read_tenants,
            label=identity.shown,
            max_bytes=MAX_BYTES if identity == LOCAL else _BYTES_EACH,
            state=self._state,
            shelf=self._shelf(identity, policy),
        )
        seat = Seat(identity, version, caller, dispatcher, acting, tokens)
        self._seats[identity.name] = seat
        return seat

    def _shelf(self, identity: Identity, policy: Policy) -> Shelf | None:
        if self._settings.state_url is None or self._settings.state_key is None:
            return None
        from cipp_mcp.state.shelf import Shelf

        return Shelf(self._state, f"{identity.name}\0{policy.fingerprint}", self._settings.state_key)

    def _on_behalf_of(self, identity: Identity) -> tuple[Dispatcher, Client, OnBehalfOf]:
        from cipp_mcp.connection.obo import OnBehalfOf
        from cipp_mcp.connection.tls import ssl_context

        assert identity.assertion is not None
        tokens = OnBehalfOf(self._settings, ssl_context, identity.assertion)
        client = self._client.opened().acting_with(tokens)
        return self._make_dispatcher(client), client, tokens

    def _make_place(self) -> None:
        if len(self._seats) < self._most:
            return
        idle = [seat for seat in self._seats.values() if not seat.is_busy]
        if not idle:
            raise Busy("This server has as many callers at work as it may. Nothing was sent.", hint="Try again later.")
        self._leave(min(idle, key=lambda seat: seat.used_at))

    def _leave(self, seat: Seat) -> None:
        del self._seats[seat.identity.name]
        self._leaving.append(seat)

    async def finish_changes(self, seconds: float) -> None:
        """Waits until no change is being made for anybody, `seconds` at most."""
        with move_on_after(seconds):
            for seat in (*self._seats.values(), *self._leaving):
                for job in seat.caller.jobs.all():
                    if not job.is_read:
                        await job.done.wait()

    def tend(self) -> None:
        """Closes who has been idle for an hour, and drops the oldest results of who has most while all have too many.

        To be called now and then.
        """
        now = time.monotonic()
        for seat in list(self._seats.values()):
            if now - seat.used_at > _IDLE and not seat.is_busy and seat.identity != LOCAL:
                self._leave(seat)
        for seat in list(self._leaving):
            # A request that came in just before may still be at work with it, or wait for a person's yes.
            if now - seat.used_at > max(LIFETIME, self._settings.wait_seconds) + 10 and not seat.is_busy:
                seat.close()
                self._leaving.remove(seat)
        sizes = {name: seat.caller.results.size for name, seat in self._seats.items()}
        while sum(sizes.values()) > _MOST_BYTES:
            largest = max(sizes, key=lambda name: sizes[name])
            results = self._seats[largest].caller.results
            if results.busy:
                break
            results.drop_oldest()
            sizes[largest] = results.size

    def close(self) -> None:
        """Closes all; for the end of the process."""
        for seat in (*self._seats.values(), *self._leaving):
            seat.close()
