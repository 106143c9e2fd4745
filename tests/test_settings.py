"""Settings are read once, at the start; what is wrong stops it with one message."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cipp_mcp.errors import SettingsError
from cipp_mcp.settings import SETTINGS, Settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CIPP_URL", "http://cipp.example.com", "must be https"),
        ("CIPP_URL", "https://cipp.example.com/login", "not part of a CIPP address"),
        ("CIPP_URL", "cipp.example.com", "not an address"),
        ("CIPP_URL", "https://user:pw@cipp.example.com", "not an address"),
        ("CIPP_URL", "https://cipp.example.com:port", "not an address"),
        ("CIPP_AUTHORITY", "http://127.0.0.1", "must be https"),
        ("CIPP_TENANT_ID", "my tenant", "GUID"),
        ("CIPP_CLIENT_ID", "abc", "GUID"),
        ("CIPP_CLIENT_SECRET_FILE", "/no/such/file", "no such file"),
        ("CIPP_STATE_URL", "http://redis.example.com", "redis://"),
        ("CIPP_STATE_URL", "redis://", "redis://"),
        ("CIPP_STATE_URL", "redis://redis.example.com:port", "redis://"),
        ("CIPP_STATE_URL", "redis://redis.example.com/0?protocol=3", "redis://"),
        ("CIPP_STATE_URL", "redis://redis.example.com/0", "needs CIPP_STATE_KEY"),
        ("CIPP_RESULT_TOKENS", "lots", "whole number from 500"),
        ("CIPP_MAX_CONCURRENCY", "0", "from 1 to 64"),
        ("CIPP_WAIT_SECONDS", "-1", "from 1 to 600"),
        ("CIPP_TOOLS", "ListUser", "did you mean ListUsers"),
        ("CIPP_TOOLS", ",", "name gateway"),
        ("CIPP_TOOL", "all", "did you mean CIPP_TOOLS?"),
        ("cipp_url_", "x", "did you mean CIPP_URL?"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({name: value})
    assert name in caught.value.message
    assert said in caught.value.message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"CIPP_URL": "x", "CIPP_TENANT_ID": "y", "CIPP_NEW": "z"})
    assert all(name in caught.value.message for name in ("CIPP_URL", "CIPP_TENANT_ID", "CIPP_NEW"))


@pytest.mark.parametrize(
    "url",
    ["https://c.example.com", "https://c.example.com/", "https://c.example.com/api", "https://c.example.com/API/"],
)
def test_the_address_is_understood_with_and_without_api(url: str) -> None:
    assert Settings.from_environment({"CIPP_URL": url}).url == "https://c.example.com"


@pytest.mark.parametrize("name", ["CIPP_PORT", "CIPP_PORT_80_TCP_ADDR", "CIPP_SERVICE_HOST", "CIPP_SERVICE_PORT_HTTPS"])
def test_names_that_container_platforms_inject_are_ignored(name: str) -> None:
    assert Settings.from_environment({name: "tcp://10.0.0.1:80"}) == Settings()


def test_a_secret_is_never_shown() -> None:
    assert "hunter2" not in repr(Settings.from_environment({"CIPP_CLIENT_SECRET": "hunter2"}))
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"CIPP_CLIENT_SECRET": "hunter2", "CIPP_CLIENT_SECRET_FILE": __file__})
    assert "hunter2" not in caught.value.message


def test_a_wrong_setting_stops_the_server_before_it_serves() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "cipp_mcp"],
        env={"CIPP_ACCES": "read"},
        input="",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert "CIPP_ACCES is not a setting" in run.stderr
    assert "Traceback" not in run.stderr


def test_help_and_readme_know_every_setting() -> None:
    from pathlib import Path

    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    help_text = subprocess.run(
        [sys.executable, "-m", "cipp_mcp", "--help"], capture_output=True, text=True, timeout=30
    ).stdout
    for setting in SETTINGS:
        assert f"  {setting.name} " in help_text
        assert f"| `{setting.name}` |" in readme
        assert setting.field in Settings.__dataclass_fields__
