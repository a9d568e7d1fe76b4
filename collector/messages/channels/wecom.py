"""WeCom 企业微信: a robot of a group; its key stands in its address.

Source: developer.work.weixin.qq.com, 群机器人配置说明 (path 91770) and 全局错误码 (path 90313): at most 20
messages a minute.
"""

from __future__ import annotations

import msgspec

from collector.messages.channels import Failure, Letter, Limit, cut, plain_for_robots
from collector.messages.channels.robots import judge, url_of
from collector.messages.channels.web import Web, place_of
from collector.messages.settings import WeComSettings

THROTTLED_SECONDS = 60.0
FAILURES = {
    -1: Failure.UNREACHABLE,  # 系统繁忙
    45009: Failure.THROTTLED,  # api freq out of limit
    45033: Failure.THROTTLED,  # 接口并发调用超过限制
    93000: Failure.REFUSED,  # invalid webhook url, hook key
    93004: Failure.REFUSED,  # 机器人被停用
    93008: Failure.REFUSED,  # 不在群里
    40001: Failure.REFUSED,  # invalid credential
}


class WeCom:
    """Sends text: no mark-up, and nobody is mentioned."""

    limits: tuple[Limit, ...] = (Limit(20, 60.0),)
    max_bytes = 2048
    """Of a text, as the robot allows."""

    def __init__(self, settings: WeComSettings, web: Web, key: str) -> None:
        self._url = url_of(settings.url_file, f"{key}.url_file")
        self._web = web

    def plain(self, text: str) -> str:
        return plain_for_robots(text)

    def send(self, letter: Letter) -> None:
        """Raises NotDelivered."""
        content = cut(letter.whole, self.max_bytes)
        body = {"msgtype": "text", "text": {"content": content, "mentioned_list": []}}
        url = self._url
        answer = self._web.post(url, msgspec.json.encode(body), {"X-Xiaotong-Key": letter.key})
        judge(
            answer, place_of(url), code_key="errcode", text_key="errmsg",
            failures=FAILURES, throttled_seconds=THROTTLED_SECONDS,
        )  # fmt: skip
