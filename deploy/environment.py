"""Lays one of the two programs with everything it imports into a directory, from the hashed locks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("agent", "collector", "config", "pyproject.toml", "README.md", "LICENSE", ".gitignore")


class Program(NamedTuple):
    """One of the two programs."""

    name: str
    lock: str
    extra: tuple[str, ...]
    """Requirements beside the lock's own, of which another lock has the hashes."""
    left_out: tuple[str, ...]
    """Packages of ours that it does not import."""


PROGRAMS = {
    "agent": Program("agent", "agent.txt", (), ("collector",)),
    "collector": Program(
        "collector", "collector.txt", ("psycopg", "psycopg-binary", "typing-extensions"), ()
    ),
}


def run(*command: str | Path, **environment: str) -> str:
    """The standard output of a command; the build ends where one fails."""
    done = subprocess.run(
        [str(part) for part in command],
        check=False, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def project_version() -> str:
    """The version that the sources carry."""
    line = next(
        line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version = ")
    )
    return line.split('"')[1]


def wheel(version: str, folder: Path, epoch: int) -> Path:
    """The project's wheel in ``folder``, as ``version``."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        for name in SOURCES:
            _copied(ROOT / name, tree / name)
        for name in ("pyproject.toml", "agent/__init__.py", "collector/__init__.py"):
            file = tree / name
            file.write_text(file.read_text().replace(f'"{project_version()}"', f'"{version}"', 1))
        code = (
            "import os, sys; os.chdir(sys.argv[1]); from hatchling.build import build_wheel;"
            "print(build_wheel(sys.argv[2]))"
        )
        said = run(sys.executable, "-c", code, tree, folder.resolve(), SOURCE_DATE_EPOCH=str(epoch))
    return folder / said.split()[-1]


def lay(program: Program, ours: Path, python: str, packages: Path) -> None:
    """Install the locked dependencies and our wheel into ``packages`` for the interpreter ``python``.

    The same sources give the same files: what tells of the building machine is left out, and compiled
    modules carry the hash of their source, so that no clock matters and the directory can be read-only.
    """
    uv = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, "--target", packages)
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / "lock.txt"
        lock.write_text(_requirements(program))
        run(*uv, "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy", "-r", lock)
    run(*uv, "--no-deps", "--link-mode", "copy", ours)
    for name in (*program.left_out, "bin"):
        shutil.rmtree(packages / name, ignore_errors=True)
    for trace in ("direct_url.json", "uv_cache.json", "REQUESTED", "uv_build.json"):
        for file in packages.glob(f"*.dist-info/{trace}"):
            file.unlink()
    (packages / ".lock").unlink(missing_ok=True)
    _sort_records(packages)


def compile_all(python: str | Path, folder: Path, seen_as: str) -> None:
    """Compile every module below ``folder``, which will stand at ``seen_as``."""
    quiet = ("-q", "-s", folder, "-p", seen_as, "--invalidation-mode", "unchecked-hash")
    run(python, "-I", "-m", "compileall", *quiet, folder, PYTHONHASHSEED="0")


def launcher(program: Program, interpreter: str) -> str:
    """The command's script."""
    return f"#!{interpreter} -I\nfrom {program.name}.main import main\n\nmain()\n"


def locked_versions(program: Program) -> dict[str, str]:
    """The libraries that every system needs, with the version that the lock names."""
    entries = _entries((ROOT / "deploy" / "locks" / program.lock).read_text())
    pinned = (entry.split()[0] for entry in entries.values() if " ; " not in entry.splitlines()[0])
    return dict(pin.split("==") for pin in pinned)


def _requirements(program: Program) -> str:
    text = (ROOT / "deploy" / "locks" / program.lock).read_text()
    every = _entries((ROOT / "deploy" / "locks" / "dev.txt").read_text())
    have = _entries(text)
    return text + "".join(
        entry for name, entry in every.items() if name in program.extra and name not in have
    )


def _entries(lock: str) -> dict[str, str]:
    """Each requirement of a lock with its hashes, by name."""
    entries: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if line[:1] not in (" ", "#", "\n"):
            name = line.split("==")[0].split("[")[0]
        entries[name] = entries.get(name, "") + line
    return entries


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    elif source.exists():
        shutil.copy(source, target)


def _sort_records(packages: Path) -> None:
    """What an installer wrote down, without what was taken away, in one order."""
    for record in packages.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines()
        kept = [line for line in lines if (packages / line.split(",")[0]).exists()]
        record.write_text("\n".join(sorted(kept)) + "\n")
