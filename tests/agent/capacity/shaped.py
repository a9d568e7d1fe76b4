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
        return measured_in(self._near, job)


def measured_in(space: str, job: Job) -> list[Point]:
    """Run the probe there."""
    argv = python_in(space, "-m", "tests.agent.capacity.in_namespace")
    return msgspec.json.decode(_run(*argv, given=msgspec.json.encode(job)), type=list[Point])


@contextmanager
def two_ends() -> Iterator[tuple[str, str]]:
    """Namespaces of a gateway, 10.99.0.1, and of a far end, 10.99.0.2, with the line «wan» between."""
    near, far = f"xt-near-{os.getpid()}", f"xt-far-{os.getpid()}"
    try:
        _build(near, far)
        yield near, far
    finally:
        for space in (near, far):
            subprocess.run(("ip", "netns", "delete", space), check=False)


@contextmanager
def shaped(rate: str) -> Iterator[Shaped]:
    """Build, serve and take down, whatever happens."""
    servers: list[subprocess.Popen[bytes]] = []
    with two_ends() as (near, far):
        try:
            urls = {}
            for family, address in (("ipv4", "10.99.0.2"), ("ipv6", "fd99::2")):
                server = subprocess.Popen(
                    (*python_in(far, "-m", "tests.agent.capacity.far_end"), address),
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


def python_in(space: str, *words: str) -> tuple[str, ...]:
    """The command that runs this Python in a namespace."""
    return ("ip", "netns", "exec", space, sys.executable, *words)


def _run(*command: str, given: bytes | None = None) -> bytes:
    done = subprocess.run(command, capture_output=True, cwd=ROOT, input=given, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
