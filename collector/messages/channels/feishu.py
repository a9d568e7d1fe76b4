"""Feishu 飞书: a custom robot of a group, signed (签名校验).

Source: open.feishu.cn, 自定义机器人使用指南: 100 messages a minute and 5 a second; a body of 20 KB at most.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec

from collector.messages.channels import Failure, Letter, Limit, NotDelivered, cut, plain_for_robots
from collector.messages.channels.robots import judge, secret_of, url_of
from collector.messages.channels.web import Answer, Web, place_of
from collector.messages.settings import FeishuSettings

THROTTLED_SECONDS = 60.0
FAILURES = {
    11232: Failure.THROTTLED,  # frequency limited
    19001: Failure.REFUSED,  # param invalid: incoming webhook access token invalid
    19021: Failure.REFUSED,  # sign match fail or timestamp is not within one hour from current time
    19022: Failure.REFUSED,  # Ip Not Allowed
    19024: Failure.REFUSED,  # Key Words Not Found
    9499: Failure.CONTENT,  # Bad Request
}


class Feishu:
    """Sends text: no mark-up, and nobody is mentioned."""

    limits: tuple[Limit, ...] = (Limit(100, 60.0), Limit(5, 1.0))
    max_bytes = 6000
    """Of a text; the robot takes a body of 20 KB."""

    def __init__(
        self, settings: FeishuSettings, web: Web, wall_seconds: Callable[[], float], key: str
    ) -> None:
        self._url = url_of(settings.url_file, f"{key}.url_file")
        self._secret = secret_of(settings.secret_file, f"{key}.secret_file")
        self._web, self._wall_seconds = web, wall_seconds

    def plain(self, text: str) -> str:
        return plain_for_robots(text)

    def send(self, letter: Letter) -> None:
        """Raises NotDelivered."""
        body: dict[str, Any] = {
            **self._proof(),
            "msg_type": "text",
            "content": {"text": cut(letter.whole, self.max_bytes)},
        }
        url = self._url
        answer = self._web.post(url, msgspec.json.encode(body), {"X-Xiaotong-Key": letter.key})
        _refuse_throttled(answer, place_of(url))
        judge(
            answer, place_of(url), code_key="code", text_key="msg",
            failures=FAILURES, throttled_seconds=THROTTLED_SECONDS,
        )  # fmt: skip

    def _proof(self) -> dict[str, str]:
        secret = self._secret
        if not secret:
            return {}
        timestamp = str(round(self._wall_seconds()))
        return {"timestamp": timestamp, "sign": signature(timestamp, secret)}


def signature(timestamp_seconds: str, secret: str) -> str:
    """HMAC-SHA256 of nothing under «timestamp, line feed, secret», in base64."""
    key = f"{timestamp_seconds}\n{secret}".encode()
    return base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode("ascii")


def _refuse_throttled(answer: Answer, where: str) -> None:
    """Code 9499 is «Bad Request» and «too many request»: its words tell which."""
    words = str(answer.json.get("msg", ""))
    if answer.json.get("code") == 9499 and "too many" in words.lower():
        raise NotDelivered(Failure.THROTTLED, f"{where}: code 9499 too many request", THROTTLED_SECONDS)
