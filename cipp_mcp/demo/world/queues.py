"""CIPP's background queues. They make progress when somebody looks, so that nothing here depends on the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Queue:
    """One run over all tenants; finished after `polls` looks at it."""

    id: str
    name: str
    reference: str
    total: int
    polls: int
    started: str
    looks: int = 0
    tasks: list[str] = field(default_factory=list)

    def look(self) -> None:
        self.looks += 1

    @property
    def done(self) -> bool:
        return self.looks >= self.polls

    @property
    def completed(self) -> int:
        return self.total if self.done else self.total * self.looks // max(1, self.polls)

    def row(self) -> dict[str, Any]:
        """The row of ListCippQueue (Get-CIPPQueueData.ps1)."""
        completed = self.completed
        running = 0 if self.done else 1
        return {
            "PartitionKey": "CippQueue",
            "RowKey": self.id,
            "Name": self.name,
            "Link": "",
            "Reference": self.reference,
            "TotalTasks": self.total,
            "CompletedTasks": completed,
            "RunningTasks": running,
            "FailedTasks": 0,
            "PercentComplete": round(100 * completed / max(1, self.total), 1),
            "PercentFailed": 0.0,
            "PercentRunning": round(100 * running / max(1, self.total), 1),
            "Tasks": [
                {"Name": name, "Status": "Completed" if number < completed else "Running", "Timestamp": self.started}
                for number, name in enumerate(self.tasks)
            ],
            "Status": "Completed" if self.done else "Running",
            "Timestamp": self.started,
        }


class Queues:
    """All queues, found by id or by what they were started for."""

    def __init__(self) -> None:
        self._by_id: dict[str, Queue] = {}
        self._by_reference: dict[str, Queue] = {}

    def start(self, queue: Queue) -> Queue:
        self._by_id[queue.id] = queue
        self._by_reference[queue.reference] = queue
        return queue

    def of(self, reference: str) -> Queue | None:
        return self._by_reference.get(reference)

    def get(self, queue_id: str) -> Queue | None:
        return self._by_id.get(queue_id)

    def forget(self) -> None:
        """Empties the queues and with them the caches that they filled."""
        self._by_id.clear()
        self._by_reference.clear()

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Queue]:
        return list(self._by_id.values())
