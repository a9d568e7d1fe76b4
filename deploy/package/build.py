"""A signed package of the agent for the collector's store: ``python -m deploy.package.build --key FILE``.

By itself it holds our own modules, compiled, and names the locked libraries that must be installed with just
these versions: some hundred kilobytes that run on every processor. ``--whole`` lays the libraries into it
too, for an upgrade whose libraries changed; build that on the processor and C library that it is for.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from config.packages import (
    ANY_MACHINE,
    Head,
    Manifest,
    PackageError,
    is_version,
    machine,
    manifest_of,
    signed_part,
)
from deploy.debian.build import PYTHON, source_date_epoch
from deploy.environment import PROGRAMS, ROOT, compile_all, lay, locked_versions, project_version, run, wheel

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MINOR = "import sys; print('%d.%d' % sys.version_info[:2])"
AGENT = PROGRAMS["agent"]


def main(arguments: list[str] | None = None) -> int:
    """Build one package; prints its file."""
    parser = argparse.ArgumentParser(prog="python -m deploy.package.build", description=__doc__)
    parser.add_argument("--key", type=Path, required=True, help="of «xiaotong-collector packages key»")
    parser.add_argument("--version", default=project_version())
    parser.add_argument("--python", default=PYTHON, help="an interpreter of the version that the agents have")
    parser.add_argument("--whole", action="store_true", help="with all libraries")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args(arguments)
    if not is_version(given.version):
        parser.error(f"--version {given.version}: allowed is one like 0.2.0 or 0.2.0rc1")
    key = signing_key(given.key)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        ours = wheel(given.version, Path(scratch), source_date_epoch())
        lay_files(ours, tree, given.python, whole=given.whole)
        libraries = {} if given.whole else locked_versions(AGENT)
        where = machine() if given.whole else ANY_MACHINE
        minor = run(given.python, "-I", "-c", MINOR).strip()
        file = sealed(
            tree, given.out, key, version=given.version, machine=where, python=minor, libraries=libraries
        )
    sys.stdout.write(f"{file}\n")
    return 0


def lay_files(ours: Path, tree: Path, python: str, *, whole: bool) -> None:
    """The modules as they will stand on the path, compiled."""
    if whole:
        lay(AGENT, ours, python, tree)
    else:
        with zipfile.ZipFile(ours) as archive:
            left_out = tuple(f"{name}/" for name in AGENT.left_out)
            archive.extractall(tree, [name for name in archive.namelist() if not name.startswith(left_out)])
    compile_all(python, tree, "/xiaotong")


def sealed(
    tree: Path, out: Path, key: Ed25519PrivateKey, *,
    version: str, machine: str, python: str, libraries: dict[str, str],
) -> Path:  # fmt: skip
    """Write the package of a folder into ``out``. The same folder and key give the same bytes."""
    files: dict[str, tuple[int, str]] = {}
    payload = io.BytesIO()
    with gzip.GzipFile(fileobj=payload, mode="wb", filename="", mtime=0) as packed:
        for path in sorted(tree.rglob("*")):
            if path.is_dir() or path.name.startswith("."):
                continue  # an editor's or a desktop's, in some wheels
            if path.is_symlink() or not path.is_file():
                raise SystemExit(f"{path}: only plain files can be packed")
            content = path.read_bytes()
            files[path.relative_to(tree).as_posix()] = (len(content), hashlib.sha256(content).hexdigest())
            packed.write(content)
    manifest = Manifest(
        name=AGENT.name, version=version, machine=machine, python=python,
        payload_bytes=payload.tell(), files=files, libraries=libraries,
    )  # fmt: skip
    encoded = msgspec.json.encode(manifest)
    try:
        manifest_of(encoded)
    except PackageError as error:
        raise SystemExit(f"the package could not be read: {error}") from None
    file = out / manifest.file_name
    half = file.with_suffix(f".{os.getpid()}.half")
    half.write_bytes(Head(key.sign(signed_part(encoded)), encoded).encoded() + payload.getvalue())
    half.replace(file)
    return file


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The private key of a PEM file. Ends in one line where there is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise SystemExit(f"--key {file}: {error.strerror}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SystemExit(f"--key {file}: holds no Ed25519 key without a password")
    return key


if __name__ == "__main__":
    sys.exit(main())
