"""Addresses, proxies, networks, codes and the meter: no collector runs."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

import pytest

from collector.registry import Registry, RegistryError
from collector.terminals import codes, kernel
from collector.terminals.meter import Meter
from collector.terminals.result import believed, grade
from collector.terminals.whereabouts import caller, networks, read_address, school_at
from config.school import Line, School

TRUSTED = networks(("10.0.0.1/32", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address", "by_proxy"),
    [
        ("192.0.2.7", [], "192.0.2.7", False),
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7", False),  # nobody's word but a trusted proxy's
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1", True),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1", True),  # the client wrote the first
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1, fd00::5"], "198.51.100.1", True),
        ("10.0.0.1", [], "10.0.0.1", False),
        ("::ffff:192.0.2.7", [], "192.0.2.7", False),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1", True),
    ],
)
def test_forwarded_addresses_are_believed_of_trusted_proxies_alone(
    peer: str, forwarded: list[str], address: str, by_proxy: bool
) -> None:
    found = caller(peer, forwarded, TRUSTED)
    assert found == (ipaddress.ip_address(address), by_proxy)


@pytest.mark.parametrize("wrong", ["", "nonsense", "10.0.0.1.1", "<script>"])
def test_what_is_no_address_is_none(wrong: str) -> None:
    assert read_address(wrong) is None
    assert caller("10.0.0.1", [wrong], TRUSTED) is None or not wrong


def test_the_narrowest_network_names_the_school_and_two_name_none() -> None:
    schools = {
        each.id: each
        for each in (
            School("wide", networks=("10.3.0.0/16",)),
            School("narrow", networks=("10.3.8.0/22", "2001:db8:3::/48")),
            School("one", networks=("10.9.0.0/24",)),
            School("other", networks=("10.9.0.0/24",)),
            School(
                "nat",
                lines=(Line("l1", public_address="203.0.113.5"), Line("l2", public_address="a.example")),
            ),
        )
    }
    found = {
        text: school_at(ipaddress.ip_address(text), schools)
        for text in ("10.3.9.1", "10.3.1.1", "2001:db8:3::9", "10.9.0.4", "203.0.113.5", "8.8.8.8")
    }
    assert list(found.values()) == ["narrow", "wide", "narrow", None, "nat", None]


def test_a_code_is_kept_until_a_new_one_is_wanted(tmp_path: Path) -> None:
    registry = Registry.open(f"sqlite:///{tmp_path / 'registry.db'}")
    registry.put_schools([School("s1"), School("s2")])
    first = codes.code_of(registry, "s1")
    assert codes.code_of(registry, "s1") == first != codes.code_of(registry, "s2")
    assert codes.school_of_code(registry, f" {codes.shown(first).lower()} ") == "s1"
    second = codes.code_of(registry, "s1", anew=True)
    assert codes.school_of_code(registry, first) is None
    assert codes.school_of_code(registry, second) == "s1"
    assert codes.school_of_code(registry, "") is None
    with pytest.raises(RegistryError, match="school nobody: is not known"):
        codes.code_of(registry, "nobody")
    registry.close()


def test_the_meter_leaves_the_ramp_and_the_last_interval_out() -> None:
    meter = Meter()
    rate = 100e6 / 8
    for tenth in range(81):
        at = tenth / 10
        meter.add(at, round(rate * max(0.0, at - 1)))  # a second of slow start
    found = meter.rate()
    assert found is not None
    assert abs(found.bits_per_second / 100e6 - 1) < 0.001
    assert 5.5 < found.seconds < 6.1


def test_a_first_gulp_of_the_buffers_is_no_rate() -> None:
    meter = Meter()
    for tenth in range(81):
        meter.add(tenth / 10, 4_000_000 + round(1e6 / 8 * tenth / 10))
    found = meter.rate()
    assert found is not None
    assert found.bits_per_second < 1.02e6


@pytest.mark.parametrize("samples", [[], [(0.0, 0)], [(0.0, 0), (0.5, 10**9)], [(0.0, 5), (9.0, 5)]])
def test_too_little_gives_no_rate(samples: list[tuple[float, int]]) -> None:
    meter = Meter()
    for sample in samples:
        meter.add(*sample)
    assert meter.rate() is None


def test_a_told_round_trip_is_bounded_by_what_the_kernel_saw() -> None:
    assert believed(0.0001, 0.02) == 0.02
    assert believed(0.05, 0.02) == 0.05
    assert [believed(each, None) for each in (None, float("nan"), float("inf"), -1.0, 0.0, 61.0)] == [
        None
    ] * 6
    assert [grade(each) for each in (0.0, 0.02, 0.05, 0.1, 0.3, 2.0)] == ["A+", "A", "B", "C", "D", "F"]


def test_an_old_or_strange_kernel_says_nothing() -> None:
    assert kernel.parse(b"\0" * 104) is None
    raw = bytearray(160)
    struct.pack_into("=I", raw, 16, 1448)
    struct.pack_into("=I", raw, 60, 1500)
    struct.pack_into("=Q", raw, 120, 2**40)
    struct.pack_into("=I", raw, 148, 1500)
    found = kernel.parse(bytes(raw))
    assert found is not None
    assert (found.acknowledged_bytes, found.least_rtt_seconds) == (2**40, 0.0015)
    assert kernel.ask(None) is None
