"""Real agents under a service manager's eyes, and packages of them, for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import agent
from agent.versions import Kept, Versions
from config.packages import ANY_MACHINE, python_minor
from deploy.package.build import sealed, signing_key

ROOT = Path(__file__).parents[3]
AGENT_YAML = """\
school: {{id: {school}}}
collector: {{url: "{url}", token_file: agent.token}}
state_directory: state
metrics: {{listen: ""}}
heartbeat: {{every: 200ms, every_min: 100ms}}
upgrade: {{keys: [{key}], trial: {trial}, settle: 300ms, spread: 0s, pause: 100ms, spare: 0B}}
probes: {{}}
"""
RUN = "from agent.main import main; main()"


def new_tree(folder: Path, version: str, changes: dict[str, str] | None = None) -> Path:
    """This checkout's agent as another version, without its libraries; ``changes``: text at a file's end."""
    for name in ("agent", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    start = folder / "agent/__init__.py"
    start.write_text(start.read_text().replace(agent.__version__, version))
    for name, text in (changes or {}).items():
        (folder / name).write_text(f"{(folder / name).read_text()}\n{text}\n")
    return folder


def package(
    folder: Path, key: Path, version: str, changes: dict[str, str] | None = None,
    *, libraries: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """A signed package of such a tree, which counts on one library of this environment, or on others."""
    tree = new_tree(folder / f"tree-{version}", version, changes)
    file = sealed(
        tree, folder, signing_key(key), version=version, machine=ANY_MACHINE, python=python_minor(),
        libraries={"msgspec": metadata.version("msgspec")} if libraries is None else libraries,
    )  # fmt: skip
    shutil.rmtree(tree)
    return file


class Supervised:
    """One agent, started again whenever it ends, as systemd does."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.starts = 0
        self.log = file.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def kept(self) -> Kept:
        return Versions(self.file.parent / "state", ()).read()

    def versions(self) -> list[str]:
        folder = self.file.parent / "state/versions"
        return sorted(each.name for each in folder.glob("[0-9]*"))

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """As a crash."""
        if self.process is not None:
            self.process.kill()

    def end(self) -> None:
        self._stop.set()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        command = [sys.executable, "-c", RUN, "run", "--config", str(self.file)]
        with self.log.open("ab") as out:
            while not self._stop.is_set():
                self.starts += 1
                environment = {**os.environ, "PYTHONPATH": str(ROOT)}
                self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
                self.process.wait()
                out.write(f"-- ended {signal_of(self.process.returncode)}\n".encode())
                out.flush()
                self._stop.wait(0.05)


def signal_of(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else str(status)


@contextlib.contextmanager
def supervised(file: Path) -> Iterator[Supervised]:
    running = Supervised(file)
    try:
        yield running
    finally:
        running.end()
