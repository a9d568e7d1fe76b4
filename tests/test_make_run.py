"""The README's first command, as a new user meets it: a fresh checkout, no root, no privileges.

The installation uses the package index; what then runs is shut into a network namespace of this test with a
gateway of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOBODY = 65534
PORT = 18321
TARGETS_OF_SHANDAN_FOR_A_RURAL_SCHOOL = 5
TRANSFER_BYTES = 300_000_000
TRANSFER = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
def drain():
    peer, _ = server.accept()
    while peer.recv(1 << 20):
        pass
reader = threading.Thread(target=drain)
reader.start()
sender = socket.create_connection(server.getsockname())
for _ in range(%d):
    sender.sendall(bytes(1_000_000))
sender.close()
reader.join()
"""

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs("git"),
    pytest.mark.needs("make"),
    pytest.mark.needs("curl"),
    pytest.mark.needs("setpriv"),
]


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A fresh copy of what the next commit would hold, installed as `make run` installs it."""
    folder = Path(tempfile.mkdtemp(prefix="xiaotong-fresh-", dir="/var/tmp"))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _run("chown", "-R", f"{NOBODY}:{NOBODY}", str(folder))
    folder.chmod(0o755)
    subprocess.run(_as_nobody(folder, "make", ".venv/.installed-run"), cwd=folder, check=True, timeout=300)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A host with one Ethernet port to a gateway, and no way further."""
    name = f"xtfresh{os.getpid()}"
    gateway = f"{name}g"
    for one in (name, gateway):
        _run("ip", "netns", "add", one)
        _run("ip", "-n", one, "link", "set", "lo", "up")
    _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", "lan", "netns", gateway)
    for one, port, address in ((name, "eth0", "10.99.0.2/24"), (gateway, "lan", "10.99.0.1/24")):
        _run("ip", "-n", one, "addr", "add", address, "dev", port)
        _run("ip", "-n", one, "link", "set", port, "up")
    _run("ip", "-n", name, "route", "add", "default", "via", "10.99.0.1")
    yield name
    for one in (name, gateway):
        subprocess.run(["ip", "netns", "del", one], check=False)


def test_make_run_shows_verdicts_and_a_page_and_ends_on_ctrl_c(checkout: Path, namespace: str) -> None:
    first = _start(checkout, namespace)
    try:
        verdicts = _verdicts_within(namespace, seconds=60)
        assert len(verdicts["verdicts"]) == TARGETS_OF_SHANDAN_FOR_A_RURAL_SCHOOL
        assert {verdict["verdict"] for verdict in verdicts["verdicts"]} <= {"met", "not_met", "unknown"}
        assert all(verdict["quote"] for verdict in verdicts["verdicts"])
        page = _get(namespace, "/schools/sample")
        assert "uPlot" in page
        _inside(namespace, "python3", "-c", TRANSFER % (TRANSFER_BYTES // 1_000_000))
        _bytes_seen_within(namespace, seconds=40)
        assert _probe_state(namespace, "ping")["success"] is True
        oldest = _oldest_point(namespace)
    finally:
        shown = _end(first)
    assert f"http://127.0.0.1:{PORT}" in shown, shown
    assert "Traceback" not in shown

    second = _start(checkout, namespace)
    try:
        _verdicts_within(namespace, seconds=60)
        assert _oldest_point(namespace) == oldest, "the second run goes on with the same data"
    finally:
        _end(second)


def test_a_port_in_use_is_named(checkout: Path, namespace: str) -> None:
    hold = (
        f"import socket, time; held = socket.create_server(('127.0.0.1', {PORT})); "
        "print(flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        ["ip", "netns", "exec", namespace, "python3", "-c", hold], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        process = _start(checkout, namespace)
        output, _ = process.communicate(timeout=30)
    finally:
        holder.kill()
        holder.communicate()
    assert str(PORT) in output
    assert "PORT" in output
    assert process.returncode != 0


def _as_nobody(folder: Path, *command: str) -> list[str]:
    dropped = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    environment = ["env", f"HOME={folder}", "PYTHON=/usr/bin/python3", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"]
    return [*dropped, *environment, *command]


def _start(folder: Path, namespace: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *_as_nobody(folder, "make", "run", f"PORT={PORT}")],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C as a terminal does: the whole foreground group gets SIGINT."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    try:
        output, _ = process.communicate(timeout=15)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert time.monotonic() - started < 5 + 5, "both stop within 5 s (and as much again on a busy machine)"
    return output


def _verdicts_within(namespace: str, *, seconds: float) -> dict[str, Any]:
    """The verdicts, once the agent's own points have been judged."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(subprocess.CalledProcessError):
            answer: dict[str, Any] = json.loads(_get(namespace, "/api/v1/schools/sample/verdicts"))
            if answer["verdicts"] and any(probe["name"] == "interfaces" for probe in answer["probes"]):
                return answer
        time.sleep(0.5)
    raise AssertionError(f"no verdicts within {seconds} s")


def _bytes_seen_within(namespace: str, *, seconds: float) -> None:
    """The chart's own data hold the transfer, to the byte or more."""
    deadline = time.monotonic() + seconds
    seen = 0
    while time.monotonic() < deadline:
        seen = sum(point["fields"]["rx_bytes"] for point in _loopback(namespace))
        if seen >= TRANSFER_BYTES:
            return
        time.sleep(1)
    raise AssertionError(f"the chart shows {seen} bytes of a transfer of {TRANSFER_BYTES}")


def _probe_state(namespace: str, name: str) -> dict[str, Any]:
    probes = json.loads(_get(namespace, "/api/v1/schools/sample/verdicts"))["probes"]
    found: dict[str, Any] = next(probe for probe in probes if probe["name"] == name)
    return found


def _oldest_point(namespace: str) -> str:
    oldest: str = min(point["at"] for point in _loopback(namespace))
    return oldest


def _loopback(namespace: str) -> list[dict[str, Any]]:
    """What the chart of the loopback is drawn from."""
    path = "/api/v1/schools/sample/series?measurement=interface&fields=rx_bytes&interface=lo&resolution=raw"
    series = json.loads(_get(namespace, path))["series"]
    return [point for one in series for point in one["points"]]


def _get(namespace: str, path: str) -> str:
    return _inside(namespace, "curl", "-sSf", "--max-time", "5", f"http://127.0.0.1:{PORT}{path}")


def _inside(namespace: str, *command: str) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, *command], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
