"""Packages: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
from collections.abc import Iterator

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config.packages import (
    MAX_MANIFEST_BYTES,
    CutShort,
    Head,
    Manifest,
    PackageError,
    is_version,
    key_text,
    order_of,
    public_key,
    read_head,
    signed_part,
    unpack,
    verified,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = key_text(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
FILES = {"agent/__init__.py": b"one", "config/empty": b"", "config/two.yaml": b"two: 2\n" * 9}


def packed(
    files: dict[str, bytes], *, key: Ed25519PrivateKey = KEY, said: dict[str, object] | None = None
) -> bytes:
    """A package; ``said`` replaces what its signed manifest says."""
    payload = gzip.compress(b"".join(files.values()), mtime=0)
    manifest = {
        "name": "agent", "version": "1.0", "machine": "any", "python": "3.11", "payload_bytes": len(payload),
        "files": {name: [len(text), hashlib.sha256(text).hexdigest()] for name, text in files.items()},
        **(said or {}),
    }  # fmt: skip
    encoded = msgspec.json.encode(manifest)
    return Head(KEY.sign(signed_part(encoded)), encoded).encoded() + payload


def taken(content: bytes, keys: tuple[str, ...] = (PUBLIC,)) -> dict[str, bytes]:
    """What comes out of it; raises as reading does."""
    out: dict[str, io.BytesIO] = {}

    @contextlib.contextmanager
    def created(name: str) -> Iterator[io.BytesIO]:
        out[name] = io.BytesIO()
        yield out[name]

    stream = io.BytesIO(content)
    unpack(stream, verified(read_head(stream), keys), created)
    return {name: each.getvalue() for name, each in out.items()}


def test_what_was_packed_comes_out() -> None:
    assert taken(packed(FILES)) == FILES
    other = key_text(Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    assert taken(packed(FILES), (other, PUBLIC)) == FILES
    with pytest.raises(PackageError, match="not by a key that is trusted here"):
        taken(packed(FILES), (other,))
    with pytest.raises(PackageError, match="there is no key"):
        taken(packed(FILES), ())


def test_a_package_with_any_byte_changed_or_cut_off_is_refused() -> None:
    whole = packed(FILES)
    for place in range(len(whole)):
        with pytest.raises(CutShort):
            taken(whole[:place])
        changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        with contextlib.suppress(PackageError):
            assert taken(changed) == FILES  # gzip's own head says when and by which system
    with pytest.raises(PackageError, match="not as long"):
        taken(whole + b"x")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "",
        ".",
        "..",
        ".hidden",
        "a/",
        "a\0b",
        "a\\b",
        "~/x",
        "a b",
    ],
)
def test_a_signed_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(PackageError, match="names"):
        taken(packed({name: b"x"}))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"version": "../1"}, "its version is none"),
        ({"version": "1" * 40}, "its version is none"),
        ({"machine": "a/b"}, "its manifest says 'a/b'"),
        ({"payload_bytes": -1}, "a length below 0"),
        ({"payload_bytes": 10}, "ends|not as long"),
        ({"payload_bytes": 10**9}, "ends"),
        ({"files": {"x": [-1, "0" * 64]}}, "names 'x'"),
        ({"files": {"x": [1, "0" * 63]}}, "names 'x'"),
        ({"files": {"x": [10**12, "0" * 64]}}, "ends within x"),
        ({"files": {"x": [1, "0" * 64]}}, "has another hash"),
        ({"files": {}}, "holds more than its manifest says"),
        ({"files": []}, "cannot be read"),
        ({"libraries": {"a": 1}}, "cannot be read"),
    ],
)
def test_a_signed_manifest_that_cannot_be_is_refused(said: dict[str, object], why: str) -> None:
    with pytest.raises(PackageError, match=why):
        taken(packed(FILES, said=said))


def test_a_manifest_without_end_is_not_read() -> None:
    head = Head(bytes(64), b"x").encoded()
    long = head[:-1].replace((1).to_bytes(4, "big"), (MAX_MANIFEST_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(PackageError, match="longer than"):
        taken(long + bytes(MAX_MANIFEST_BYTES + 1))


def test_a_bomb_is_read_no_further_than_its_manifest_says() -> None:
    """A payload of 64 MB of zeros behind a manifest of three bytes."""
    bomb = gzip.compress(bytes(64 * 2**20), 1)
    said = {"payload_bytes": len(bomb), "files": {"x": [3, hashlib.sha256(bytes(3)).hexdigest()]}}
    whole = packed({}, said=said)
    with pytest.raises(PackageError, match="holds more"):
        taken(whole[: -len(gzip.compress(b"", mtime=0))] + bomb)


def test_versions_have_an_order() -> None:
    rising = [
        "0.1.0",
        "0.2.0dev1",
        "0.2.0a1",
        "0.2.0b1",
        "0.2.0rc1",
        "0.2.0rc2",
        "0.2.0",
        "0.2.0post1",
        "0.10",
    ]
    assert sorted(rising, key=order_of) == rising
    assert order_of("1.0") == order_of("1.0.0")
    assert order_of("nonsense") < order_of("0.0")
    assert not any(map(is_version, ["", "..", "1/2", "1.0rc", "١.0", "1.0\n", "latest", "v1"]))


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:x", "rsa:" + PUBLIC[8:], PUBLIC[8:], PUBLIC + "AA"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        public_key(text)


def test_a_manifest_says_what_it_is_called() -> None:
    whole = Manifest("agent", "1.0", "x86_64-glibc", "3.11", 0, {})
    assert whole.file_name == "agent_1.0_x86_64-glibc_python3.11_whole.package"
    slim = Manifest("agent", "1.0", "any", "3.11", 0, {}, {"click": "8"})
    assert slim.file_name == "agent_1.0_any_python3.11.package"
