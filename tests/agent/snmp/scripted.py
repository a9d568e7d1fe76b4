"""SNMP devices made of a table of values: version 2c, read only, changed by the test while they run.

Encoding by X.690 and RFC 3416, as little of it as an answer needs.
``python -m tests.agent.snmp.scripted FIRST DEVICES PORTS SILENT`` serves that many switches on loopback ports
from FIRST on, the last SILENT of them mute.
"""

from __future__ import annotations

import bisect
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Oid = tuple[int, ...]

INTEGER, OCTETS, OID, COUNTER32, GAUGE, TICKS, COUNTER64 = 0x02, 0x04, 0x06, 0x41, 0x42, 0x43, 0x46
NO_SUCH_INSTANCE, END_OF_VIEW = b"\x81\x00", b"\x82\x00"
GET, GET_NEXT, GET_BULK, RESPONSE = 0xA0, 0xA1, 0xA5, 0xA2
MOST_BYTES = 16_000

Table = dict[Oid, tuple[int, int | bytes | Oid]]
Answer = Callable[[bytes], list[bytes]]


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def oid_content(oid: Oid) -> bytes:
    out = bytearray()
    for arc in (oid[0] * 40 + oid[1], *oid[2:]):
        part = [arc & 0x7F]
        while arc := arc >> 7:
            part.append(0x80 | (arc & 0x7F))
        out += bytes(reversed(part))
    return bytes(out)


