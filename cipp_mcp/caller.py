"""Everything that belongs to one caller and to nobody else: results, running calls, recent answers."""

from __future__ import annotations

from anyio.abc import TaskGroup

from cipp_mcp.jobs import Jobs
from cipp_mcp.results.store import ResultStore


class Caller:
    """One person or agent. On stdio there is exactly one, named ``local``."""

    def __init__(self, name: str, group: TaskGroup) -> None:
        self.name = name
        self.results = ResultStore()
        self.jobs = Jobs(group)

    def close(self) -> None:
        self.results.close()
