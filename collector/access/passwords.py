"""Passwords: argon2id (RFC 9106), hashed a few at a time, and one at a time for each address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import argon2

from collector.access.settings import PasswordSettings
from config.words import message

MAX_CHARACTERS = 256
WAIT_SECONDS = 10.0
LENGTH = message("A password has {least} to {most} characters.")
SAMENESS = message("A password has more different characters than that.")


class Busy(Exception):
    """Too many passwords are being compared; the same request later may do."""


class WeakPassword(Exception):
    """A new password that is refused: a text of the catalogue, with what stands in its places."""

    def __init__(self, text: str, **places: object) -> None:
        super().__init__(text.format(**places))
        self.text = text
        self.places = places


class Passwords:
    """Makes hashes and compares with them. Safe to share between threads."""

    def __init__(self, settings: PasswordSettings) -> None:
        self._settings = settings
        self._hasher = argon2.PasswordHasher(
            time_cost=settings.rounds, memory_cost=settings.memory_mebibytes * 1024, parallelism=1
        )
        self._turns = threading.BoundedSemaphore(settings.hashing_at_once)
        self._addresses: set[str] = set()
        self._lock = threading.Lock()
        self._nobodys = self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """The hash to keep. Raises WeakPassword."""
        least = self._settings.characters
        if not least <= len(password) <= MAX_CHARACTERS:
            raise WeakPassword(LENGTH, least=least, most=MAX_CHARACTERS)
        if len(set(password)) < least // 2:
            raise WeakPassword(SAMENESS)
        return self._hasher.hash(password)

    def is_right(self, kept: str | None, password: str, address: str) -> bool:
        """Compare; with no hash, for no such user, it takes as long. Raises Busy.

        An address has one turn at a time, so that nobody can keep all turns to himself.
        """
        with self._turn(address):
            try:
                right = self._hasher.verify(kept or self._nobodys, password[: MAX_CHARACTERS + 1])
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False
        return right and kept is not None

    @contextmanager
    def _turn(self, address: str) -> Iterator[None]:
        with self._lock:
            if address in self._addresses:
                raise Busy
            self._addresses.add(address)
        try:
            if not self._turns.acquire(timeout=WAIT_SECONDS):
                raise Busy
            try:
                yield
            finally:
                self._turns.release()
        finally:
            with self._lock:
                self._addresses.discard(address)
