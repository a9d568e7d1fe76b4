"""One-time codes that people read from paper and type at a gateway."""

from __future__ import annotations

import hashlib
import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""No 0 O, 1 I L, U V stays: thirty characters that are not taken for one another."""
CHARACTERS = 12
"""30^12 is 58.9 bits: ten guesses a second for a year hit one of 1,000 valid codes once in 1.7 million."""
GROUP = 4


def new_code() -> str:
    """A random code, «ABCD-2345-EFGH»."""
    code = "".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS))
    return "-".join(code[at : at + GROUP] for at in range(0, CHARACTERS, GROUP))


def digest_of_code(typed: str) -> str | None:
    """The SHA-256 of a code, however it was typed. None for text that is no code."""
    plain = "".join(typed.upper().split()).replace("-", "")
    if len(plain) != CHARACTERS or any(each not in ALPHABET for each in plain):
        return None
    return hashlib.sha256(plain.encode("ascii")).hexdigest()
