"""A browser's part of the pages: cookies kept, forms sent as a browser sends them."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3

from collector.access.permissions import Role
from collector.access.who import Who
from tests.collector.running import Answered, Running

PASSWORD = "correct horse battery"
BY = Who("test")


class Visitor:
    """One browser at one address of loopback."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.port = port
        self.source = source
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, body: str | bytes = "", headers: Mapping[str, str] | None = None
    ) -> Answered:
        sent = {"Accept": "text/html", **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=20, source_address=(self.source, 0)
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("set-cookie", []):
                self._keep(cookie)
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, names, answer.read())

    def get(self, path: str, **headers: str) -> Answered:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, headers: Mapping[str, str] | None = None, **fields: Any) -> Answered:
        """Send a form from our own page."""
        own = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"http://127.0.0.1:{self.port}",
        }
        return self.ask("POST", path, urlencode(fields, doseq=True), {**own, **(headers or {})})

    def upload(self, path: str, name: str, content: bytes, **fields: str) -> Answered:
        """Send a form with a file from our own page, in the encoding of another library."""
        body, kind = urllib3.encode_multipart_formdata({**fields, "file": (name, content)})
        origin = f"http://127.0.0.1:{self.port}"
        return self.ask("POST", path, body, {"Content-Type": kind, "Origin": origin})

    def log_in(self, name: str, password: str = PASSWORD, after: str = "/") -> Answered:
        return self.post("/login", name=name, password=password, next=after)

    def _keep(self, cookie: str) -> None:
        name, _, value = cookie.partition(";")[0].partition("=")
        if value.strip('"'):
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)


def add_user(collector: Running, name: str, role: Role, *schools: str, password: str = PASSWORD) -> None:
    """A user with a password."""
    room = collector.rooms.access
    user = room.users.add(name, role, schools, by=BY)
    room.users.set_password(user.id, room.passwords.hash(password), by=BY)
