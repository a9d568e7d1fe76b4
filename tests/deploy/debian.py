"""Both .debs in a fresh Debian that boots with its own systemd: ``python -m tests.deploy.debian``.

Needs root, debootstrap, systemd-nspawn and the archive; takes ten minutes or more. The machine
that boots has a loopback of its own and no other network. ``--root`` and ``--debs`` keep what takes long for
the next run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from collector.packages.keys import make_key
from deploy.debian.build import main as build
from deploy.environment import project_version
from deploy.package.build import main as build_package
from tests.collector.packages.supervised import package

PROOF = Path(__file__).with_name("proof.sh")
FIRST, SECOND = project_version(), "0.1.1"
STORED, HANGING = "0.1.2", "0.1.3"
"""Versions of the county's own store; the second hangs while it is imported."""
UNIT = """\
[Unit]
Description=proof
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/root/proof.sh
StandardOutput=file:/root/proof.log
StandardError=inherit
TimeoutStartSec=900
[Install]
WantedBy=graphical.target
"""
BESIDE = ("systemd", "init-system-helpers", "passwd", "procps", "util-linux", "tzdata")
"""What the packages ask of the distribution, but Python, fetched before the machine has no network."""


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def fresh_root(root: Path) -> None:
    """A Debian as ``debootstrap`` lays it, with what the packages depend on."""
    run("debootstrap", "--variant=minbase", "bookworm", root)
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    run("chroot", root, "apt-get", "install", "-y", "-q", "--no-install-recommends", minor, *BESIDE)


def proven(root: Path, debs: Path, packages: Path) -> str:
    """Boot a copy of ``root`` and let it run the proof; returns what it wrote."""
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        machine = Path(scratch) / "root"
        run("cp", "-a", root, machine)
        for version, name in ((FIRST, "first"), (SECOND, "second")):
            (machine / "root" / name).mkdir()
            for deb in debs.glob(f"xiaotong-*_{version}_*.deb"):
                shutil.copy(deb, machine / "root" / name)
        shutil.copytree(packages, machine / "root" / "packages")
        shutil.copy(PROOF, machine / "root" / "proof.sh")
        units = machine / "etc" / "systemd" / "system"
        (units / "proof.service").write_text(UNIT)
        wants = units / "graphical.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "proof.service").symlink_to("/etc/systemd/system/proof.service")
        booted = ["systemd-nspawn", "-q", "-D", str(machine), "-b", "--register=no", "--keep-unit"]
        subprocess.run(
            [*booted, "--private-network"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=900, check=False,
        )  # fmt: skip
        log = machine / "root" / "proof.log"
        return log.read_text() if log.exists() else "the machine did not come up"


def signed_packages(folder: Path) -> None:
    """Two packages of the agent, and the public half of the key that signed them."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as elsewhere:
        key = Path(elsewhere) / "packages.key"
        make_key(key, folder / "packages.pub")
        build_package(["--key", str(key), "--version", STORED, "--out", str(folder)])
        package(folder, key, HANGING, {"agent/__init__.py": "import time; time.sleep(600)"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.debian", description=__doc__)
    parser.add_argument("--root", type=Path, help="a directory of debootstrap; made where it is missing")
    parser.add_argument("--debs", type=Path, help="where the packages are; built where they are missing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xiaotong-debian-") as scratch:
        root, debs = given.root or Path(scratch) / "fresh", given.debs or Path(scratch) / "debs"
        for version in (FIRST, SECOND):
            if len(list(debs.glob(f"xiaotong-*_{version}_*.deb"))) < 2:
                build(["--version", version, "--out", str(debs)])
        if not (root / "usr").exists():
            fresh_root(root)
        packages = Path(scratch) / "packages"
        signed_packages(packages)
        said = proven(root, debs, packages)
    print(said)
    return 0 if "all holds" in said.splitlines() else 1


if __name__ == "__main__":
    sys.exit(main())
