"""Packages of the agent, as the collector keeps them and agents take them: read, checked, never trusted.

A package is one file: the magic, the length of the manifest (4 bytes, big-endian), its Ed25519 signature (64
bytes), the manifest as JSON, and the contents of its files one after the other, compressed by gzip. Names
and lengths stand in the manifest alone, so nothing of a file is believed before the signature is checked, and
there are no links, modes or owners that an archive could smuggle in.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import platform
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec

MAGIC = b"xiaotong package 1\n"
SUFFIX = ".package"
MAX_MANIFEST_BYTES = 2 * 2**20
MAX_VERSION_CHARACTERS = 32
ANY_MACHINE = "any"
KEY_PREFIX = "ed25519:"
_SIGNATURE_BYTES = 64
_HEAD_BYTES = len(MAGIC) + 4 + _SIGNATURE_BYTES
_PIECE_BYTES = 64 * 1024
_VERSION = re.compile(
    r"(?P<release>\d+(?:\.\d+)*)(?:(?P<stage>dev|a|b|rc|post)(?P<number>\d+))?(?:\+[a-z0-9.]+)?", re.ASCII
)
_STAGES = {"dev": -4, "a": -3, "b": -2, "rc": -1, None: 0, "post": 1}
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Reads(Protocol):
    """What a package is read from: a file, an answer."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Writes(Protocol):
    """What a file of it is written to."""

    def write(self, piece: bytes, /) -> object:
        """All of it."""
        ...


class PackageError(Exception):
    """What is wrong with a package, in one line."""


class CutShort(PackageError):
    """It ends before its time: the way it came may be to blame, not who made it."""


class Manifest(msgspec.Struct, frozen=True):
    """What is in a package, and what it runs on."""

    name: str
    version: str
    machine: str
    """``machine()`` of where it runs; «any» when it brings no compiled library."""
    python: str
    """The minor version of Python that it was compiled for, «3.11»."""
    payload_bytes: int
    """Of all files together, compressed."""
    files: dict[str, tuple[int, str]]
    """Path below the version's folder: size in bytes, SHA-256 in hexadecimal; in the order of the payload."""
    libraries: dict[str, str] = {}
    """Name and version of each library that must be installed already; none when it brings its own."""

    @property
    def unpacked_bytes(self) -> int:
        """Of all files together."""
        return sum(size for size, _ in self.files.values())

    @property
    def file_name(self) -> str:
        """What its file is called in a store: every fact that tells it from others."""
        kind = "" if self.libraries else "_whole"
        return f"{self.name}_{self.version}_{self.machine}_python{self.python}{kind}{SUFFIX}"


class Head(NamedTuple):
    """The beginning of a package as it came: not to be believed yet."""

    signature: bytes
    manifest: bytes

    def encoded(self) -> bytes:
        """As it stands in a file."""
        return MAGIC + len(self.manifest).to_bytes(4, "big") + self.signature + self.manifest


def machine() -> str:
    """This processor and C library, which compiled libraries must be made for."""
    return f"{platform.machine()}-{platform.libc_ver()[0] or 'musl'}"


def python_minor() -> str:
    """The minor version of the interpreter that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def is_version(text: str) -> bool:
    """True for a version that can be put in order, «0.2.0», «0.2.0rc1»; never a path."""
    return len(text) <= MAX_VERSION_CHARACTERS and _VERSION.fullmatch(text) is not None


def order_of(version: str) -> tuple[tuple[int, ...], int, int]:
    """What versions are put in order by; what is no version stands before all that are."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return ((), 0, 0)
    release = tuple(int(part) for part in match["release"].split("."))
    while len(release) > 1 and release[-1] == 0:
        release = release[:-1]
    return release, _STAGES[match["stage"]], int(match["number"] or 0)


