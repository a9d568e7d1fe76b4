"""The example of a gateway in docs/examples: it runs, hands each on once, refuses what is not ours."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.messages.channels import Failure, Letter, NotDelivered
from collector.messages.channels.opening import open_channel
from collector.messages.channels.webhook import signature
from tests.collector.messages.sinks import secret_file
from tests.collector.messages.test_channels import channels
from tests.collector.running import wait_until

EXAMPLE = Path(__file__).parents[3] / "docs/examples/sms_gateway.py"
LETTER = Letter("7-2-opened-duty", "【紧急】第一小学：线路中断", "自 11-22 14:03 起。")


@contextlib.contextmanager
def gateway(folder: Path, script: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(EXAMPLE), str(port), secret_file(folder, "shared", "s3cret")]
    process = subprocess.Popen([*command, sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _post(port: int, body: bytes, stamp: str, signed: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        headers = {"X-Xiaotong-Timestamp": stamp, "X-Xiaotong-Signature": signed}
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status


def test_the_example_hands_on_what_is_ours_and_once(tmp_path: Path) -> None:
    out = tmp_path / "sent.txt"
    script = f"import sys; open({str(out)!r}, 'ab').write(sys.stdin.buffer.read() + b'\\n--\\n')"
    with gateway(tmp_path, script) as port:
        made = {
            "url_file": secret_file(tmp_path, "url", f"http://127.0.0.1:{port}/"),
            "secret_file": str(tmp_path / "shared"),
        }
        channel = open_channel(channels(tmp_path, webhook={"sms": made}), "sms", time.time)
        channel.send(LETTER)
        channel.send(LETTER)
        now, body = str(int(time.time())), b'{"key":"k"}'
        old = str(int(time.time()) - 400)
        assert _post(port, body, now, "sha256=00") == 401
        assert _post(port, body, old, f"sha256={signature(old, body, 's3cret')}") == 401
        assert _post(port, body, now, f"sha256={signature(now, body, 'other')}") == 401
    assert out.read_text() == f"{LETTER.title}\n{LETTER.text}\n--\n"


def test_a_command_that_fails_is_tried_again(tmp_path: Path) -> None:
    with gateway(tmp_path, "raise SystemExit(3)") as port:
        made = {
            "url_file": secret_file(tmp_path, "url", f"http://127.0.0.1:{port}/"),
            "secret_file": str(tmp_path / "shared"),
        }
        channel = open_channel(channels(tmp_path, webhook={"sms": made}), "sms", time.time)
        with pytest.raises(NotDelivered, match="HTTP 502") as caught:
            channel.send(LETTER)
    assert caught.value.failure is Failure.UNREACHABLE
