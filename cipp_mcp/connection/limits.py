"""Places for calls to CIPP: so many at once in all and for each tenant, with a fair and bounded queue before them."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import anyio

from cipp_mcp.errors import Busy
from cipp_mcp.telemetry import observed_wait


class _Waiter:
    def __init__(self) -> None:
        self.called = anyio.Event()


class Places:
    """Hands out places. Tenants that wait are served in turn, and within a tenant first come is first served.

    `most` places in all, `most_per_tenant` for any one tenant; calls that name no tenant have only the first limit.
    For one event loop.
    """

    # No waiter could be served while a place is free: whoever gives one back passes it on at once.

    def __init__(self, most: int, most_per_tenant: int, most_waiting: int) -> None:
        self._most, self._most_per_tenant, self._most_waiting = most, most_per_tenant, most_waiting
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
    async def take(self, tenant: str, on_wait: Callable[[int], None]) -> None:
        """Returns when the caller has a place; `on_wait` is told how many wait, if there is a wait.

        Raises Busy when the queue is full.
        """
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
                self.give_back(tenant)
            else:
                self._leave(tenant, waiter)
            raise

    def give_back(self, tenant: str) -> None:
        """Frees a place, for whoever's turn it is."""
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