def public_key(text: str) -> bytes:
    """The 32 bytes of «ed25519:BASE64». Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(KEY_PREFIX) or len(key) != 32:
        raise ValueError(f"{text[:80]!r} is no key; allowed is {KEY_PREFIX} and 44 characters of base64")
    return key


def key_text(key: bytes) -> str:
    """The 32 bytes of a public key, as settings say them."""
    return KEY_PREFIX + base64.b64encode(key).decode("ascii")


def signed_part(manifest: bytes) -> bytes:
    """What a signature of a manifest is made over: never valid for anything else that the key might sign."""
    return MAGIC + manifest


def read_head(stream: Reads) -> Head:
    """Read the beginning of a package. Raises PackageError."""
    start = _exactly(stream, _HEAD_BYTES)
    if not start.startswith(MAGIC):
        raise PackageError("is no package")
    length = int.from_bytes(start[len(MAGIC) : len(MAGIC) + 4], "big")
    if length > MAX_MANIFEST_BYTES:
        raise PackageError(f"its manifest is longer than {MAX_MANIFEST_BYTES} bytes")
    return Head(start[-_SIGNATURE_BYTES:], _exactly(stream, length))


def verified(head: Head, keys: Sequence[str]) -> Manifest:
    """The manifest, when one of ``keys`` signed it. Raises PackageError; ValueError for what is no key."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (memory that is seldom needed)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    if not keys:
        raise PackageError("there is no key to check its signature by")
    for key in keys:
        try:
            trusted = Ed25519PublicKey.from_public_bytes(public_key(key))
            trusted.verify(head.signature, signed_part(head.manifest))
        except InvalidSignature:
            continue
        return manifest_of(head.manifest)
    raise PackageError("its signature is not by a key that is trusted here")


def unpack(
    stream: Reads, manifest: Manifest, created: Callable[[str], AbstractContextManager[Writes]]
) -> None:
    """Read the files that follow a head; ``created`` opens each of the manifest's names to be written.

    Only what the manifest names is written, as long as it says and with its hash. Raises PackageError;
    OSError as ``created`` and ``stream`` do.
    """
    bounded = _Bounded(stream, manifest.payload_bytes)
    payload = gzip.GzipFile(fileobj=io.BufferedReader(bounded, _PIECE_BYTES), mode="rb")
    try:
        for name, (size, digest) in manifest.files.items():
            with created(name) as out:
                _copy(payload, out, name, size, digest)
        if payload.read(1):
            raise PackageError("holds more than its manifest says")
    except EOFError:
        raise CutShort("ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise PackageError(f"is damaged: {error}") from None
    if bounded.left or stream.read(1):
        raise PackageError("is not as long as its manifest says")


def _copy(payload: gzip.GzipFile, out: Writes, name: str, size: int, digest: str) -> None:
    seen, left = hashlib.sha256(), size
    while left:
        piece = payload.read(min(left, _PIECE_BYTES))
        if not piece:
            raise CutShort(f"ends within {name}")
        seen.update(piece)
        out.write(piece)
        left -= len(piece)
    if seen.hexdigest() != digest:
        raise PackageError(f"{name}: has another hash than its manifest says")


class _Bounded(io.RawIOBase):
    """At most so many bytes of a stream; one that ends before is cut short."""

    def __init__(self, stream: Reads, size: int) -> None:
        super().__init__()
        self._stream = stream
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._stream.read(min(len(buffer), self.left))
        if not piece and self.left:
            raise CutShort("ends too early")
        buffer[: len(piece)] = piece
        self.left -= len(piece)
        return len(piece)


def _exactly(stream: Reads, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = stream.read(size - len(found))
        if not piece:
            raise CutShort("ends too early")
        found += piece
    return bytes(found)


def manifest_of(content: bytes) -> Manifest:
    """Read a manifest. Raises PackageError for one that is signed and yet cannot be used."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PackageError(f"its manifest cannot be read: {error}") from None
    if not is_version(manifest.version):
        raise PackageError("its version is none")
    for text in (manifest.name, manifest.machine, manifest.python):
        if _PART.fullmatch(text) is None:
            raise PackageError(f"its manifest says {text[:40]!r}")
    if manifest.payload_bytes < 0:
        raise PackageError("its manifest says a length below 0")
    for name, (size, digest) in manifest.files.items():
        plain = all(_PART.fullmatch(part) for part in name.split("/"))
        if not plain or size < 0 or not _DIGEST.fullmatch(digest):
            raise PackageError(f"its manifest names {name[:80]!r}")
    return manifest
