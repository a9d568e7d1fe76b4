"""What one end says is one line at the other, whatever it is."""

from __future__ import annotations

import socket

import pytest

from agent.capacity import wire


def test_what_is_not_in_the_protocol_is_quoted_in_one_line() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as theirs,
        listener.accept()[0] as ours,
    ):
        theirs.sendall(b'{"type":"\\ntest moved 0\\r\\u001b[2J"}\n')
        with pytest.raises(wire.WireError, match="not in the protocol") as raised:
            wire.Channel(ours, wire.FROM_AGENT).receive(5.0)
    assert r"'\ntest moved 0\r\x1b[2J'" in str(raised.value)
    assert str(raised.value).isprintable()
