"""Two network namespaces and one shaped veth between them, without offloads: packets are packets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from config.points import Point
from config.school import Line, School
from tests.agent.capacity.in_namespace import Job

ROOT = Path(__file__).parents[3]
SCHOOL = School(id="s1", lines=(Line(id="l1", interface="wan"),))


class Shaped:
    """A school's gateway («near») and a responder («far») with a line between them."""

    def __init__(self, near: str, far: str, urls: dict[str, str]) -> None:
        self._near = near
        self._far = far
        self._urls = urls

    def shape(self, rate: str) -> None:
        """Shape both directions with tbf, whose rate counts whole frames."""
        for space in (self._near, self._far):
            _run("tc", "-n", space, "qdisc", "replace", "dev", "wan", "root", "tbf",
                 "rate", rate, "burst", "32k", "latency", "50ms")  # fmt: skip

    def measured(self, family: str, settings: Sequence[dict[str, object]]) -> list[Point]:
        """Run the probe at the near end, once for each settings."""
        job = Job(self._urls[family], SCHOOL, [{"families": [family], **each} for each in settings])
        found = _run(
            *_python_in(self._near, "tests.agent.capacity.in_namespace"), given=msgspec.json.encode(job)
        )
        return msgspec.json.decode(found, type=list[Point])


@contextmanager
def shaped(rate: str) -> Iterator[Shaped]:
    """Build, serve and take down, whatever happens."""
    near, far = f"xt-near-{os.getpid()}", f"xt-far-{os.getpid()}"
    servers: list[subprocess.Popen[bytes]] = []
    try:
        _build(near, far)
        urls = {}
        for family, address in (("ipv4", "10.99.0.2"), ("ipv6", "fd99::2")):
            server = subprocess.Popen(
                (*_python_in(far, "tests.agent.capacity.far_end"), address),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            )  # fmt: skip
            servers.append(server)
            assert server.stdout is not None
            urls[family] = server.stdout.readline().decode().strip()
        line = Shaped(near, far, urls)
        line.shape(rate)
        yield line
    finally:
        for server in servers:
            server.communicate(b"", timeout=10)
        for space in (near, far):
            subprocess.run(("ip", "netns", "delete", space), check=False)


def _build(near: str, far: str) -> None:
    for space in (near, far):
        _run("ip", "netns", "add", space)
    _run("ip", "-n", near, "link", "add", "wan", "type", "veth", "peer", "name", "wan", "netns", far)
    for space, host in ((near, 1), (far, 2)):
        _run("ip", "-n", space, "address", "add", f"10.99.0.{host}/24", "dev", "wan")
        _run("ip", "-n", space, "address", "add", f"fd99::{host}/64", "dev", "wan", "nodad")
        _run("ip", "-n", space, "link", "set", "lo", "up")
        _run("ip", "netns", "exec", space, "ethtool", "-K", "wan", "tso", "off", "gso", "off", "gro", "off")
        _run("ip", "-n", space, "link", "set", "wan", "up")


def _python_in(space: str, module: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", space, sys.executable, "-m", module)


def _run(*command: str, given: bytes | None = None) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, cwd=ROOT, input=given).stdout
