"""Lets a server's registry follow the deployment it talks to, behind its back: no start and no call waits for long."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from cipp_mcp.registry import Registry
from cipp_mcp.registry.deployment import Overlay, overlay_of
from cipp_mcp.registry.document import parse_document
from cipp_mcp.registry.document_cache import DocumentCache, Kept, default_folder
from cipp_mcp.registry.document_source import Client, DocumentSource, NoDocument, read_file
from cipp_mcp.registry.files import catalogue_version
from cipp_mcp.registry.openapi import DocumentError
from cipp_mcp.settings import Settings

_log = logging.getLogger(__name__)
_AGAIN_SECONDS = 3600.0
_ASKING_SECONDS = 90.0
_FIRST_SECONDS = 2.0
_UNKNOWN_SECONDS = 10.0
_ENDING_SECONDS = 0.5

State = Literal["off", "not asked yet", "applied", "no document", "rejected"]


@dataclass(frozen=True)
class Report:
    """How the catalogue stands to the deployment."""

    state: State
    catalogue_version: str
    deployment_version: str | None = None
    source: str | None = None
    """Where the document came from that is applied."""
    reason: str | None = None
    """Why there is none, or why the last one was not taken."""
    added: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Name -> what to use instead, as far as known."""
    changed: dict[str, list[str]] = field(default_factory=dict)
    """Name -> which facts."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Our name -> the deployment's."""
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    """Hand-made corrections that gave way to facts that moved."""
    problems: list[str] = field(default_factory=list)
    """What was left out of the document, and why."""


class Follower:
    """Keeps `registry` (one's own: see `Registry.copy`) in step with the deployment of `settings`."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._file = Path(settings.openapi) if _is_file(settings.openapi) else None
        self._is_on = settings.openapi != "off" and (not settings.missing or self._file is not None)
        self._cache = DocumentCache(settings.cache or default_folder(), settings.url or "", settings.openapi)
        self._kept: Kept | None = None
        self._overlay: Overlay | None = None
        self._state: State = "not asked yet" if self._is_on else "off"
        self._reason: str | None = None
        self._has_looked = False
        self._has_begun = False
        self._has_asked_version = False
        self._first = anyio.Event()
        self._patience = _UNKNOWN_SECONDS
        self._asking: anyio.CancelScope | None = None

    def use_stored(self) -> None:
        """Applies the document that is on this machine, if there is one: a few hundredths of a second, once."""
        if self._has_looked or not self._is_on:
            return
        self._has_looked = True
        try:
            kept = read_file(self._file) if self._file is not None else self._cache.newest()
            if kept is not None:
                self._apply(kept, overlay_of(parse_document(kept.content), self._registry.baked))
        except NoDocument as error:
            self._state, self._reason = "no document", error.message
        except DocumentError as error:
            self._reject(error)

    def begin(self, group: TaskGroup, client: Client) -> None:
        """Starts to follow, once; call it when the deployment is about to be needed anyway."""
        self.use_stored()
        if self._is_on and not self._has_begun:
            self._has_begun = True
            group.start_soon(self._follow, client)

    def end(self) -> None:
        """Lets what is being asked come to its end, but not for long: a connection that is torn down half open leaks."""
        if self._asking is not None:
            self._asking.deadline = min(self._asking.deadline, anyio.current_time() + _ENDING_SECONDS)

    async def settle(self, name: str | None = None) -> None:
        """Waits a little for the first document: where `name` is not known yet a little longer; ten seconds in all."""
        if (
            not self._has_begun
            or self._first.is_set()
            or (name is not None and self._registry.resolve(name) is not None)
        ):
            return
        if name is None and self._overlay is not None:
            return
        began = anyio.current_time()
        with anyio.move_on_after(min(self._patience, _FIRST_SECONDS if name is None else _UNKNOWN_SECONDS)):
            await self._first.wait()
        self._patience = max(0.0, self._patience - (anyio.current_time() - began))

    async def refresh(self, client: Client) -> None:
        """Fetches the document if there is a newer one, and applies it. A bad one changes nothing."""
        if not self._is_on:
            return
        source = DocumentSource(self._settings, client)
        try:
            found = await source.fetch(self._kept)
            knows_version = self._has_asked_version or bool(self._settings.missing)
            if found is self._kept and (found.version or knows_version):
                return
            version = found.version or (None if self._settings.missing else await source.version())
            self._has_asked_version = True
            found = Kept(found.content, found.source, found.etag, version)
            overlay = await anyio.to_thread.run_sync(
                lambda: overlay_of(parse_document(found.content), self._registry.baked)
            )
        except NoDocument as error:
            if self._overlay is None:
                self._state = "no document"
            self._reason = error.message
            return
        except DocumentError as error:
            self._reject(error)
            return
        self._apply(found, overlay)
        if self._file is None:
            await anyio.to_thread.run_sync(self._cache.store, found)

    def report(self) -> Report:
        """What is known now."""
        overlay = self._overlay or Overlay()
        return Report(
            state=self._state,
            catalogue_version=catalogue_version(),
            deployment_version=self._kept.version if self._kept else None,
            source=self._kept.source if self._kept else None,
            reason=self._reason,
            added=sorted(overlay.added, key=str.lower),
            missing=dict(overlay.missing),
            changed=dict(overlay.changed),
            renamed=dict(overlay.spelling),
            conflicts=[conflict.as_dict() for conflict in overlay.conflicts],
            problems=list(overlay.problems),
        )

    async def _follow(self, client: Client) -> None:
        while True:
            deadline = anyio.current_time() + _ASKING_SECONDS
            with anyio.CancelScope(shield=True, deadline=deadline) as self._asking:
                try:
                    await self.refresh(client)
                except Exception:
                    # Whatever a strange deployment provokes, the installed catalogue goes on working.
                    self._reason = "cipp-mcp itself failed on the deployment's document; see its log."
                    _log.exception("the deployment's document could not be applied")
            if self._asking.cancelled_caught:
                self._reason = f"The deployment did not give its document within {_ASKING_SECONDS:g} s."
            self._first.set()
            await anyio.sleep(_AGAIN_SECONDS)

    def _apply(self, kept: Kept, overlay: Overlay) -> None:
        self._registry.apply(overlay, kept.version)
        self._kept, self._overlay = kept, overlay
        self._state, self._reason = "applied", None

    def _reject(self, error: DocumentError) -> None:
        if self._overlay is None:
            self._state = "rejected"
        self._reason = f"The document of the API was not used: {error}."
        _log.warning("%s", self._reason)


async def report_on(settings: Settings, client: Client) -> Report:
    """How the installed catalogue stands to the deployment of `settings`, asked now."""
    follower = Follower(settings, Registry.load().copy())
    follower.use_stored()
    await follower.refresh(client)
    return follower.report()


def _is_file(chosen: str) -> bool:
    return chosen not in ("auto", "upstream", "off") and "://" not in chosen
