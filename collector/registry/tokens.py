"""Tokens of agents: 256 random bits, kept only as their SHA-256."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 32
TOKEN_CHARACTERS = 43
"""Length of 32 bytes in URL-safe base64 without padding (RFC 4648 section 5)."""


def new_token() -> str:
    """A token of 256 random bits, 43 characters of URL-safe base64."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> str | None:
    """The SHA-256 of a token in hexadecimal. None for text that cannot be a token: empty, cut, too long.

    A plain hash is enough, unlike for passwords: there is nothing to guess in 256 random bits.
    """
    if len(token) != TOKEN_CHARACTERS or not token.isascii():
        return None
    return hashlib.sha256(token.encode("ascii")).hexdigest()
