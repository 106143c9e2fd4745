"""Places for calls to CIPP: so many at once in all and for each tenant, with a fair and bounded queue before them."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import anyio

from cipp_mcp.errors import Busy
from cipp_mcp.state import ProcessState, State
from cipp_mcp.telemetry import observed_wait

_ASK_AGAIN, _ASK_AGAIN_MOST = 0.02, 0.25


class _Waiter:
    def __init__(self) -> None:
        self.called = anyio.Event()


class Places:
    """Hands out places. Tenants that wait are served in turn, and within a tenant first come is first served.

    `most` places in all, `most_per_tenant` for any one tenant; calls that name no tenant have only the first limit.
    Where several instances share `state`, these are the limits of all of them together. For one event loop.
    """

    # No waiter could be served while a place is free: whoever gives one back passes it on at once.

    def __init__(self, most: int, most_per_tenant: int, most_waiting: int, state: State | None = None) -> None:
        self._most, self._most_per_tenant, self._most_waiting = most, most_per_tenant, most_waiting
        self._state = state or ProcessState()
        self._taken = 0
        self._taken_by: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._waiting = 0

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def waiting(self) -> int:
        return self._waiting

    @observed_wait
    async def take(self, tenant: str, on_wait: Callable[[int], None]) -> str:
        """A place, to be given back, as soon as there is one; `on_wait` is told how many wait, if there is a wait.

        Raises Busy when the queue is full.
        """
        await self._take_here(tenant, on_wait)
        try:
            waits = 0
            while (place := await self._state.take_place(tenant, self._most, self._most_per_tenant)) is None:
                on_wait(self._waiting + 1)
                waits += 1
                # Nobody calls out when another instance frees a place.
                await anyio.sleep(min(_ASK_AGAIN * waits, _ASK_AGAIN_MOST) * random.uniform(0.5, 1.0))
        except BaseException:
            self._give_back_here(tenant)
            raise
        return place

    async def give_back(self, tenant: str, place: str) -> None:
        """Frees a place, for whoever's turn it is."""
        self._give_back_here(tenant)
        await self._state.give_back(place, tenant)

    async def _take_here(self, tenant: str, on_wait: Callable[[int], None]) -> None:
        if self._is_free(tenant):
            self._give(tenant)
            return
        if self._waiting >= self._most_waiting:
            raise Busy(
                f"This server is busy: {self._taken} calls to CIPP are running and {self._waiting} are waiting. "
                "Nothing was sent.",
                hint="Try again in a while, with fewer calls at once.",
            )
        waiter = _Waiter()
        self._queues.setdefault(tenant, deque()).append(waiter)
        self._waiting += 1
        on_wait(self._waiting)
        try:
            await waiter.called.wait()
        except BaseException:
            if waiter.called.is_set():
                self._give_back_here(tenant)
            else:
                self._leave(tenant, waiter)
            raise

    def _give_back_here(self, tenant: str) -> None:
        self._taken -= 1
        if self._taken_by[tenant] <= 1:
            del self._taken_by[tenant]
        else:
            self._taken_by[tenant] -= 1
        self._pass_on()

    def _is_free(self, tenant: str) -> bool:
        return self._taken < self._most and (not tenant or self._taken_by[tenant] < self._most_per_tenant)

    def _give(self, tenant: str) -> None:
        self._taken += 1
        self._taken_by[tenant] += 1

    def _pass_on(self) -> None:
        tenant = next((tenant for tenant in self._queues if self._is_free(tenant)), None)
        if tenant is None:
            return
        self._give(tenant)
        waiter = self._queues[tenant].popleft()
        self._waiting -= 1
        if self._queues[tenant]:
            self._queues.move_to_end(tenant)
        else:
            del self._queues[tenant]
        waiter.called.set()

    def _leave(self, tenant: str, waiter: _Waiter) -> None:
        self._waiting -= 1
        self._queues[tenant].remove(waiter)
        if not self._queues[tenant]:
            del self._queues[tenant]
