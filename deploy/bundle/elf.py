"""Which C library and kernel the programs in a folder need: ``python -m deploy.bundle.elf FOLDER``.

Read from the files themselves: version needs (System V gABI, LSB «Symbol Versioning») and the ABI note.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAGIC = b"\x7fELF"
VERSION_NEEDS, NOTE = 0x6FFFFFFE, 7
ABI_TAG = 1

Version = tuple[int, ...]


class Section(NamedTuple):
    """What of a section header is used."""

    kind: int
    offset: int
    size: int
    link: int


class Needs(NamedTuple):
    """The newest symbol version of glibc that a file asks for, and the oldest kernel that its note allows."""

    glibc: Version = ()
    kernel: Version = ()


def is_elf(path: Path) -> bool:
    """Whether it is a program or a library."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def needs_of(data: bytes) -> Needs:
    """Read one 64-bit little-endian file. Raises ValueError for another."""
    if data[:6] != MAGIC + b"\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    sections = list(_sections(data))
    versions = [
        version
        for section in sections
        if section.kind == VERSION_NEEDS
        for version in _glibc(data, section, sections[section.link])
    ]
    kernels = [version for section in sections if section.kind == NOTE for version in _kernel(data, section)]
    return Needs(max(versions, default=()), max(kernels, default=()))


def needs_of_folder(folder: Path) -> dict[Path, Needs]:
    """Of every ELF file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {path: needs_of(path.read_bytes()) for path in files if is_elf(path)}


def _sections(data: bytes) -> Iterator[Section]:
    (start,) = struct.unpack_from("<Q", data, 40)
    size, number = struct.unpack_from("<HH", data, 58)
    for place in range(number):
        _, kind, _, _, offset, length, link = struct.unpack_from("<IIQQQQI", data, start + place * size)
        yield Section(kind, offset, length, link)


def _glibc(data: bytes, section: Section, names: Section) -> Iterator[Version]:
    """Elf64_Verneed, each with its Elf64_Vernaux."""
    at = section.offset
    while True:
        _, count, _, first, following = struct.unpack_from("<HHIII", data, at)
        aux = at + first
        for _ in range(count):
            _, _, _, name, step = struct.unpack_from("<IHHII", data, aux)
            text = _text(data, names.offset + name)
            if text.startswith("GLIBC_2"):
                yield tuple(int(part) for part in text.removeprefix("GLIBC_").split("."))
            aux += step
        if not following:
            return
        at += following


def _kernel(data: bytes, section: Section) -> Iterator[Version]:
    name_size, size, kind = struct.unpack_from("<III", data, section.offset)
    if data[section.offset + 12 :][:name_size] == b"GNU\0" and kind == ABI_TAG and size == 16:
        yield struct.unpack_from("<IIII", data, section.offset + 16)[1:]


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("ascii")


def main(arguments: list[str]) -> int:
    """Print the newest glibc asked for, by whom, and the oldest kernel allowed."""
    every = needs_of_folder(Path(arguments[0]))
    for what in ("glibc", "kernel"):
        path, needs = max(every.items(), key=lambda each: getattr(each[1], what))
        sys.stdout.write(f"{what} {'.'.join(map(str, getattr(needs, what)))}: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
