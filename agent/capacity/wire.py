"""What agent and responder say to each other: one JSON object a line, on a control connection.

The agent sends Hello with its ticket, is answered Welcome with a session, and opens as many streams as the
ticket allows, each with one Attach line. After Go and Started bytes flow on the streams, and on nothing else.
The responder echoes every Ping at once; when it is the receiver it tells its counters every 50 ms. Stop, a
cap or a deadline ends the test with Done. A refusal is one short line, never longer than what came in.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Literal

import msgspec

from agent.capacity.tcp import Totals
from config.plain_json import decoded

VERSION = 1
MAX_LINE_BYTES = 2048
SAMPLE_SECONDS = 0.05

Direction = Literal["down", "up"]
Family = Literal["ipv4", "ipv6"]
Mode = Literal["search", "verify"]
EndReason = Literal["stopped", "bytes", "time", "lost"]

SOCKET_FAMILY = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


class _Message(msgspec.Struct, frozen=True, tag=str.lower):
    """What every line has in common: its ``type``. What a later version adds is passed over."""


class Hello(_Message, frozen=True):
    """Opens a test. ``secret`` shows that the ticket was made for whoever presents it."""

    version: int
    ticket: str
    secret: str
    streams: int
    congestion_control: str | None = None


class Attach(_Message, frozen=True):
    """The first and only line of a stream."""

    session: str


class Ping(_Message, frozen=True):
    """Echoed at once, whatever else goes on."""

    n: int


class Go(_Message, frozen=True):
    """All streams are open: begin."""


class Stop(_Message, frozen=True):
    """Enough: end the test."""


class Welcome(_Message, frozen=True):
    """The ticket is taken."""

    session: str


class Refused(_Message, frozen=True):
    """There will be no test."""

    reason: str


class Started(_Message, frozen=True):
    """The load begins now."""


class Sample(_Message, frozen=True):
    """What the responder has received since Started, by its own monotonic clock."""

    at_ns: int
    bytes: int
    segments: int


class Done(_Message, frozen=True):
    """The end: why, and what the far end knows of it."""

    reason: EndReason
    totals: Totals
    cpu_share: float | None
    congestion_control: str
    line_share: float | None = None
    """How full the far end's own line was, 0 to 1, where it knows what that line carries."""


AgentMessage = Hello | Attach | Ping | Go | Stop
ResponderMessage = Welcome | Refused | Started | Ping | Sample | Done

FROM_AGENT: msgspec.json.Decoder[AgentMessage] = msgspec.json.Decoder(AgentMessage)
FROM_RESPONDER: msgspec.json.Decoder[ResponderMessage] = msgspec.json.Decoder(ResponderMessage)


class WireError(Exception):
    """The other end closed, is too slow, or says what is not in the protocol."""


def line_of(message: _Message) -> bytes:
    """A message as it is sent."""
    return msgspec.json.encode(message) + b"\n"


class Channel:
    """Messages over one connected socket, with bounded lines and deadlines. Used by one thread."""

    def __init__(
        self, sock: socket.socket, decoder: msgspec.json.Decoder[Any], received: bytes = b""
    ) -> None:
        self._sock = sock
        self._decoder = decoder
        self._buffer = bytearray(received)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message: _Message, timeout_seconds: float = 2.0) -> None:
        """Send one message. Raises WireError when the other end does not take it in time."""
        try:
            self._sock.settimeout(timeout_seconds)
            self._sock.sendall(line_of(message))
        except OSError as error:
            raise WireError(f"cannot be told: {error}") from error

    def receive(self, seconds: float) -> Any | None:
        """The next message, None when none came within ``seconds``. Raises WireError."""
        deadline = time.monotonic() + seconds
        while (line := self._line()) is None:
            if not self._read(max(1e-6, deadline - time.monotonic())):
                return None
        try:
            return decoded(line, self._decoder)
        except msgspec.DecodeError as error:
            what = str(error).encode("unicode_escape").decode()  # it quotes what the other end named
            raise WireError(f"said what is not in the protocol: {what}") from error

    def expect(self, kind: type[Any], seconds: float) -> Any:
        """The next message, which has to be of that kind. Raises WireError."""
        message = self.receive(seconds)
        if isinstance(message, Refused):
            raise WireError(f"refused: {message.reason}")
        if not isinstance(message, kind):
            raise WireError(f"said {type(message).__name__} instead of {kind.__name__}")
        return message

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise WireError(f"sent a line of more than {MAX_LINE_BYTES} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _read(self, seconds: float) -> bool:
        try:
            self._sock.settimeout(seconds)
            received = self._sock.recv(MAX_LINE_BYTES)
        except TimeoutError:
            return False
        except OSError as error:
            raise WireError(f"connection lost: {error}") from error
        if not received:
            raise WireError("closed the connection")
        self._buffer += received
        return True
