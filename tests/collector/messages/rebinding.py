"""A name server that rebinds: what it says of one name changes with each question, outside and inside.

Run within network and mount namespaces of its own (``unshare --net --mount``): the «public» address is one of
this namespace's loopback, so that nothing leaves it. Prints as JSON what each sending came to.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from collector.messages.channels import Letter, NotDelivered
from collector.messages.channels.opening import open_channel
from collector.messages.settings import ChannelSettings
from config.settings import convert
from tests.collector.messages.sinks import Recorder, serving_at

OUTSIDE, INSIDE = "1.1.1.1", "127.0.0.1"
NAME_SERVER = "127.0.0.53"
PORT = 8088
QUESTION_A = 1


class NameServer:
    """Answers every A question with the next of ``answers`` (addresses), for no time at all (RFC 1035)."""

    def __init__(self, answers: list[list[str]]) -> None:
        self.answers, self.asked = answers, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAME_SERVER, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            asked, sender = self._socket.recvfrom(512)
            self._socket.sendto(self._answer(asked), sender)

    def _answer(self, asked: bytes) -> bytes:
        end = asked.index(b"\0", 12) + 5
        (kind,) = struct.unpack("!H", asked[end - 4 : end - 2])
        addresses: list[str] = []
        if kind == QUESTION_A:
            addresses = self.answers[self.asked % len(self.answers)]
            self.asked += 1
        records = b"".join(
            struct.pack("!HHHIH4s", 0xC00C, QUESTION_A, 1, 0, 4, socket.inet_aton(each)) for each in addresses
        )
        return asked[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0) + asked[12:end] + records


def main(folder: Path) -> None:
    """Make the place, send, and say what happened."""
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo"],
        ["mount", "--bind", str(folder / "resolv.conf"), "/etc/resolv.conf"],
    ):
        subprocess.run(command, check=True)
    outside, inside = Recorder(200, {}), Recorder(200, {})
    server = NameServer([[OUTSIDE], [INSIDE], [INSIDE, OUTSIDE], [OUTSIDE, INSIDE]])
    with serving_at(outside, OUTSIDE, PORT), serving_at(inside, INSIDE, PORT):
        said = [_sent(folder) for _ in range(8)]
    print(json.dumps({
        "said": said, "asked": server.asked, "outside": len(outside.requests), "inside": len(inside.requests)
    }))  # fmt: skip


def _sent(folder: Path) -> str:
    """A fresh connection for each letter, as a sender makes one."""
    hook = {"url_file": str(folder / "url"), "secret_file": str(folder / "secret")}
    settings = convert({"webhook": {"hook": hook}}, ChannelSettings, "test")
    try:
        open_channel(settings, "hook", lambda: 0.0).send(Letter("k", "title", "text"))
    except NotDelivered as why:
        return str(why)
    return "taken"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
