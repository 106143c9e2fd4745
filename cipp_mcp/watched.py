"""A configuration file that may change while the server runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from cipp_mcp.errors import SettingsError

_log = logging.getLogger(__name__)
Content = TypeVar("Content")


class WatchedFile(Generic[Content]):
    """The checked content of a file, read again whenever the file has changed.

    A file that has become unreadable or wrong keeps the last good content, and a line in the log says so once.
    """

    # Every look costs one stat, so that what was revoked is revoked with the next request; no thread, no polling.

    def __init__(self, path: Path, read: Callable[[Path], Content]) -> None:
        """Raises SettingsError, from `read`, when the file is wrong from the beginning."""
        self._path = path
        self._read = read
        self._stamp = _stamp(path)
        self._content = read(path)
        self.version = 1
        """Grows with every new content."""

    @property
    def content(self) -> Content:
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._content = self._read(self._path)
            except SettingsError as error:
                _log.error("%s The version read before stays in force.", error.message.rstrip(".") + ".")
            else:
                self.version += 1
                _log.warning("%s has changed and was read again.", self._path)
        return self._content


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_mtime_ns, status.st_size, status.st_ino)
