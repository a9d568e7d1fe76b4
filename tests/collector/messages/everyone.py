"""Everyone who may be told: the three robots, a mailbox, a program of the county's own; and what they got."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from collector.messages.channels.webhook import signature
from tests.collector.messages.mail_server import PASSWORD, USER, Certificates, Mailbox, mail_server
from tests.collector.messages.sinks import (
    DINGTALK_SECRET,
    FEISHU_SECRET,
    TOKEN,
    WECOM_KEY,
    DingTalkRobot,
    FeishuRobot,
    Robot,
    WeComRobot,
    secret_file,
    serving,
)

WEBHOOK_SECRET = "gateway-0123456789"


class Received(NamedTuple):
    """A letter as it arrived: its key, its title and its text."""

    key: str
    title: str
    text: str


class Gateway(Robot):
    """A program that takes letters with the right signature, and says so by HTTP's status alone."""

    def serve(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        wanted = f"sha256={signature(headers['X-Xiaotong-Timestamp'], body, WEBHOOK_SECRET)}"
        if headers["X-Xiaotong-Signature"] != wanted:
            return 403, {}
        said = msgspec.json.decode(body)
        with self.lock:
            self.taken.append(f"{said['title']}\n{said['text']}\n[{said['key']}]")
            self.keys.append(headers["X-Xiaotong-Key"])
        return 200, {}


class Everyone:
    """Their servers stand until ``stack`` is left. ``settings`` are those of the collector's messages.

    The mailbox reads English, all others Chinese.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.box, certificates = Mailbox(), Certificates(folder)
        self.robots = {
            "dingtalk": DingTalkRobot(), "wecom": WeComRobot(), "feishu": FeishuRobot(), "webhook": Gateway(),
        }  # fmt: skip
        port = stack.enter_context(mail_server(self.box, certificates, "starttls"))
        at = {name: stack.enter_context(serving(robot)) for name, robot in self.robots.items()}
        urls = {
            "dingtalk": f"{at['dingtalk']}/robot/send?access_token={TOKEN}",
            "wecom": f"{at['wecom']}/?key={WECOM_KEY}",
            "feishu": f"{at['feishu']}/hook",
            "webhook": f"{at['webhook']}/alarm",
        }
        secrets = {"dingtalk": DINGTALK_SECRET, "feishu": FEISHU_SECRET, "webhook": WEBHOOK_SECRET}
        channels: dict[str, dict[str, Any]] = {
            name: {name: {"url_file": secret_file(folder, f"{name}.url", url)}} for name, url in urls.items()
        }
        for name, secret in secrets.items():
            channels[name][name]["secret_file"] = secret_file(folder, f"{name}.secret", secret)
        channels["email"] = {
            "email": {
                "host": "127.0.0.1", "port": port, "sender": "x@county.example", "to": ["duty@x.example"],
                "user": USER, "password_file": secret_file(folder, "mail.secret", PASSWORD),
                "ca_file": str(certificates.ca_file),
            },
        }  # fmt: skip
        languages = {"email": {"language": "en"}}
        self.settings: dict[str, Any] = {
            "channels": channels,
            "recipients": {f"to_{name}": {"channel": name, **languages.get(name, {})} for name in channels},
        }

    def received(self) -> dict[str, list[Received]]:
        """What each channel brought so far, in order."""
        letters = {
            name: [_received(*pair) for pair in zip(robot.keys, robot.taken, strict=False)]
            for name, robot in self.robots.items()
        }
        mails = list(self.box.taken)
        letters["email"] = [
            _received(each["X-Xiaotong-Key"], f"{each['Subject']}\n{each.get_content().strip()}")
            for each in mails
        ]
        return letters

    def told(self) -> dict[str, str]:
        """What has reached all of them: the Chinese titles, by the change's key («42-2-opened»)."""
        letters = self.received()
        titles = {_change(each.key, "dingtalk"): each.title for each in letters["dingtalk"]}
        reached = [{_change(each.key, name) for each in mine} for name, mine in letters.items()]
        return {key: title for key, title in titles.items() if all(key in keys for keys in reached)}


def _change(key: str, channel: str) -> str:
    return key.removesuffix(f"-to_{channel}")


def _received(key: str, whole: str) -> Received:
    """Title, text and the key at the end: every channel shows them so."""
    title, _, rest = whole.partition("\n")
    assert rest.endswith(f"[{key}]")
    return Received(key, title, rest.removesuffix(f"[{key}]").strip())
