"""DingTalk 钉钉: a custom robot of a group, signed (加签).

Source: open.dingtalk.com, 自定义机器人接入 and 全局错误码: at most 20 messages a minute, then mute
for 10 minutes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec

from collector.messages.channels import Failure, Letter, Limit, cut, plain_for_robots
from collector.messages.channels.robots import judge, secret_of, url_of
from collector.messages.channels.web import Web, place_of
from collector.messages.settings import DingTalkSettings

MUTE_SECONDS = 600.0
FAILURES = {
    -1: Failure.UNREACHABLE,  # 系统繁忙
    130101: Failure.THROTTLED,  # send too fast, exceed 20 times per minute
    410100: Failure.THROTTLED,  # 发送速度太快而限流
    310000: Failure.REFUSED,  # sign not match, keywords not in content, ip not in whitelist
    300001: Failure.REFUSED,  # token is not exist
    400013: Failure.REFUSED,  # 群已被解散
    400101: Failure.REFUSED,  # access_token不存在
    400102: Failure.REFUSED,  # 机器人已停用
}


class DingTalk:
    """Sends text: no mark-up, and nobody is mentioned."""

    limits: tuple[Limit, ...] = (Limit(20, 60.0),)
    max_bytes = 6000
    """Of the whole message; phones show far less. The robot takes 20,000 bytes."""

    def __init__(
        self, settings: DingTalkSettings, web: Web, wall_seconds: Callable[[], float], key: str
    ) -> None:
        self._url = url_of(settings.url_file, f"{key}.url_file")
        self._secret = secret_of(settings.secret_file, f"{key}.secret_file")
        self._web, self._wall_seconds = web, wall_seconds

    def plain(self, text: str) -> str:
        return plain_for_robots(text)

    def send(self, letter: Letter) -> None:
        """Raises NotDelivered."""
        body = {
            "msgtype": "text",
            "text": {"content": cut(letter.whole, self.max_bytes)},
            "at": {"isAtAll": False, "atMobiles": [], "atUserIds": []},
        }
        url = self._url
        answer = self._web.post(self._signed(url), msgspec.json.encode(body), {"X-Xiaotong-Key": letter.key})
        judge(
            answer, place_of(url), code_key="errcode", text_key="errmsg",
            failures=FAILURES, throttled_seconds=MUTE_SECONDS,
        )  # fmt: skip

    def _signed(self, url: str) -> str:
        secret = self._secret
        if not secret:
            return url
        timestamp = str(round(self._wall_seconds() * 1000))
        query = urlencode({"timestamp": timestamp, "sign": signature(timestamp, secret)})
        return f"{url}{'&' if '?' in url else '?'}{query}"


def signature(timestamp_milliseconds: str, secret: str) -> str:
    """HMAC-SHA256 of «timestamp, line feed, secret» under the secret, in base64."""
    signed = f"{timestamp_milliseconds}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode("ascii")
