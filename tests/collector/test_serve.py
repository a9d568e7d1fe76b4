"""The command as a real process: its port, its end, its errors."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from collector.server import _signals_end, make_server
from collector.settings import Listen


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "collector.yaml"
    # the capacity responder has a port of its own and is not what is shown here
    file.write_text(
        f"data_directory: {tmp_path / 'data'}\nlisten: {{port: 0}}\nresponder: {{enabled: false}}\n"
    )
    return file


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from collector.main import main; main()", *arguments]


@contextlib.contextmanager
def serving(file: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    environment = {key: value for key, value in os.environ.items() if key != "PORT"}
    process = subprocess.Popen(
        command("serve", "--config", str(file)), stderr=subprocess.PIPE, text=True, env=environment
    )
    with process:
        assert process.stderr is not None
        try:
            port = next(int(found[1]) for line in process.stderr if (found := re.search(r"port=(\d+)", line)))
            yield process, port
        finally:
            process.kill()


HANGS = """
import contextlib, threading
from starlette.applications import Starlette
from collector import server
from collector.settings import Listen

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    threading.Event().wait()

server.STOP_SECONDS = 0.5
listening = Listen(port=0)
with server.listen(listening) as socket:
    print(socket.getsockname()[1], flush=True)
    server.serve(Starlette(lifespan=lifespan), listening, socket)
"""


def test_a_room_that_does_not_close_is_named_and_holds_nobody_up() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "not ended within seconds=0.5" in said
    assert "in lifespan" in said


def test_a_signal_before_the_server_takes_signals_ends_it() -> None:
    server = make_server(Starlette(), Listen(port=0))
    with _signals_end(server):
        os.kill(os.getpid(), signal.SIGTERM)
        assert server.should_exit


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_ends_within_five_seconds(settings_file: Path, stop: signal.Signals) -> None:
    with serving(settings_file) as (process, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert answer.status == 200
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"POST /api/v2/write HTTP/1.1\r\n")
            begin = time.monotonic()
            process.send_signal(stop)
            assert process.wait(10) == 0
            assert time.monotonic() - begin < 5


def test_a_port_in_use_is_one_line_and_status_2(settings_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            command("serve", "--config", str(settings_file)),
            env={**os.environ, "PORT": str(port)}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.strip() == (
        f"error: port {port} on 127.0.0.1 cannot be used: Address already in use; "
        "set another in PORT or in listen.port"
    )


def test_a_data_directory_that_cannot_be_made_is_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = tmp_path / "collector.yaml"
    file.write_text(f"data_directory: {tmp_path / 'file' / 'data'}\nlisten: {{port: 0}}\n")
    ended = subprocess.run(
        command("serve", "--config", str(file)), capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert "data_directory" in ended.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("called", [("config", "check"), ("serve", "--config"), ("verdicts", "--config")])
def test_a_plan_that_is_none_is_one_line_and_status_2(settings_file: Path, called: tuple[str, str]) -> None:
    settings_file.write_text(f"{settings_file.read_text()}verdicts: {{plans: [shandon]}}\n")
    ended = subprocess.run(
        command(*called, str(settings_file)), capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    [line] = ended.stderr.strip().splitlines()
    assert "key verdicts.plans: shandon is no plan; allowed: beilun" in line


def test_config_check(settings_file: Path) -> None:
    well = subprocess.run(
        command("config", "check", str(settings_file)), capture_output=True, text=True, check=False
    )
    assert (well.returncode, well.stdout) == (0, f"{settings_file}: ok\n")
    settings_file.write_text("data_directory: x\nprt: 1\n")
    wrong = subprocess.run(
        command("config", "check", str(settings_file)), capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "key prt: is unknown" in wrong.stderr


def test_a_responder_that_cannot_listen_is_told_without_a_traceback(settings_file: Path) -> None:
    lines = [line for line in settings_file.read_text().splitlines() if not line.startswith("responder:")]
    settings_file.write_text("\n".join([*lines, "responder: {listen: [192.0.2.77], port: 0}", ""]))
    ended = subprocess.run(
        command("serve", "--config", str(settings_file)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "cannot listen on 192.0.2.77 port 0" in ended.stderr
    assert "key responder.port" in ended.stderr
    assert "Traceback" not in ended.stderr
