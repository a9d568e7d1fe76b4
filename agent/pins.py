"""A certificate's pin: the SHA-256 of its SubjectPublicKeyInfo (RFC 5280 4.1, RFC 7469 2.4), in hex."""

from __future__ import annotations

import hashlib
import re
import ssl

PREFIX = "sha256:"
_SEQUENCE = 0x30
_VERSION = 0xA0
_FIELDS_BEFORE_KEY = 5
"""serialNumber, signature, issuer, validity, subject."""
_PIN = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class NoPin(ValueError):
    """Text that is no pin, or bytes that are no certificate."""


def pin_of(certificate_pem: str) -> str:
    """The pin of a certificate in PEM, «sha256:…». Raises NoPin."""
    try:
        der = ssl.PEM_cert_to_DER_cert(certificate_pem)
        return PREFIX + hashlib.sha256(_public_key_info(der)).hexdigest()
    except (ValueError, IndexError) as error:
        raise NoPin(f"is no certificate: {error}") from None


def read_pin(text: str) -> str:
    """A pin as it was typed, in the form of ``pin_of``. Raises NoPin."""
    match = _PIN.fullmatch("".join(text.split()).lower().replace("sha256//", "sha256:"))
    if match is None:
        raise NoPin("is no pin; allowed: sha256: and 64 hexadecimal digits")
    return PREFIX + match[1]


def _public_key_info(der: bytes) -> bytes:
    """Certificate → tbsCertificate → subjectPublicKeyInfo, header and all."""
    _, certificate, _ = _element(der, 0, _SEQUENCE)
    tag, at, _ = _element(der, certificate, _SEQUENCE)
    tag, _, end = _element(der, at)
    if tag == _VERSION:
        at = end
    for _ in range(_FIELDS_BEFORE_KEY):
        _, _, at = _element(der, at)
    _, _, end = _element(der, at, _SEQUENCE)
    return der[at:end]


def _element(der: bytes, at: int, wanted: int | None = None) -> tuple[int, int, int]:
    """Tag, where the content starts and where it ends (X.690 8.1). Raises NoPin, IndexError."""
    tag, first = der[at], der[at + 1]
    start = at + 2
    length = first
    if first & 0x80:
        count = first & 0x7F
        if not 1 <= count <= 4:
            raise NoPin("a length that no certificate has")
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > len(der) or (wanted is not None and tag != wanted):
        raise NoPin("it is cut, or of another kind")
    return tag, start, start + length
