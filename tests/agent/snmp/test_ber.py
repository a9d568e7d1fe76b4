"""Octets of requests and answers: what a library reads and writes, and what nobody should send."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.snmp import ber
from agent.snmp.ber import Malformed, request, response
from tests.agent.snmp import scripted
from tests.agent.snmp.scripted import Device, Request, switch, tlv, value_tlv

COMMUNITY = b"public"
ARCS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20).map(lambda arcs: (1, 3, *arcs))
NUMBERS = st.integers(0, 2**64 - 1)


def answered(pairs: bytes, number: int = 7) -> bytes:
    return Request(request(COMMUNITY, number, [(1, 3)])).response(pairs)


@given(st.lists(ARCS, min_size=1, max_size=5), st.integers(0, 2**31 - 1), st.integers(0, 100))
def test_a_request_is_read_as_it_was_meant(
    oids: list[tuple[int, ...]], number: int, repetitions: int
) -> None:
    read = Request(request(COMMUNITY, number, oids, repetitions))
    assert (read.kind, read.repetitions, read.oids) == (scripted.GET_BULK, repetitions, oids)
    assert int.from_bytes(read.id, "big") == number


@given(ARCS, NUMBERS)
def test_a_library_reads_our_requests_and_writes_what_we_read(oid: tuple[int, ...], number: int) -> None:
    """pysnmp is the oracle of both."""
    from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]  # noqa: PLC0415
    from pysnmp.proto import api  # noqa: PLC0415

    library = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
    message, rest = decoder.decode(request(COMMUNITY, 5, [oid]), asn1Spec=library.Message())
    assert not rest
    pdu = library.apiMessage.get_pdu(message)
    assert [tuple(name) for name, _ in library.apiPDU.get_varbinds(pdu)] == [oid]
    reply = library.apiMessage.get_response(message)
    value = library.Counter64(number)
    library.apiPDU.set_varbinds(library.apiMessage.get_pdu(reply), [(oid, value)])
    found = response(encoder.encode(reply), COMMUNITY)
    assert (found.request_id, found.status, found.pairs) == (5, 0, [(oid, number)])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (value_tlv(scripted.COUNTER64, 2**64 - 1), 2**64 - 1),
        (tlv(scripted.COUNTER64, b"\xff" * 8), 2**64 - 1),  # without the octet that keeps it positive
        (tlv(scripted.COUNTER32, b"\xff" * 4), 2**32 - 1),
        (value_tlv(scripted.INTEGER, -5), -5),
        (value_tlv(scripted.OCTETS, b"\xe4\xb8\x80"), b"\xe4\xb8\x80"),
        (value_tlv(scripted.OID, (1, 3, 6, 1, 4, 1, 25506)), (1, 3, 6, 1, 4, 1, 25506)),
        (tlv(0x40, b"\x0a\x00\x00\x01"), b"\x0a\x00\x00\x01"),
        (scripted.NO_SUCH_INSTANCE, None),
        (scripted.END_OF_VIEW, None),
        (b"\x05\x00", None),
    ],
)
def test_values(value: bytes, expected: object) -> None:
    pair = tlv(0x30, tlv(scripted.OID, scripted.oid_content((1, 3, 6))) + value)
    assert response(answered(pair), COMMUNITY).pairs == [((1, 3, 6), expected)]


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80\x02\x01\x01\x00\x00",  # of no definite length
        b"\x30\x89" + b"\xff" * 9,
        b"\x30\x82\x40\x00" * 5000,  # nested 5,000 deep
        answered(b"")[:-1],
        answered(tlv(0x30, tlv(0x06, b""))),
        answered(tlv(0x30, tlv(0x06, b"\x2b\x80"))),
        answered(tlv(0x30, tlv(0x06, b"\x2b" + b"\xff" * 300 + b"\x01") + b"\x05\x00")),
        answered(tlv(0x30, tlv(0x06, b"\x2b\x8f\xff\xff\xff\xff\xff\x7f") + b"\x05\x00")),
        answered(tlv(0x30, tlv(0x06, b"\x2b" * 500) + b"\x05\x00")),
        answered(tlv(0x30, tlv(0x06, b"\x2b") + tlv(0x46, b"\x01" * 20))),
        answered(tlv(0x30, tlv(0x06, b"\x2b") + tlv(0x46, b""))),
        answered(tlv(0x30, tlv(0x06, b"\x2b") + tlv(0x77, b"?"))),
        answered(tlv(0x30, tlv(0x06, b"\x2b"))),
        request(COMMUNITY, 1, [(1, 3)]),  # our own request come back
    ],
)
def test_what_is_no_answer_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        response(data, COMMUNITY)


@pytest.mark.fault(21)
def test_another_community_is_malformed() -> None:
    with pytest.raises(Malformed, match="another community"):
        response(answered(b""), b"private")


@pytest.mark.fault(21)
def test_no_change_of_octets_raises_anything_but_malformed() -> None:
    """20,000 answers with octets changed, cut, doubled and inserted."""
    chance = random.Random(5)
    asked = request(COMMUNITY, 9, [(1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1), (1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6)], 5)
    sound = Device(switch(5)).answer(asked)[0]
    assert len(response(sound, COMMUNITY).pairs) == 10
    for _ in range(20_000):
        data = bytearray(sound)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at:]
                    data += b"\x30"
                case 2:
                    data[at:at] = data[at : at + chance.randint(1, 40)]
                case _:
                    data[at:at] = chance.randbytes(3)
        try:
            found = response(bytes(data), COMMUNITY)
        except Malformed:
            continue
        assert all(isinstance(arc, int) and arc >= 0 for oid, _ in found.pairs for arc in oid)


@given(st.binary(max_size=200))
def test_random_octets_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        response(data, COMMUNITY)


def test_integers_have_their_fewest_octets() -> None:
    assert ber._integer(0) == b"\x02\x01\x00"
    assert ber._integer(127) == b"\x02\x01\x7f"
    assert ber._integer(128) == b"\x02\x02\x00\x80"
