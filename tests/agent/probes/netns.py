"""Two network namespaces joined by a veth pair, made and taken down by the test."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


def inside(namespace: str, *words: str, text: str | None = None) -> None:
    """Run a command in a namespace."""
    command = ["ip", "netns", "exec", namespace, *words]
    subprocess.run(command, check=True, capture_output=True, timeout=10, input=text, text=True)


def enter(namespace: str) -> None:
    """Move the calling thread alone into a namespace."""
    handle = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(handle)


def call_in(namespace: str, function: Callable[[], T], seconds: float = 60) -> T:
    """The result of ``function`` run by a thread of its own in a namespace."""
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            enter(namespace)
            results.append(function())
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0]


@contextlib.contextmanager
def joined_pair() -> Iterator[tuple[str, str]]:
    """Names of two namespaces: «near» holds 10.99.0.1 and fd99::1 on ``near0``, «far» .2 and ::2 on ``far0``.

    The near one's default routes go by the far one.
    """
    mark = secrets.token_hex(3)
    near, far = f"xtn{mark}", f"xtf{mark}"
    try:
        for name in (near, far):
            ip("netns", "add", name)
        ip("link", "add", "near0", "netns", near, "type", "veth", "peer", "name", "far0", "netns", far)
        for name, port, number in ((near, "near0", 1), (far, "far0", 2)):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"10.99.0.{number}/24", "dev", port)
            ip("-n", name, "addr", "add", f"fd99::{number}/64", "dev", port, "nodad")
            ip("-n", name, "link", "set", port, "up")
        ip("-n", near, "route", "add", "default", "via", "10.99.0.2")
        ip("-n", near, "-6", "route", "add", "default", "via", "fd99::2")
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=10)