def value_tlv(tag: int, value: int | bytes | Oid) -> bytes:
    if isinstance(value, bytes):
        return tlv(tag, value)
    if isinstance(value, tuple):
        return tlv(tag, oid_content(value))
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def read_tlv(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content and where the next one begins."""
    tag, size, at = data[at], data[at + 1], at + 2
    if size & 0x80:
        octets = size & 0x7F
        size, at = int.from_bytes(data[at : at + octets], "big"), at + octets
    return tag, data[at : at + size], at + size


def read_oid(content: bytes) -> Oid:
    arcs, arc = [content[0] // 40, content[0] % 40], 0
    for octet in content[1:]:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    return tuple(arcs)


class Request:
    """A version 2c request as it came in."""

    def __init__(self, data: bytes) -> None:
        _, message, _ = read_tlv(data, 0)
        _, self.version, at = read_tlv(message, 0)
        _, self.community, at = read_tlv(message, at)
        self.kind, pdu, _ = read_tlv(message, at)
        _, self.id, at = read_tlv(pdu, 0)
        _, _, at = read_tlv(pdu, at)
        _, repetitions, at = read_tlv(pdu, at)
        self.repetitions = int.from_bytes(repetitions, "big") if self.kind == GET_BULK else 1
        _, pairs, _ = read_tlv(pdu, at)
        self.oids: list[Oid] = []
        at = 0
        while at < len(pairs):
            _, pair, at = read_tlv(pairs, at)
            self.oids.append(read_oid(read_tlv(pair, 0)[1]))

    def response(self, pairs: bytes, *, request_id: bytes | None = None, status: int = 0) -> bytes:
        number = tlv(INTEGER, self.id if request_id is None else request_id)
        head = number + value_tlv(INTEGER, status) + value_tlv(INTEGER, 0)
        pdu = tlv(RESPONSE, head + tlv(0x30, pairs))
        return tlv(0x30, tlv(INTEGER, self.version) + tlv(OCTETS, self.community) + pdu)


class Device:
    """One device. ``table`` may be replaced at any time; only ``community`` is answered."""

    def __init__(self, table: Table, community: bytes = b"public") -> None:
        self.community = community
        self.requests = 0
        self.set(table)

    def set(self, table: Table) -> None:
        pairs = {
            oid: tlv(0x30, tlv(OID, oid_content(oid)) + value_tlv(*value)) for oid, value in table.items()
        }
        order = sorted(pairs)
        self._state = (pairs, order)

    def answer(self, data: bytes) -> list[bytes]:
        """The datagrams that answer one; none for another community."""
        request = Request(data)
        if request.community != self.community:
            return []
        self.requests += 1
        pairs, order = self._state
        if request.kind == GET:
            found = [pairs.get(oid) or tlv(0x30, tlv(OID, oid_content(oid)) + NO_SUCH_INSTANCE)
                     for oid in request.oids]  # fmt: skip
            return [request.response(b"".join(found))]
        return [request.response(b"".join(self._walked(request, pairs, order)))]

    @staticmethod
    def _walked(request: Request, pairs: dict[Oid, bytes], order: list[Oid]) -> Iterator[bytes]:
        places = [bisect.bisect_right(order, oid) for oid in request.oids]
        size = 0
        for step in range(request.repetitions):
            for oid, place in zip(request.oids, places, strict=True):
                at = place + step
                end = tlv(0x30, tlv(OID, oid_content(oid)) + END_OF_VIEW)
                pair = pairs[order[at]] if at < len(order) else end
                size += len(pair)
                if size > MOST_BYTES:
                    return
                yield pair


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """Answer datagrams on a loopback port from a thread; gives the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    data, peer = server.recvfrom(65535)
                except TimeoutError:
                    continue
                for datagram in answer(data):
                    server.sendto(datagram, peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()


IF: Oid = (1, 3, 6, 1, 2, 1, 2, 2, 1)
IFX: Oid = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1)


def port_rows(
    index: int, octets: int, packets: int, *, name: bytes = b"", megabits: int = 1000, up: bool = True,
    alias: bytes = b"", discontinuity: int = 0, duplex: int = 3, errors: int = 0,
) -> Table:  # fmt: skip
    """The rows of one port that counted ``octets`` each way: ifTable, ifXTable, EtherLike-MIB."""
    table: Table = {
        (*IF, 3, index): (INTEGER, 6),
        (*IF, 8, index): (INTEGER, 1 if up else 2),
        (*IF, 10, index): (COUNTER32, octets % 2**32),
        (*IF, 16, index): (COUNTER32, octets % 2**32),
        (*IFX, 1, index): (OCTETS, name or f"Gi0/{index}".encode()),
        (*IFX, 6, index): (COUNTER64, octets),
        (*IFX, 10, index): (COUNTER64, octets),
        (*IFX, 15, index): (GAUGE, megabits),
        (*IFX, 18, index): (OCTETS, alias),
        (*IFX, 19, index): (TICKS, discontinuity),
        (1, 3, 6, 1, 2, 1, 10, 7, 2, 1, 19, index): (INTEGER, duplex),
    }
    for column in (13, 14, 19, 20):
        table[*IF, column, index] = (COUNTER32, errors)
    for column, count in ((7, packets), (8, 0), (9, 0), (11, packets), (12, 0), (13, 0)):
        table[*IFX, column, index] = (COUNTER64, count)
    return table


def system(ticks: int, sys_object_id: Oid = (1, 3, 6, 1, 4, 1, 99999), name: bytes = b"sw") -> Table:
    return {
        (1, 3, 6, 1, 2, 1, 1, 1, 0): (OCTETS, b"a scripted device"),
        (1, 3, 6, 1, 2, 1, 1, 2, 0): (OID, sys_object_id),
        (1, 3, 6, 1, 2, 1, 1, 3, 0): (TICKS, ticks),
        (1, 3, 6, 1, 2, 1, 1, 5, 0): (OCTETS, name),
    }


def switch(ports: int, octets: int = 10**12, ticks: int = 8_640_000) -> Table:
    """A switch whose ports carried different amounts."""
    table = system(ticks)
    for index in range(1, ports + 1):
        table |= port_rows(index, octets + index * 10**7, (octets + index * 10**7) // 800)
    return table


def main(first: int, devices: int, ports: int, silent: int) -> None:
    """Serve until standard input ends; every second the counters move."""
    selector = selectors.DefaultSelector()
    device = Device(switch(ports))
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
    for number in range(devices):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        server.bind(("127.0.0.1", first + number))
        selector.register(server, selectors.EVENT_READ, number < devices - silent)
    print("ready", flush=True)
    started = moved = time.monotonic()
    while True:
        for key, _ in selector.select(1.0):
            if not isinstance(key.fileobj, socket.socket):
                return
            data, peer = key.fileobj.recvfrom(65535)
            if key.data:
                for datagram in device.answer(data):
                    key.fileobj.sendto(datagram, peer)
        now = time.monotonic()
        if now - moved >= 10:
            moved = now
            device.set(
                switch(
                    ports, 10**12 + round((now - started) * 10**7), 8_640_000 + round((now - started) * 100)
                )
            )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:5]))
