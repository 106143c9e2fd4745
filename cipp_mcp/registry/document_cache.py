"""Keeps the documents of deployments on disk, one per deployment and version, readable by their owner only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cipp_mcp.registry.document import MAX_BYTES

_KEPT = 3
_HEADER_BYTES = 4096


@dataclass(frozen=True)
class Kept:
    """A document as it came, and where from."""

    content: bytes
    source: str
    etag: str | None
    version: str | None


def default_folder() -> Path:
    """Where this system keeps what can be had again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base) / "cipp-mcp" / "cache" if base else Path.home() / "AppData" / "Local" / "cipp-mcp" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cipp-mcp"
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base if base and os.path.isabs(base) else Path.home() / ".cache") / "cipp-mcp"


class DocumentCache:
    """The documents of one deployment, taken from one source.

    Nothing here raises: a cache that cannot be read is empty, one that cannot be written stays so.
    """

    def __init__(self, folder: Path, deployment: str, chosen: str) -> None:
        key = hashlib.sha256(f"{deployment}\n{chosen}".encode()).hexdigest()[:24]
        self._folder = folder / key

    def newest(self) -> Kept | None:
        """The document that was stored last; None when there is none that is surely our own."""
        try:
            if not _is_own(self._folder):
                return None
            for path in self._stored():
                kept = _read(path)
                if kept is not None:
                    return kept
        except (OSError, RuntimeError):
            return None
        return None

    def store(self, kept: Kept) -> None:
        """Stores a document in place of the one of the same version, and drops all but the newest three."""
        name = re.sub(r"[^A-Za-z0-9.]", "", kept.version or "")[:20].lstrip(".") or "unknown"
        head = json.dumps({"source": kept.source, "etag": kept.etag, "version": kept.version})
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_own(self._folder):
                return
            # mkstemp makes a file that only its owner may read or write.
            descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(head.encode() + b"\n" + kept.content)
                os.replace(temporary, self._folder / f"{name}.openapi")
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
            for stale in self._stored()[_KEPT:]:
                stale.unlink(missing_ok=True)
        except (OSError, RuntimeError):
            return

    def _stored(self) -> list[Path]:
        return sorted(self._folder.glob("*.openapi"), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _is_own(path: Path) -> bool:
    """Whether nobody else can write there. Windows keeps a user's own folders to that user by itself."""
    if sys.platform == "win32":
        return path.is_dir()
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _read(path: Path) -> Kept | None:
    if path.is_symlink() or path.stat().st_size > MAX_BYTES + _HEADER_BYTES:
        return None
    head, _, content = path.read_bytes().partition(b"\n")
    try:
        told = json.loads(head)
        etag, version = told["etag"], told["version"]
        return Kept(content, str(told["source"]), etag and str(etag), version and str(version))
    except (ValueError, KeyError, TypeError):
        return None
