"""Servers of loopback that speak each channel's protocol, with its error codes, and throttle as it does."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from collector.messages.channels import dingtalk, feishu

TOKEN = "c0ffee-token"
DINGTALK_SECRET = "SECdingtalk0123456789"
FEISHU_SECRET = "feishu-0123456789"
WECOM_KEY = "693axxx6-7aoc-4bc4"
HOUR_SECONDS = 3600


def secret_file(folder: Path, name: str, text: str, mode: int = 0o600) -> str:
    """A file as settings name it for a secret; gives its path."""
    file = folder / name
    file.write_text(text + "\n")
    file.chmod(mode)
    return str(file)


class Robot:
    """A robot's server. ``seconds`` is its clock, that a test may move. ``taken`` are texts that arrived."""

    def __init__(self, seconds: Callable[[], float] = time.time) -> None:
        self.seconds = seconds
        self.taken: list[str] = []
        self.keys: list[str] = []
        self.asked: list[float] = []
        self.muted_until = 0.0
        self.lock = threading.Lock()

    def answer(self, path: str, body: Any) -> dict[str, Any]:
        """What the robot says, always within HTTP 200."""
        raise NotImplementedError

    def serve(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        with self.lock:
            before = len(self.taken)
            said = self.answer(path, msgspec.json.decode(body))
            if len(self.taken) > before:
                self.keys.append(headers["X-Xiaotong-Key"])
            return 200, said


class DingTalkRobot(Robot):
    """20 messages a minute, then mute for 10 minutes; signed within an hour."""

    def answer(self, path: str, body: Any) -> dict[str, Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        now = self.seconds()
        if query.get("access_token") != TOKEN:
            return {"errcode": 300001, "errmsg": "token is not exist"}
        stamp = query.get("timestamp", "0")
        well = query.get("sign") == dingtalk.signature(stamp, DINGTALK_SECRET)
        if not well or abs(now - int(stamp) / 1000) > HOUR_SECONDS:
            return {"errcode": 310000, "errmsg": "sign not match"}
        self.asked = [each for each in self.asked if now - each < 60] + [now]
        if now < self.muted_until or len(self.asked) > 20:
            self.muted_until = max(self.muted_until, now + 600 if len(self.asked) > 20 else 0.0)
            return {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}
        if body.get("msgtype") != "text" or body["at"]["isAtAll"]:
            return {"errcode": 400105, "errmsg": "unsupported message type"}
        self.taken.append(body["text"]["content"])
        return {"errcode": 0, "errmsg": "ok"}


class WeComRobot(Robot):
    """20 messages a minute; texts of at most 2048 bytes."""

    def answer(self, path: str, body: Any) -> dict[str, Any]:
        if parse_qs(urlsplit(path).query).get("key") != [WECOM_KEY]:
            return {"errcode": 93000, "errmsg": "invalid webhook url, hint: [1], from ip: 127.0.0.1"}
        now = self.seconds()
        self.asked = [each for each in self.asked if now - each < 60] + [now]
        if len(self.asked) > 20:
            return {"errcode": 45009, "errmsg": "api freq out of limit"}
        content = body["text"]["content"]
        if len(content.encode()) > 2048:
            return {"errcode": 40058, "errmsg": "content exceed max length. invalid Request Parameter"}
        self.taken.append(content)
        return {"errcode": 0, "errmsg": "ok"}


class FeishuRobot(Robot):
    """100 messages a minute and 5 a second; signed within an hour."""

    def answer(self, path: str, body: Any) -> dict[str, Any]:
        now = self.seconds()
        stamp = body.get("timestamp", "0")
        well = body.get("sign") == feishu.signature(stamp, FEISHU_SECRET)
        if not well or abs(now - int(stamp)) > HOUR_SECONDS:
            return {
                "code": 19021,
                "msg": "sign match fail or timestamp is not within one hour from current time",
            }
        self.asked = [each for each in self.asked if now - each < 60] + [now]
        if len(self.asked) > 100 or sum(now - each < 1 for each in self.asked) > 5:
            return {"code": 11232, "msg": "frequency limited psm[lark.oapi.app_platform_runtime]"}
        if body.get("msg_type") != "text":
            return {"code": 9499, "msg": "Bad Request"}
        self.taken.append(body["content"]["text"])
        return {"code": 0, "msg": "success", "data": {}}


class Recorder:
    """Answers what it is told to, and keeps what it was sent."""

    def __init__(self, status: int = 200, said: Any = None, headers: dict[str, str] | None = None) -> None:
        self.status, self.said, self.headers = status, said if said is not None else {}, headers or {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def serve(self, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        self.requests.append((path, dict(headers.items()), body))
        return self.status, self.said


@contextlib.contextmanager
def serving(sink: Any) -> Iterator[str]:
    """Serve a sink on a free port of loopback; gives its address."""
    with serving_at(sink, "127.0.0.1", 0) as url:
        yield url


@contextlib.contextmanager
def serving_at(sink: Any, host: str, port: int) -> Iterator[str]:
    """Serve a sink there; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, said = sink.serve(self.path, self.headers, body)
            answer = said if isinstance(said, bytes) else msgspec.json.encode(said)
            self.send_response(status)
            for name, value in getattr(sink, "headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
