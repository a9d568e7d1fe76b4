"""Builds xiaotong-agent and xiaotong-collector as Debian packages: ``python -m deploy.debian.build``.

Each holds an environment of its own under /opt/xiaotong, made for the distribution's Python of the machine
that builds. dpkg-deb suffices: there is nothing to compile, and the hashed locks say what goes in.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.environment import (
    PROGRAMS,
    ROOT,
    Program,
    compile_all,
    launcher,
    lay,
    project_version,
    run,
    wheel,
)

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"
SCRIPTS = ("postinst", "prerm", "postrm")


def main(arguments: list[str] | None = None) -> int:
    """Build what is asked for; prints the files."""
    parser = argparse.ArgumentParser(prog="python -m deploy.debian.build", description=__doc__)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="agent, collector; both when absent")
    parser.add_argument("--version", default=project_version())
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args(arguments)
    if not re.fullmatch(r"\d+(\.\d+)*([a-z]+\d+|\+[a-z0-9.]+)?", given.version):
        parser.error(f"--version {given.version}: allowed is one like 0.2.0 or 0.2.0rc1")
    for name in given.programs:
        if name not in PROGRAMS:
            parser.error(f"{name} is no program; allowed: {', '.join(PROGRAMS)}")
    given.out.mkdir(parents=True, exist_ok=True)
    epoch = source_date_epoch()
    with tempfile.TemporaryDirectory() as scratch:
        ours = wheel(given.version, Path(scratch), epoch)
        for name in given.programs or PROGRAMS:
            sys.stdout.write(f"{package(PROGRAMS[name], ours, given.version, given.out, epoch)}\n")
    return 0


def package(program: Program, ours: Path, version: str, out: Path, epoch: int) -> Path:
    """Build one .deb and return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        environment(program, ours, tree)
        files(program, tree)
        control(program, tree, version)
        settle(tree, epoch)
        architecture = run("dpkg", "--print-architecture").strip()
        deb = out / f"xiaotong-{program.name}_{version}_{architecture}.deb"
        half = deb.with_suffix(f".{os.getpid()}.half")
        packing = ("dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", tree, half)
        run(*packing, SOURCE_DATE_EPOCH=str(epoch))
        half.replace(deb)
    return deb


def environment(program: Program, ours: Path, tree: Path) -> None:
    """The environment as ``venv`` would lay it, but where it will stand."""
    home = f"/opt/xiaotong/{program.name}"
    minor = python_minor()
    packages = tree / home.lstrip("/") / "lib" / f"python{minor}" / "site-packages"
    packages.mkdir(parents=True)
    lay(program, ours, PYTHON, packages)
    compile_all(PYTHON, packages, packages.as_posix().removeprefix(tree.as_posix()))
    settings = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {minor}\n"
    (tree / home.lstrip("/") / "pyvenv.cfg").write_text(settings)
    binaries = tree / home.lstrip("/") / "bin"
    binaries.mkdir()
    (binaries / "python3").symlink_to(f"/usr/bin/python{minor}")
    command = binaries / f"xiaotong-{program.name}"
    command.write_text(launcher(program, f"{home}/bin/python3"))
    command.chmod(0o755)
    usual = tree / "usr" / "bin"
    usual.mkdir(parents=True)
    (usual / command.name).symlink_to(f"{home}/bin/{command.name}")


def files(program: Program, tree: Path) -> None:
    """Units, the system's user, settings, documents."""
    name = f"xiaotong-{program.name}"
    _place(ROOT / "deploy" / "systemd" / f"{name}.service", tree / f"usr/lib/systemd/system/{name}.service")
    _place(ROOT / "deploy" / "systemd" / f"{name}.sysusers", tree / f"usr/lib/sysusers.d/{name}.conf")
    documents = tree / "usr/share/doc" / name
    _place(ROOT / "LICENSE", documents / "copyright")
    _place(ROOT / "config" / "examples", documents / "examples")
    if program.name == "collector":
        _place(HERE / "collector" / "collector.yaml", tree / "etc/xiaotong/collector.yaml")


def control(program: Program, tree: Path, version: str) -> None:
    """What dpkg reads: the package's words, its scripts, the settings that it must not overwrite."""
    folder = tree / "DEBIAN"
    folder.mkdir()
    size = sum(file.lstat().st_size for file in tree.rglob("*") if file.is_file()) // 1024
    text = (HERE / program.name / "control").read_text()
    depends = f"python{python_minor()}, libc6 (>= {glibc()})"
    values = {
        "version": version,
        "architecture": run("dpkg", "--print-architecture").strip(),
        "size": str(size),
        "python": depends,
    }
    (folder / "control").write_text(text.format(**values))
    for name in SCRIPTS:
        _place(HERE / program.name / name, folder / name)
        (folder / name).chmod(0o755)
    settings = [
        f"/{file.relative_to(tree)}\n" for file in sorted((tree / "etc").rglob("*")) if file.is_file()
    ]
    if settings:
        (folder / "conffiles").write_text("".join(settings))


def python_minor() -> str:
    """The version of the distribution's Python, as in its package's name."""
    return run(PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()


def glibc() -> str:
    """The C library of the machine that builds: wheels ask for less, the interpreter for this."""
    return run(PYTHON, "-I", "-c", "import os; print(os.confstr('CS_GNU_LIBC_VERSION').split()[1])").strip()


def source_date_epoch() -> int:
    """The time that every file of a package bears: of the last commit, or as the environment says."""
    asked = os.environ.get("SOURCE_DATE_EPOCH", "")
    if asked.isdigit():
        return int(asked)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return int(said) if said else 0


def _place(source: Path, target: Path) -> None:
    """Copy a file or a folder to a path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def settle(tree: Path, epoch: int) -> None:
    """Modes and times that do not depend on who builds, and when."""
    for path in sorted(tree.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
