"""Streams of events to open pages: told of changes, bounded, and no hindrance to a stop."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.settings import CollectorSettings
from collector.web.routes import page_routes
from config.school import School
from tests.collector.running import running, settings_in, wait_until
from tests.collector.web.rooms import PagesOnly, open_pages
from tests.collector.web.serving import Client, serving


class Stream:
    """One open stream."""

    def __init__(self, port: int, last: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._connection.request("GET", "/events", headers={"Last-Event-ID": last} if last else {})
        self.answer = self._connection.getresponse()

    def line(self, start: str) -> str:
        """The next line that begins so."""
        while True:
            text = self.answer.readline().decode()
            assert text, "the stream ended"
            if text.startswith(start):
                return text.strip()

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[PagesOnly]:
    web = {"streams": 2, "keep_alive": 1.0}
    settings = msgspec.convert(
        {"data_directory": str(tmp_path), "web": web}, CollectorSettings, dec_hook=_plain
    )
    opened = open_pages(tmp_path, settings=settings)
    yield opened
    opened.close()


def _plain(shape: type, value: object) -> object:
    return shape(value)


@pytest.fixture
def client(rooms: PagesOnly) -> Iterator[Client]:
    with serving(page_routes(rooms)) as made:
        yield made
        rooms.events.end()


def test_a_change_is_told_once_and_a_page_that_knows_it_is_not_told_again(
    rooms: PagesOnly, client: Client
) -> None:
    rooms.board.county()
    with contextlib.closing(Stream(client.port)) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        first = stream.line("id:")
        stream.line(":")  # nothing new: only that the connection stands
        rooms.registry.put_school(School("another", name="新学校"))
        rooms.board.county()
        second = stream.line("id:")
        assert second != first
    with contextlib.closing(Stream(client.port, last=second.removeprefix("id: "))) as again:
        assert again.line(":") == ": still here"


def test_streams_are_bounded_and_those_that_leave_make_room(rooms: PagesOnly, client: Client) -> None:
    streams = [Stream(client.port) for _ in range(2)]
    with contextlib.closing(Stream(client.port)) as refused:
        assert (refused.answer.status, refused.answer.headers["retry-after"]) == (503, "60")
    for stream in streams:
        stream.close()
    wait_until(lambda: rooms.events.open == 0)


def test_an_open_stream_holds_up_no_stop_and_pages_not_there_are_pages(tmp_path: Path) -> None:
    began = 0.0
    with running(settings_in(tmp_path, verdicts={"plans": ("shandan",)})) as collector:
        stream = Stream(collector.port)
        stream.line("retry:")
        answer = collector.request(
            "GET", "/nosuch", agent=None, headers={"Accept": "text/html", "Accept-Language": "en"}
        )
        assert (answer.status, b"Not found" in answer.body) == (404, True)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert collector.request("GET", "/api/v1/nosuch", agent=None).status == 404
        page = collector.request("GET", "/", agent=None)
        assert page.status == 200
        began = time.monotonic()
    assert time.monotonic() - began < 8
    stream.close()
