"""``python -m tests.collector.enrolment.many [AGENTS] [GUESSES]``: agents enrolled by a script against a real
«serve» process over TLS, while somebody guesses. Prints what came of it; the test runs a short one.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from collector.access import audit
from collector.enrolment import certificates
from collector.enrolment.codes import new_code
from collector.enrolment.invitations import Invitations
from collector.registry import Registry
from config.school import School

SETTINGS = """\
data_directory: {folder}/data
public_url: https://127.0.0.1:{port}
listen:
  port: {port}
  tls: {{certificate: {folder}/tls/server.pem, key: {folder}/tls/server.key, ca: {folder}/tls/ca.pem}}
"""
BIN = Path(sys.executable).parent
GUESSER = "127.0.0.66"
"""An address of loopback of its own, so that it is not the enrolling agents'."""


class Result(NamedTuple):
    """What came of it."""

    enrolled: int
    second_use: str
    expired: str
    guesses: dict[int, int]
    guess_seconds: float
    slowest_enrolment_seconds: float
    everything: str
    """All that processes printed and logged, to look for secrets in."""
    secrets: list[str]
    command_lines: str


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of the product."""
    name, *rest = arguments
    return subprocess.run([str(BIN / name), *rest], capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[Path, int, subprocess.Popen[bytes]]]:
    """A collector with its own CA, in a process; its settings, port and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    certificates.make(folder / "tls", ("127.0.0.1",), 30, datetime.now(UTC))
    config = folder / "collector.yaml"
    config.write_text(SETTINGS.format(folder=folder, port=port), encoding="utf-8")
    with (folder / "serve.log").open("wb") as log:
        command = [str(BIN / "xiaotong-collector"), "serve", "--config", str(config)]
        environment = {key: value for key, value in os.environ.items() if key != "PORT"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        _wait_for(port, folder)
        yield config, port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def play(folder: Path, agents: int, guesses: int) -> Result:
    """Enrol ``agents`` while one guesses; use one code twice and one too late."""
    with served(folder) as (config, port, process):
        with opened(folder) as registry:
            registry.put_schools(School(f"s{number}") for number in range(agents))
        invited = run("xiaotong-collector", "agents", "invite", "--all", "--json", "--config", str(config))
        invitations = msgspec.json.decode(invited.stdout)
        with concurrent.futures.ThreadPoolExecutor(3) as threads:
            guessing = threads.submit(guess, port, folder / "tls/ca.pem", guesses)
            done = list(threads.map(lambda each: enrol(folder, each), invitations))
            statuses, guess_seconds = guessing.result()
            seen = _command_lines(process.pid)
        again = enrol(folder, invitations[0], "again")
        late = expired(folder, invitations[0]["line"])
        listed = run("xiaotong-collector", "agents", "list", "--json", "--config", str(config))
        tokens = [file.read_text().strip() for file in folder.glob("s*/agent.token")]
        assert len(msgspec.json.decode(listed.stdout)) == len(tokens)
    said = "".join(each.out for each in (*done, again, late)) + listed.stdout
    codes = [each["code"] for each in invitations]
    return Result(
        enrolled=sum(each.status == 0 for each in done),
        second_use=again.out.strip(),
        expired=late.out.strip(),
        guesses=dict(statuses),
        guess_seconds=guess_seconds,
        slowest_enrolment_seconds=max(each.seconds for each in done),
        everything=said + (folder / "serve.log").read_text(),
        secrets=tokens + codes,
        command_lines=seen,
    )


class Tried(NamedTuple):
    """One run of «enrol»."""

    status: int
    out: str
    seconds: float


def enrol(folder: Path, invitation: Any, name: str = "") -> Tried:
    """Type the line that the county printed, in a folder of the school's own."""
    words = invitation["line"].split()
    file = folder / (name or invitation["school"]) / "agent.yaml"
    began = time.monotonic()
    done = run(*words, "--config", str(file))
    return Tried(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


def expired(folder: Path, line: str) -> Tried:
    """A code that ran out before it was typed."""
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    with opened(folder) as registry:
        made = Invitations(registry).invite(["s0"], "", 60, audit.command_line(), hour_ago)
    words = line.split()
    words[words.index("--code") + 1] = made[0].code
    return enrol(folder, {"line": " ".join(words), "school": "s0"}, "late")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Registry]:
    """The collector's registry, beside the collector."""
    registry = Registry.open(f"sqlite:///{folder}/data/registry.db")
    try:
        yield registry
    finally:
        registry.close()


def guess(port: int, ca_file: Path, guesses: int) -> tuple[Counter[int], float]:
    """So many random codes from one address, as fast as they are answered."""
    trust = ssl.create_default_context(cafile=ca_file)
    statuses: Counter[int] = Counter()
    began = time.monotonic()
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, timeout=20, context=trust, source_address=(GUESSER, 0)
    )
    with contextlib.closing(connection):
        for number in range(guesses):
            body = msgspec.json.encode({"code": new_code(), "token_digest": f"{number:064x}"})
            connection.request("POST", "/api/v1/enrol", body)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
    return statuses, time.monotonic() - began


def _wait_for(port: int, folder: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError((folder / "serve.log").read_text())


def _command_lines(pid: int) -> str:
    """How the collector was called, and with which environment."""
    return "".join(
        Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace") for name in ("cmdline", "environ")
    )


def main() -> None:
    """Print the result."""
    agents, guesses = (int(each) for each in [*sys.argv[1:], "50", "10000"][:2])
    with tempfile.TemporaryDirectory() as folder:
        result = play(Path(folder), agents, guesses)
    leaks = sum(secret in result.everything + result.command_lines for secret in result.secrets)
    print(f"enrolled {result.enrolled} of {agents}, the slowest in {result.slowest_enrolment_seconds:.2f} s")
    print(f"guesses by status {result.guesses} in {result.guess_seconds:.1f} s")
    print(f"used twice: {result.second_use}\nexpired: {result.expired}\nsecrets found: {leaks}")


if __name__ == "__main__":
    main()
