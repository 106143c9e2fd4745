"""A Dockerfile as data, and its RUN lines run in a folder instead of an image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_LINE = re.compile(r"^([A-Z]+)\s+(.*)$", re.DOTALL)


@dataclass
class Stage:
    """One FROM and the instructions after it, in order."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [value for name, value in self.instructions if name == instruction]


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile; what stands before the first FROM belongs to a stage without a base."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    found = [Stage("", "")]
    for line in filter(None, (line.strip() for line in lines.splitlines())):
        match = _LINE.match(line)
        assert match is not None, line
        if match[1] == "FROM":
            base, _, name = match[2].partition(" AS ")
            found.append(Stage(base, name))
        else:
            found[-1].instructions.append((match[1], match[2]))
    return found


class Image:
    """What the RUN lines make, with `root` in place of the image's root and a plain virtual environment as its base."""

    def __init__(self, root: Path, python: Path, context: Path) -> None:
        self.root = root
        self.base = root / "base"
        subprocess.run([str(python), "-m", "venv", str(self.base)], check=True)
        self.environment = {"PATH": f"{self.base / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(root / "home")}
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
        kept |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        self._build_environment = self.environment | kept | {"HOME": os.environ.get("HOME", "/")}  # pip's own settings
        self._context = context

    def within(self, text: str) -> str:
        """`text` with the image's paths as they are here."""
        return text.replace("/opt/", f"{self.root}/opt/")

    def build(self, stage: Stage) -> None:
        """Runs COPY (from the context) and RUN of `stage`; copies between stages stay where they are."""
        directory = self.root
        arguments: dict[str, str] = {}
        for name, value in stage.instructions:
            if name == "WORKDIR" and value != "/":
                directory = Path(self.within(value))
                directory.mkdir(parents=True)
            elif name == "ARG":
                key, _, default = value.partition("=")
                arguments[key] = default
            elif name == "COPY" and not value.startswith("--from"):
                *sources, target = value.split()
                for source in sources:
                    copy_into(self._context / source, directory / target)
            elif name == "RUN":
                environment = self._build_environment | arguments
                subprocess.run(["/bin/sh", "-ec", self.within(value)], cwd=directory, env=environment, check=True)

    def settings(self, stage: Stage) -> dict[str, str]:
        """The environment that the ENV lines of `stage` make."""
        environment = dict(self.environment)
        for line in stage.all("ENV"):
            for pair in line.split():
                name, _, value = pair.partition("=")
                environment[name] = self.within(value.replace("${PATH}", environment["PATH"]))
        return environment


def copy_into(source: Path, target: Path) -> None:
    """Copies as COPY does: a file into a folder, a folder's content as the folder of the new name."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
