"""What belongs to one caller is made when they come, bounded, and given up when they have gone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cipp_mcp.calls.audit import Audit
from cipp_mcp.calls.confirm import Confirmations
from cipp_mcp.calls.dispatcher import Dispatcher
from cipp_mcp.connection.identity import LOCAL, Identity
from cipp_mcp.errors import Busy, Refused
from cipp_mcp.registry import Registry
from cipp_mcp.server import callers
from cipp_mcp.server.callers import Callers, Policies
from cipp_mcp.settings import Settings
from cipp_mcp.state import ProcessState
from tests.over_http import write

pytestmark = pytest.mark.anyio
ALICE, BOB, CAROL = (Identity(name) for name in ("alice", "bob", "carol"))


class NoCipp:
    """A client for tests in which CIPP is not called."""

    async def send(self, request: Any) -> Any:
        raise AssertionError("nothing may be sent")

    def opened(self) -> Any:
        raise AssertionError("no connection may be opened")


@asynccontextmanager
async def house(settings: Settings | None = None, most: int = 1000) -> AsyncIterator[Callers]:
    used = settings or Settings()
    audit, confirmations = Audit(None, b"k"), Confirmations(None)

    def make_dispatcher(client: Any) -> Dispatcher:
        return Dispatcher(used, Registry.load(), client, audit, confirmations)

    async with anyio.create_task_group() as group:
        made = Callers(used, group, NoCipp(), Policies(used), make_dispatcher, ProcessState(), most=most)
        yield made
        group.cancel_scope.cancel()
        made.close()


def read_something(made: Callers, identity: Identity, rows: int = 1) -> str:
    kept = [({"n": number}, f'{{"n":{number}}}') for number in range(rows)]
    return made.seat(identity).caller.results.add("ListUsers", kept).handle


async def test_a_caller_keeps_its_seat_and_nobody_elses() -> None:
    async with house() as made:
        assert made.seat(ALICE) is made.seat(Identity("alice"))
        assert made.seat(ALICE).caller is not made.seat(BOB).caller
        assert read_something(made, ALICE) == read_something(made, BOB) == "r1"
        assert read_something(made, ALICE) == "r2"


async def test_who_is_idle_for_an_hour_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as made:
        before = made.seat(ALICE).caller
        local = made.seat(LOCAL).caller
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 3601)
        made.seat(BOB)
        made.tend()
        assert len(made) == 2  # bob, and the host on stdin, which has nobody to come back as
        assert made.seat(ALICE).caller is not before
        assert made.seat(LOCAL).caller is local


async def test_the_longest_idle_makes_place_and_who_is_at_work_stays() -> None:
    finish = anyio.Event()

    async def work(_progress: Any) -> None:
        await finish.wait()

    async with house(most=2) as made:
        made.seat(ALICE).caller.jobs.start("AddUser", False, work)
        read_something(made, BOB)
        made.seat(CAROL)
        assert len(made) == 2
        with pytest.raises(Refused):
            made.seat(CAROL).caller.results.get("r1")
        made.seat(CAROL).caller.jobs.start("AddUser", False, work)
        with pytest.raises(Busy):
            made.seat(BOB)
        finish.set()


async def test_where_all_keep_too_much_the_largest_loses_its_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_MOST_BYTES", 1_000)
    async with house() as made:
        read_something(made, ALICE, 200)
        read_something(made, ALICE, 10)
        read_something(made, BOB, 20)
        made.tend()
        assert [result.handle for result in made.seat(ALICE).caller.results.handles()] == ["r2"]
        assert made.seat(BOB).caller.results.get("r1")


async def test_another_policy_begins_anew_and_the_same_one_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    write(file, {"callers": {"alice": {"access": "read"}}, "groups": {"staff": {"rate": 9}}, "default": {"rate": 5}})
    async with house(Settings(policy=file, access="write")) as made:
        read_something(made, ALICE)
        read_something(made, BOB)
        write(
            file, {"callers": {"alice": {"access": "write"}}, "groups": {"staff": {"rate": 9}}, "default": {"rate": 5}}
        )
        assert made.seat(BOB).caller.results.get("r1")
        assert made.seat(ALICE).caller.policy.access == "write"
        with pytest.raises(Refused):
            made.seat(ALICE).caller.results.get("r1")
        assert made.seat(Identity("bob", groups=frozenset({"staff"}))).caller.policy.rate == 9


async def test_ids_in_a_policy_file_count_in_capitals_too(tmp_path: Path) -> None:
    identifier = "dec0de00-0000-4000-8000-0000000000a1"
    write(tmp_path / "policy", {"callers": {identifier.upper(): {"access": "read"}}, "default": {}})
    async with house(Settings(policy=tmp_path / "policy", access="admin")) as made:
        anna = made.seat(Identity(identifier, label="anna@partner.example"))
        assert anna.caller.policy.access == "read"
        assert anna.caller.label == f"anna@partner.example ({identifier})"


async def test_changes_are_waited_for_at_the_end_and_reads_are_not() -> None:
    finish = anyio.Event()

    async def work(_progress: Any) -> None:
        await finish.wait()

    async with house() as made:
        made.seat(ALICE).caller.jobs.start("ListUsers", True, work)
        await made.finish_changes(60)
        job = made.seat(BOB).caller.jobs.start("AddUser", False, work)
        await made.finish_changes(0.05)
        assert not job.done.is_set()
        finish.set()
        await made.finish_changes(60)
        assert job.done.is_set()
