"""The helper: ``agent.ipv6.helper`` starts it; it reads one question as a line of JSON and answers with one.

It asks DHCPv6 by a packet socket, which needs CAP_NET_RAW alone and leaves port 546 to the system's own
client. Packets are made and read by scapy (GPL-2.0-only), which no other process of ours loads. Its socket
open and scapy loaded, it gives up what privileges it has before it reads a single foreign byte.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from agent.ipv6.helper import Question, Reply

SERVERS = "ff02::1:2"
SERVERS_MAC = "33:33:00:01:00:02"
ETH_P_IPV6 = 0x86DD
CLIENT_PORT, SERVER_PORT = 546, 547
TRANSMIT_SECONDS = 1.0
"""SOL_TIMEOUT and INF_TIMEOUT of RFC 8415 7.6."""
_NOBODY = 65534
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3, _CAPABILITY_DATA_BYTES = 0x20080522, 24
"""linux/prctl.h, linux/capability.h."""
_MOST_BYTES = 4096


def main() -> None:
    """Answer the one question on standard input."""
    question = msgspec.json.decode(sys.stdin.buffer.readline(), type=Question)
    try:
        reply = _asked(question)
    except PermissionError:
        reply = Reply(error="needs CAP_NET_RAW")
    except OSError as error:
        reply = Reply(error=error.strerror or "cannot ask")
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")


def _asked(question: Question) -> Reply:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as wire:
        wire.bind((question.interface, ETH_P_IPV6))
        mac = wire.getsockname()[4]
        from scapy.layers import dhcp6  # noqa: PLC0415 (36 MB, here only)

        _give_up_privileges()
        return Exchange(wire, mac, question, dhcp6).run()


class Exchange:
    """One question to all servers of a link, asked each second until one answers."""

    def __init__(self, wire: socket.socket, mac: bytes, question: Question, dhcp6: Any) -> None:
        self._wire = wire
        self._mac = mac
        self._question = question
        self._dhcp6 = dhcp6
        self._number = secrets.randbelow(2**24)

    def run(self) -> Reply:
        """What the first answer with something in it gives; ``servers`` counts those of its second, after
        which nobody is waited for.
        """
        end = time.monotonic() + self._question.seconds
        packet = self._packet()
        servers = 0
        while (left := end - time.monotonic()) > 0:
            self._wire.send(packet)
            for answer in self._answers(min(TRANSMIT_SECONDS, left)):
                servers += 1
                found = self._found(answer)
                if found:
                    return Reply(found, servers)
            if servers:
                break
        return Reply(servers=servers)

    def _packet(self) -> bytes:
        from scapy.layers.inet import UDP  # noqa: PLC0415
        from scapy.layers.inet6 import IPv6  # noqa: PLC0415
        from scapy.layers.l2 import Ether  # noqa: PLC0415

        mac = self._mac.hex(":")
        head = Ether(src=mac, dst=SERVERS_MAC) / IPv6(src=link_local(self._mac), dst=SERVERS, hlim=1)
        return bytes(head / UDP(sport=CLIENT_PORT, dport=SERVER_PORT) / self._message(mac))

    def _message(self, mac: str) -> Any:
        dhcp = self._dhcp6
        name = dhcp.DHCP6OptClientId(duid=dhcp.DUID_LL(lladdr=mac))
        if self._question.kind == "delegation":
            asked = dhcp.DHCP6OptIA_PD(iaid=1, T1=0, T2=0)
            return dhcp.DHCP6_Solicit(trid=self._number) / name / dhcp.DHCP6OptElapsedTime() / asked
        asked = dhcp.DHCP6OptOptReq(reqopts=[23])
        return dhcp.DHCP6_InfoRequest(trid=self._number) / name / dhcp.DHCP6OptElapsedTime() / asked

    def _answers(self, seconds: float) -> Iterator[Any]:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self._wire], [], [], left)[0]:
            answer = self._parsed(self._wire.recv(_MOST_BYTES))
            if answer is not None:
                yield answer

    def _parsed(self, frame: bytes) -> Any:
        """The DHCPv6 message of a frame that answers our own question; scapy may choke on any other."""
        from scapy.layers.inet import UDP  # noqa: PLC0415
        from scapy.layers.l2 import Ether  # noqa: PLC0415

        try:
            packet = Ether(frame)
            ports = (packet[UDP].sport, packet[UDP].dport) if UDP in packet else None
        except Exception:  # noqa: BLE001 (foreign bytes: scapy promises no kind of exception)
            return None
        if ports != (SERVER_PORT, CLIENT_PORT):
            return None
        message = packet[UDP].payload
        return message if getattr(message, "trid", None) == self._number else None

    def _found(self, message: Any) -> tuple[str, ...]:
        dhcp = self._dhcp6
        if self._question.kind == "delegation":
            layer = message.getlayer(dhcp.DHCP6OptIA_PD)
            options = layer.iapdopt if layer is not None else []
            return tuple(f"{each.prefix}/{each.plen}" for each in options if hasattr(each, "plen"))
        layer = message.getlayer(dhcp.DHCP6OptDNSServers)
        return tuple(str(server) for server in layer.dnsservers) if layer is not None else ()


def link_local(mac: bytes) -> str:
    """The address that a MAC makes (RFC 4291 appendix A): servers answer to it."""
    identifier = bytes((mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:6]))
    return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + identifier)


def _give_up_privileges() -> None:
    """Become nobody where this is root, and hold no capability."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):  # a root that was left CAP_NET_RAW alone stays root in name
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    none = ctypes.create_string_buffer(_CAPABILITY_DATA_BYTES)
    head = ctypes.create_string_buffer(struct.pack("@Ii", _CAPABILITY_VERSION_3, 0), 8)
    if libc.capset(head, none):
        raise OSError(ctypes.get_errno(), "cannot give up capabilities")


if __name__ == "__main__":
    main()
