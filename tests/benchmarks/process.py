"""What a process has used so far, where the system says so (Linux); else 0."""

from __future__ import annotations

import os
import subprocess


class Process:
    """A process that is watched from outside."""

    process: subprocess.Popen[bytes]

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_megabytes(self) -> float:
        """The most memory that it has held."""
        return self._status("VmHWM")

    @property
    def resident_megabytes(self) -> float:
        """The memory that it holds now."""
        return self._status("VmRSS")

    def _status(self, name: str) -> float:
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
                line = next(line for line in file if line.startswith(name))
        except OSError:
            return 0.0
        return int(line.split()[1]) / 1000
