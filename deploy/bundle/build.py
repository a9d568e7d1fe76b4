"""A program with its own interpreter and C library, for systems without Python 3.11 (Kylin, UOS, openEuler):
``python -m deploy.bundle.build agent``.

The Python of the machine that builds, the libraries that it and the wheels load, and the loader of its
C library go into one folder; what the system there has of these is not used. Build it on the architecture
that it is for.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from deploy.bundle.elf import is_elf
from deploy.debian.build import PYTHON, python_minor, settle, source_date_epoch
from deploy.environment import PROGRAMS, ROOT, Program, compile_all, lay, project_version, run, wheel

LEFT_OUT = ("test", "idlelib", "lib2to3", "tkinter", "ensurepip", "turtledemo", "pydoc_data", "__pycache__")
INTERPRETER = """\
#!/bin/sh
# The bundle's Python, by the bundle's own loader and libraries; what it starts gets the system's again.
here=$(dirname "$(dirname "$(readlink -f "$0")")")
for known in /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt; do
    [ -n "${{SSL_CERT_FILE-}}" ] || [ ! -r "$known" ] || export SSL_CERT_FILE="$known"
done
exec "$here/lib/{loader}" --library-path "$here/lib" --argv0 "$here/bin/python3" "$here/lib/python" "$@"
"""
COMMAND = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/python3" -I -c 'from {name}.main import main; main(prog_name="xiaotong-{name}")' "$@"
"""
INSTALL = """\
#!/bin/sh
# Unpacked in /opt/xiaotong: user, folders, unit, command. Settings and data are left as they are.
set -eu
[ "$(id -u)" = 0 ] || {{ echo "error: needs root: sudo $0" >&2; exit 2; }}
here=$(dirname "$(readlink -f "$0")")
[ "$here" = /opt/xiaotong/{name} ] || {{ echo "error: unpack it in /opt/xiaotong" >&2; exit 2; }}
"$here/bin/xiaotong-{name}" --version
id xiaotong-{name} >/dev/null 2>&1 || useradd --system --user-group --no-create-home \\
    --home-dir /var/lib/xiaotong-{name} --shell /sbin/nologin xiaotong-{name}
mkdir -p /etc/xiaotong {folder} /var/lib/xiaotong-{name} /usr/local/bin
[ {name} = collector ] || chown xiaotong-{name}: {folder}
chown xiaotong-{name}: /var/lib/xiaotong-{name}
chmod 0750 {folder}
chmod 0700 /var/lib/xiaotong-{name}
ln -sf "$here/bin/xiaotong-{name}" /usr/local/bin/xiaotong-{name}
cp "$here/xiaotong-{name}.service" /etc/systemd/system/
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable xiaotong-{name}
    systemctl restart xiaotong-{name}
fi
"""
FOLDERS = {"agent": "/etc/xiaotong/agent", "collector": "/etc/xiaotong/secrets"}


def main(arguments: list[str] | None = None) -> int:
    """Build one bundle; prints its file."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bundle.build", description=__doc__)
    parser.add_argument("program", choices=PROGRAMS, metavar="PROGRAM", help="agent or collector")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    version, epoch = project_version(), source_date_epoch()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / given.program
        bundle(PROGRAMS[given.program], wheel(version, Path(scratch), epoch), tree)
        settle(tree, epoch)
        machine = run("uname", "-m").strip()
        file = given.out / f"xiaotong-{given.program}-bundle_{version}_{machine}.tar.xz"
        half = file.with_suffix(".half")
        with tarfile.open(half, "w:xz", preset=3) as tar:
            tar.add(tree, given.program, filter=_of_root)
        half.replace(file)
    sys.stdout.write(f"{file}\n")
    return 0


def bundle(program: Program, ours: Path, tree: Path) -> None:
    """Lay the whole folder."""
    minor = python_minor()
    library = tree / "lib"
    modules, packages = library / f"python{minor}", library / "python3" / "dist-packages"
    left_out = shutil.ignore_patterns(*LEFT_OUT, "config-*", "_tkinter*", "*.a")
    shutil.copytree(f"/usr/lib/python{minor}", modules, ignore=left_out, ignore_dangling_symlinks=True)
    packages.mkdir(parents=True)
    lay(program, ours, PYTHON, packages)
    shutil.copyfile(f"/usr/bin/python{minor}", library / "python")
    loader = _libraries([path for path in library.rglob("*") if path.is_file() and is_elf(path)], library)
    for file in (library / "python", library / loader):
        file.chmod(0o755)
    compile_all(PYTHON, modules, f"/opt/xiaotong/{program.name}/lib/python{minor}")
    compile_all(PYTHON, packages, f"/opt/xiaotong/{program.name}/lib/python3/dist-packages")
    name = program.name
    _script(tree / "bin" / "python3", INTERPRETER.format(loader=loader))
    _script(tree / "bin" / f"xiaotong-{name}", COMMAND.format(name=name))
    _script(tree / "install.sh", INSTALL.format(name=name, folder=FOLDERS[name]))
    shutil.copyfile(
        ROOT / "deploy" / "systemd" / f"xiaotong-{name}.service", tree / f"xiaotong-{name}.service"
    )


def _libraries(programs: Iterable[Path], library: Path) -> str:
    """Copy every library that the programs load, with the loader, whose name is returned."""
    loader = ""
    for program in programs:
        for line in run("ldd", program).splitlines():
            found = re.match(r"\s+(?:\S+ => )?(/\S+) \(0x", line)
            if found is None or found[1].startswith(str(library)):
                continue
            source = Path(found[1])
            target = library / source.name
            if not target.exists():
                shutil.copyfile(source, target)
            if source.name.startswith("ld-linux"):
                loader = source.name
    if not loader:
        raise SystemExit("ldd names no loader: is this a system with glibc?")
    return loader


def _script(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


if __name__ == "__main__":
    sys.exit(main())
