"""``xiaotong-collector try``: the whole product on one machine, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from collector.main import main
from collector.settings import load_settings
from collector.trial.children import Children
from collector.trial.sample import keep_ports, prepare
from tests.collector.running import wait_until

NAMESPACE, GATEWAY = "xt-try-school", "xt-try-gate"
PORT = 8080


@pytest.fixture
def namespace() -> Iterator[str]:
    """A host with a default route to a gateway that is a second namespace: nothing leaves this machine."""
    try:
        _ip("netns", "add", NAMESPACE)
        _ip("netns", "add", GATEWAY)
        _ip("link", "add", "wan", "netns", NAMESPACE, "type", "veth", "peer", "name", "lan", "netns", GATEWAY)
        for name, device, address in ((NAMESPACE, "wan", "10.91.0.2/24"), (GATEWAY, "lan", "10.91.0.1/24")):
            _ip("-n", name, "addr", "add", address, "dev", device)
            _ip("-n", name, "link", "set", device, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", NAMESPACE, "route", "add", "default", "via", "10.91.0.1")
        yield NAMESPACE
    finally:
        for name in (NAMESPACE, GATEWAY):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def try_command(namespace: str, directory: Path) -> list[str]:
    program = str(Path(sys.executable).with_name("xiaotong-collector"))
    inside = ["ip", "netns", "exec", namespace]
    return [*inside, program, "try", "--directory", str(directory), "--port", str(PORT)]


class Trial:
    """A running trial and what it has said."""

    def __init__(self, namespace: str, directory: Path) -> None:
        command = try_command(namespace, directory)
        environment = {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "LANGUAGE": ""}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self.said.extend(stream)

    def waits_for(self, text: str, seconds: float = 60) -> None:
        wait_until(lambda: any(text in line for line in self.said), seconds)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stopped(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(8)
        finally:
            self.process.kill()
            self._reader.join(5)


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_it_shows_verdicts_stops_all_and_goes_on_with_the_same_data(namespace: str, tmp_path: Path) -> None:
    trial = Trial(namespace, tmp_path / "var")
    try:
        trial.waits_for("? unknown  Egress bandwidth for all classes (by 2018-12-31) | at least 120 Mbit/s")
        trial.waits_for(f"Page: http://127.0.0.1:{PORT}")
        trial.waits_for("interfaces: ✓ measures")
        children = trial.children()
        assert len(children) >= 2
    finally:
        asked = time.monotonic()
        status = trial.stopped(signal.SIGINT)
        took = time.monotonic() - asked
    assert status == 0
    assert took < 5, "Ctrl-C stops both: children still there after 4 s are killed"
    assert not any(child.is_running() for child in children)
    token = (tmp_path / "var/agent.token").read_text()
    assert stat.S_IMODE((tmp_path / "var/agent.token").stat().st_mode) == 0o600
    again = Trial(namespace, tmp_path / "var")
    try:
        again.waits_for("Egress bandwidth")
        agent = next(child for child in again.children() if "xiaotong-agent" in " ".join(child.cmdline()))
        agent.kill()
        again.waits_for("error: the agent ended with status -9")
        assert again.process.wait(8) == 1
    finally:
        again.stopped()
    assert (tmp_path / "var/agent.token").read_text() == token


TARGETS = (
    "Egress bandwidth for all classes (by 2017-12-31)",
    "Egress bandwidth for all classes (by 2018-12-31)",
    "Two fibre networks (by 2017-12-31)",
    "Campus network coverage (by 2017-12-31)",
    "Campus network coverage (by 2018-12-31)",
)


class Terminal:
    """A terminal of a given size, and the frames that a program draws on it."""

    def __init__(self, command: list[str], columns: int, lines: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "", "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def frame(self) -> list[str]:
        """The lines of the last whole frame: what stands between two erasures of the lines before."""
        frames = re.split(rb"(?:\x1b\[1A\x1b\[2K)+", bytes(self._written))
        text = frames[-2].decode("utf-8", "replace") if len(frames) > 1 else ""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").split("\n")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(8)
        self._reader.join(5)
        os.close(self._ours)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
            while chunk := os.read(self._ours, 65536):
                self._written += chunk


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_a_terminal_of_80_by_24_shows_every_verdict_with_its_evidence(namespace: str, tmp_path: Path) -> None:
    command = try_command(namespace, tmp_path / "var")
    terminal = Terminal(command, columns=80, lines=24)
    try:
        wait_until(lambda: any("traffic peak" in line for line in terminal.frame()), 60)
        frame = terminal.frame()
    finally:
        terminal.close()
    assert len(frame) <= 24
    assert max(map(len, frame)) <= 80
    assert frame[0].startswith(f"Page: http://127.0.0.1:{PORT}   Ctrl-C stops")
    for target in TARGETS:
        assert any(line.startswith("? unknown ") and target in line for line in frame), target
    assert any(re.search(r"≥ .* · traffic peak · line1 · \d+ s ago", line) for line in frame)
    assert sum("Would settle it: " in line for line in frame) == len(TARGETS)


@pytest.mark.needs_root
@pytest.mark.needs("ip")
def test_children_end_when_the_trial_itself_is_killed(namespace: str, tmp_path: Path) -> None:
    trial = Trial(namespace, tmp_path / "var")
    try:
        trial.waits_for("Starting the agent")
        wait_until(lambda: len(trial.children()) >= 2)
        children = trial.children()
        trial.process.kill()
        wait_until(lambda: not any(child.is_running() for child in children), 10)
    finally:
        trial.stopped()


def test_a_port_in_use_is_one_line_with_port_and_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["try", "--directory", str(tmp_path / "var"), "--port", str(port)])
    assert result.exit_code == 2
    assert result.output == f"error: port {port} on 127.0.0.1 is in use; set another with PORT=… or --port\n"
    assert not (tmp_path / "var").exists()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_settings_are_written_once_and_only_ports_are_kept_up(tmp_path: Path) -> None:
    first = prepare(tmp_path, free_port())
    load_settings(first.collector_file)
    changed = first.agent_file.read_text().replace("classes: 12", "classes: 9")
    first.agent_file.write_text(changed)
    second = prepare(tmp_path, free_port())
    text = second.agent_file.read_text()
    assert "classes: 9" in text
    assert f"url: http://127.0.0.1:{second.port} # kept by «try»" in text
    assert str(first.port) not in text


def test_a_line_that_does_not_say_that_it_is_kept_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("  url: http://mine\nport: 1 # kept by «try»\n")
    keep_ports(file, {"url": "http://other", "port": "2"})
    assert file.read_text() == "  url: http://mine\nport: 2 # kept by «try»\n"


def test_broken_settings_are_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("school: {id: sample, klasses: 3}\n")
    result = CliRunner().invoke(main, ["try", "--directory", str(tmp_path), "--port", str(free_port())])
    assert result.exit_code == 2
    assert result.output.startswith(f"error: {tmp_path}/agent.yaml: key school.klasses: is unknown")


def test_a_child_that_does_not_end_is_killed_and_logs_are_bounded(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('x' * 70000, flush=True); time.sleep(60)"
    )
    with Children() as children:
        child = children.start("stubborn", [sys.executable, "-c", stubborn], tmp_path / "s.log")
        wait_until(lambda: (tmp_path / "s.log").exists() and (tmp_path / "s.log").stat().st_size > 65536)
    assert child.exit_status() == -signal.SIGKILL
    assert max(map(len, child.last_lines())) <= 65536


def test_settings_of_an_earlier_version_let_this_host_in(tmp_path: Path) -> None:
    prepare(tmp_path, 18399)
    file = tmp_path / "collector.yaml"
    text = file.read_text()
    file.write_text(re.sub(r"^access:.*\n", "", text, flags=re.MULTILINE))
    prepare(tmp_path, 18399)
    assert load_settings(file).access.anonymous == "county_admin"
    file.write_text(text.replace("anonymous: county_admin", "anonymous: none"))
    prepare(tmp_path, 18399)
    assert load_settings(file).access.anonymous == "none"
