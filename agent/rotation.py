"""Replaces the agent's token while everything goes on. Each step may be lost or done twice.

The next token is on disk before the collector hears its hash; the old one opens until the new one was used;
the new file takes the old one's name only then.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

import msgspec

from agent.credentials import Credential, digest_of
from agent.link import Link, LinkError
from agent.settings import Secret

log = logging.getLogger(__name__)

TOKEN_PATH, PROOF_PATH = "/api/v1/agent/token", "/api/v1/agent/token/proof"

LinkWith = Callable[[Callable[[], Secret]], Link]
"""Makes a link that shows the token which the function gives."""


class Outcome(enum.Enum):
    """How an attempt ended."""

    NOTHING = "nothing to do"
    DONE = "done"
    LATER = "later"


class Rotation:
    """Brings a replacement to its end, from whatever step it stopped at."""

    def __init__(self, credential: Credential, link_with: LinkWith) -> None:
        self._credential = credential
        self._link_with = link_with

    def settle(self) -> Outcome:
        """End a replacement that was under way when the agent stopped."""
        return self._attempt(begin=False)

    def rotate(self) -> Outcome:
        """Replace the token, or end the replacement that is under way."""
        return self._attempt(begin=True)

    def _attempt(self, *, begin: bool) -> Outcome:
        upcoming = self._credential.next()
        if upcoming is None and not begin:
            return Outcome.NOTHING
        try:
            if upcoming is not None and self._prove(upcoming):
                return Outcome.DONE
            upcoming = upcoming or self._credential.prepare()
            if self._announce(upcoming) and self._prove(upcoming):
                return Outcome.DONE
        except (LinkError, OSError) as error:
            log.warning("token not replaced yet error=%s", error)
        return Outcome.LATER

    def _announce(self, upcoming: Secret) -> bool:
        """Let the collector know the hash. One that it will not have is thrown away."""
        status = self._post(TOKEN_PATH, {"token_digest": digest_of(upcoming)}, self._credential.token)
        if status == 409:
            self._credential.discard()
        elif status != 204:
            log.warning("token not replaced yet status=%d", status)
        return status == 204

    def _prove(self, upcoming: Secret) -> bool:
        status = self._post(PROOF_PATH, {}, lambda: upcoming)
        if status != 204:
            return False
        self._credential.adopt()
        log.info("token replaced")
        return True

    def _post(self, path: str, content: dict[str, str], token: Callable[[], Secret]) -> int:
        link = self._link_with(token)
        try:
            answer = link.post(path, msgspec.json.encode(content), {"Content-Type": "application/json"})
        finally:
            link.close()
        return answer.status
