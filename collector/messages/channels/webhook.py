"""A program of the county's own, like a gateway to SMS or voice: JSON with a signature.

The signature is HMAC-SHA256 under the shared key of the timestamp, a full stop and the body, in hex:
``X-Xiaotong-Signature: sha256=…``. The timestamp is seconds since 1970 UTC; a receiver refuses old ones.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import msgspec

from collector.messages.channels import Failure, Letter, Limit, NotDelivered, one_line
from collector.messages.channels.robots import refuse_status, secret_of, url_of
from collector.messages.channels.web import Web, place_of
from collector.messages.settings import WebhookSettings


class Webhook:
    """Posts each letter as it is."""

    max_bytes = 16_000

    def __init__(
        self, settings: WebhookSettings, web: Web, wall_seconds: Callable[[], float], key: str
    ) -> None:
        self.limits: tuple[Limit, ...] = (Limit(settings.a_minute, 60.0),)
        self._settings = settings
        self._url = url_of(settings.url_file, f"{key}.url_file")
        self._secret = secret_of(settings.secret_file, f"{key}.secret_file")
        self._web, self._wall_seconds = web, wall_seconds

    def plain(self, text: str) -> str:
        return one_line(text)

    def send(self, letter: Letter) -> None:
        """Raises NotDelivered."""
        timestamp = str(int(self._wall_seconds()))
        body = msgspec.json.encode(
            {
                "version": 1, "key": letter.key, "severity": letter.severity,
                "title": letter.title, "text": letter.text, "facts": letter.facts,
            }
        )  # fmt: skip
        url = self._url
        headers = {
            "X-Xiaotong-Key": letter.key,
            "X-Xiaotong-Timestamp": timestamp,
            "X-Xiaotong-Signature": f"sha256={signature(timestamp, body, self._secret)}",
        }
        answer = self._web.post(url, body, headers)
        refuse_status(answer, place_of(url))
        key, wanted = self._settings.success_key, self._settings.success_value
        if key and str(answer.json.get(key)) != wanted:
            said = one_line(str(answer.json.get(key)))
            raise NotDelivered(Failure.REFUSED, f"{place_of(url)}: {key} is {said}, not {wanted}")


def signature(timestamp: str, body: bytes, secret: str) -> str:
    """In hex."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
