"""A key store for tests: one JSON file, named by TEST_KEYS_FILE, that several processes share."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class FileKeyring(KeyringBackend):
    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        _file().write_text(json.dumps({**self._kept(), f"{service}/{username}": password}), encoding="utf-8")

    def delete_password(self, service: str, username: str) -> None:
        kept = self._kept()
        del kept[f"{service}/{username}"]
        _file().write_text(json.dumps(kept), encoding="utf-8")

    @staticmethod
    def _kept() -> dict[str, str]:
        kept: dict[str, str] = json.loads(_file().read_text(encoding="utf-8")) if _file().is_file() else {}
        return kept


class LockedKeyring(FileKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError("locked")


def _file() -> Path:
    return Path(os.environ["TEST_KEYS_FILE"])
