"""The image is small, unprivileged and needs nothing writable; its RUN lines are run here, since no engine is needed.

Running them needs a package index, so only `RUN_LINES=1` does it (as the continuous integration does).
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from cipp_mcp.demo import DemoCipp
from tests.conftest import body
from tests.dockerfile import Image, Stage, stages
from tests.over_http import serving

ROOT = Path(__file__).parents[1]
NOBODY = 65532


@pytest.fixture(scope="module")
def dockerfile() -> list[Stage]:
    return stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))


def test_the_base_image_can_be_chosen_and_is_the_same_for_all_stages(dockerfile: list[Stage]) -> None:
    head, *others = dockerfile
    (base,) = head.all("ARG")
    assert base.startswith("BASE=python:3.")
    assert base.endswith("-slim")
    assert [stage.base for stage in others] == ["${BASE}", "${BASE}"]


def test_the_image_runs_as_a_numbered_user_who_is_not_root(dockerfile: list[Stage]) -> None:
    final = dockerfile[-1]
    (user,) = final.all("USER")
    assert user == f"{NOBODY}:{NOBODY}"
    after = [name for name, _ in final.instructions][[name for name, _ in final.instructions].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & set(after)


def test_only_what_was_built_is_in_the_image_and_belongs_to_root(dockerfile: list[Stage]) -> None:
    copies = dockerfile[-1].all("COPY")
    assert copies
    for line in copies:
        assert line.startswith("--from=build ")
        assert "--chown" not in line


def test_it_serves_stdio_unless_told_otherwise_and_checks_its_health(dockerfile: list[Stage]) -> None:
    final = dockerfile[-1]
    assert final.all("ENTRYPOINT") == ['["cipp-mcp"]']
    assert not final.all("CMD")
    (check,) = final.all("HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == ["python", "-m", "cipp_mcp.cli.health"]


def test_the_builder_gets_just_what_is_copied(dockerfile: list[Stage]) -> None:
    copied = {source for line in dockerfile[1].all("COPY") for source in line.split()[:-1]}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_no_secret_and_no_setting_is_baked_in(dockerfile: list[Stage]) -> None:
    for stage in dockerfile:
        for name, value in stage.instructions:
            assert name not in ("ENV", "ARG", "RUN") or "CIPP_" not in value


def health(listen: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    if listen is not None:
        environment["CIPP_HTTP_LISTEN"] = listen
    command = [sys.executable, "-m", "cipp_mcp.cli.health"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server that answers /healthz with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_the_health_check_asks_the_server_of_its_own_container() -> None:
    with serving({}) as server:
        assert health(f"0.0.0.0:{server.base.rpartition(':')[2]}").returncode == 0


def test_a_server_that_says_it_is_ill_is_unhealthy() -> None:
    with answering(503) as port:
        run = health(f"127.0.0.1:{port}")
    assert run.returncode == 1
    assert "HTTP 503" in run.stderr


def test_the_health_check_fails_where_nobody_answers() -> None:
    run = health("127.0.0.1:9")
    assert run.returncode == 1
    assert "127.0.0.1:9" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_container_that_serves_stdio_is_healthy() -> None:
    assert health(None).returncode == 0


runs = pytest.mark.skipif(
    os.name != "posix" or not os.environ.get("RUN_LINES"),
    reason="RUN_LINES=1 runs the image's RUN lines, which needs a package index",
)


@pytest.fixture(scope="module")
def image(dockerfile: list[Stage]) -> Iterator[Image]:
    """What the RUN lines make, with no folder that can be written to."""
    root = Path(tempfile.mkdtemp(prefix="image-")).resolve()
    try:
        made = Image(root, Path(sys.executable), ROOT)
        for stage in dockerfile[1:]:
            made.build(stage)
        set_writable(root, False)
        yield made
    finally:
        set_writable(root, True)
        shutil.rmtree(root)


def set_writable(root: Path, writable: bool) -> None:
    """Whether files can be made in or taken out of any folder under `root`."""
    for folder, _, _ in os.walk(root):
        mode = Path(folder).stat().st_mode
        Path(folder).chmod(mode | stat.S_IWUSR if writable else mode & ~0o222)


def run_in(image: Image, final: Stage, program: str, python: str = "opt/cipp-mcp/bin/python") -> str:
    """What `program` prints in the image."""
    command = [str(image.root / python), "-c", program]
    run = subprocess.run(command, env=image.settings(final), cwd="/", capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def everything_in(root: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in root.rglob("*")}


@runs
@pytest.mark.anyio
async def test_the_built_server_runs_without_writing_anything(
    image: Image, dockerfile: list[Stage], shared_demo: DemoCipp
) -> None:
    before = everything_in(image.root)
    environment = image.settings(dockerfile[-1]) | {"HOME": "/nonexistent"} | shared_demo.environment()
    found = shutil.which("cipp-mcp", path=environment["PATH"])
    assert found == str(image.root / "opt" / "cipp-mcp" / "bin" / "cipp-mcp")
    async with Client(StdioServerParameters(command=found, env=environment, cwd="/")) as client:
        assert len((await client.list_tools()).tools) >= 4
        assert body(await client.call_tool("ListTenants", {}))["outcome"] == "ok"
    assert everything_in(image.root) == before


@runs
def test_every_module_comes_from_precompiled_bytecode(image: Image, dockerfile: list[Stage]) -> None:
    program = (
        "import importlib.util, os, sys, cipp_mcp.cli.main, cipp_mcp.server.app, cipp_mcp.connection.client, cipp_mcp.connection.auth, msal\n"
        "found = [m for m in list(sys.modules.values()) if (getattr(m, '__file__', None) or '').endswith('.py')]\n"
        "assert len(found) > 300, len(found)\n"
        "print([m.__name__ for m in found if not os.path.exists(importlib.util.cache_from_source(m.__file__))])"
    )
    assert run_in(image, dockerfile[-1], program) == "[]"


@runs
def test_nothing_to_build_or_install_with_is_in_the_image(image: Image, dockerfile: list[Stage]) -> None:
    program = (
        "from importlib.metadata import distributions\n"
        "print([d.name for d in distributions() if d.name in ('pip', 'setuptools', 'wheel', 'hatchling', 'pytest')])"
    )
    for python in ("opt/cipp-mcp/bin/python", "base/bin/python"):
        assert run_in(image, dockerfile[-1], program, python) == "[]"


@runs
def test_the_optional_parts_are_in_the_image(image: Image, dockerfile: list[Stage]) -> None:
    run_in(image, dockerfile[-1], "import cipp_mcp.otel, cipp_mcp.state.redis_state")
