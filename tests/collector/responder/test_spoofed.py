"""Somebody else's address as the sender's: what the responder sends there before the handshake came back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FAR, EVIL = f"xt-spoof-far-{os.getpid()}", f"xt-spoof-evil-{os.getpid()}"
ATTACK = """
import json, socket, struct, sys, time
HOST, VICTIM, PORT = "10.97.0.1", "10.97.0.77", int(sys.argv[1])

def checksum(data):
    data += b"\\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

def segment(source_port, flags, payload=b"", options=b""):
    words = 5 + len(options) // 4
    head = struct.pack("!HHIIBBHHH", source_port, PORT, 1000, 7, words << 4, flags, 65535, 0, 0) + options
    ends = socket.inet_aton(VICTIM) + socket.inet_aton(HOST)
    whole = ends + struct.pack("!BBH", 0, 6, len(head) + len(payload)) + head + payload
    head = head[:16] + struct.pack("!H", checksum(whole)) + head[18:]
    length = 20 + len(head) + len(payload)
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 1, 0, 64, 6, 0, ends[:4], ends[4:]) + head + payload

seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
seen.settimeout(0.1)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sent, came, payload, answers = {}, {}, 0, {}
hello = b'{"type":"hello","version":1,"ticket":"x","secret":"x","streams":1}\\n'
packets = {
    "bare syn": segment(40001, 2), "push": segment(40002, 0x18, hello),
    "syn with data": segment(40003, 2, struct.pack("!BBH", 2, 4, 1460) + b"x" * 400),
    "syn with other options": segment(40005, 2, options=b"\\1\\1\\4\\2"),
    "syn": segment(40004, 2, options=struct.pack("!BBH", 2, 4, 1460)),
}
names = {struct.unpack("!H", packet[20:22])[0]: name for name, packet in packets.items()}
for name, packet in packets.items():
    raw.sendto(packet, (HOST, 0))
    sent[name] = len(packet)
deadline = time.monotonic() + 3.4  # the kernel would say it again after 1 and 3 s
while time.monotonic() < deadline:
    try:
        frame = seen.recv(65535)
    except TimeoutError:
        continue
    packet = frame[14:]
    if packet[9] == 6 and packet[16:20] == socket.inet_aton(VICTIM):
        length = struct.unpack("!H", packet[2:4])[0]
        payload += length - 20 - (packet[32] >> 4) * 4
        name = names[struct.unpack("!H", packet[22:24])[0]]
        came[name] = came.get(name, 0) + length
        answers[name] = answers.get(name, 0) + 1
print(json.dumps({"sent": sent, "came": came, "payload": payload, "answers": answers}))
"""


@pytest.fixture
def victim() -> Iterator[None]:
    """The responder's network, where the victim's address leads to the attacker, who answers nothing."""
    try:
        for space in (FAR, EVIL):
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", FAR, "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", EVIL)
        for space, host in ((FAR, 1), (EVIL, 2)):
            _ip("-n", space, "address", "add", f"10.97.0.{host}/24", "dev", "lan")
            _ip("-n", space, "link", "set", "lan", "up")
        said = subprocess.run(
            ("ip", "-n", EVIL, "-j", "link", "show", "lan"), check=True, capture_output=True
        ).stdout
        _ip("-n", FAR, "neigh", "add", "10.97.0.77", "lladdr", json.loads(said)[0]["address"], "dev", "lan")
        yield
    finally:
        for space in (FAR, EVIL):
            subprocess.run(("ip", "netns", "delete", space), check=False)


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


@pytest.mark.needs_root
@pytest.mark.fault(23)
@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize("retries", ["5", "0"])
def test_a_spoofed_source_gets_no_byte_of_ours_and_few_syn_acks(tmp_path: Path, retries: str) -> None:
    """No answer is longer than its question; on a machine set up as docs/capacity.md says, it comes once."""
    _ip("netns", "exec", FAR, "sysctl", "-q", "-w", f"net.ipv4.tcp_synack_retries={retries}")
    command = "from collector.main import main; main()"
    settings = tmp_path / "responder.yaml"
    settings.write_text("listen: [10.97.0.1]\nport: 8081\n")
    server = subprocess.Popen(
        ("ip", "netns", "exec", FAR, sys.executable, "-c", command, "respond",
         "--data-directory", str(tmp_path), "--config", str(settings)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        assert b"listening" in server.stdout.readline()
        found = json.loads(
            subprocess.run(
                ("ip", "netns", "exec", EVIL, sys.executable, "-c", ATTACK, "8081"),
                check=True, capture_output=True, timeout=30,
            ).stdout
        )  # fmt: skip
    finally:
        server.terminate()
        server.communicate(timeout=10)
    assert found["payload"] == 0
    times = {"push": 1, "syn": 1 if retries == "0" else 2}  # a reset, and SYN-ACKs
    assert found["answers"] == times
    assert all(length <= times[name] * found["sent"][name] for name, length in found["came"].items()), found
