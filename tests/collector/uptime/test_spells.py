"""Outages, flapping, days of minutes and causes: tables, and a plain implementation beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.uptime.causes import Cause, Facts, cause_of
from collector.uptime.minutes import Strip, joined, pack, unpack, written
from collector.uptime.spells import absences, changed_percent, flapping, outages


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (b"uuxxuuuuu", []),
        (b"uuxxxuuuuu", [(2, 5)]),
        (b"uuxxxuuuu", [(2, None)]),
        (b"uuxxxuuuuxuuuuu", [(2, 10)]),
        (b"xx?xx?xxuuuuu", []),
        (b"xxx?????uuuu?uuuuu", [(0, 13)]),
        (b"xxxddddd", [(0, 3)]),
        (b"xxxUDUDU", [(0, 3)]),
        (b"uppppppuuuuu", [(1, 7)]),
        (b"uxpxuuuuu", [(1, 4)]),
        (b"aaaaaaaa", []),
        (b"ooooo", []),
        (b"xxxuuuuuxxxuuuuu", [(0, 3), (8, 11)]),
        (b"", []),
    ],
)
def test_three_down_begin_and_five_up_end(codes: bytes, expected: list[tuple[int, int | None]]) -> None:
    found = outages(Strip(100, codes))
    assert [(s.first - 100, None if s.end is None else s.end - 100) for s in found] == expected


def plainly(codes: bytes, down: int, up: int) -> list[tuple[int, int | None]]:
    """Minute by minute, with counters."""
    found: list[tuple[int, int | None]] = []
    bad = good = 0
    since: int | None = None
    for number, letter in enumerate(codes):
        bad = bad + 1 if letter in b"xpc" else 0
        good = good + 1 if letter in b"udUD" else 0
        if since is None and bad == down:
            since = number - down + 1
        elif since is not None and good == up:
            found.append((since, number - up + 1))
            since, bad = None, 0
    return [*found, (since, None)] if since is not None else found


@given(st.lists(st.sampled_from(b"uuuudxxxp?acoUD"), max_size=300), st.integers(1, 4), st.integers(1, 6))
def test_outages_are_those_of_a_plain_machine(letters: list[int], down: int, up: int) -> None:
    found = outages(Strip(7, bytes(letters)), down, up)
    plain = plainly(bytes(letters), down, up)
    assert [(s.first - 7, None if s.end is None else s.end - 7) for s in found] == plain
    for spell in found:
        assert spell.first < spell.last_known <= (spell.end or 7 + len(letters))


def test_an_agent_that_was_away_is_no_outage() -> None:
    strip = Strip(0, b"uaauaaaurrrru")
    assert [tuple(each) for each in absences(strip, b"a")] == [(4, 7, 7)]
    assert [tuple(each) for each in absences(strip, b"r")] == [(8, 12, 12)]
    assert outages(strip) == []


def test_flapping_by_nagios_own_weights() -> None:
    """20 changes in 21 states are 100 %, the newest alone 1.25 / 20, the oldest 0.75 / 20."""
    assert changed_percent([bool(n % 2) for n in range(21)]) == pytest.approx(100.0)
    assert changed_percent([True] * 20 + [False]) == pytest.approx(6.25)
    assert changed_percent([True] + [False] * 20) == pytest.approx(3.75)
    assert changed_percent([True] * 21) == 0.0
    assert changed_percent([]) == 0.0


def test_flapping_begins_at_thirty_percent_and_is_over_below_twenty() -> None:
    codes = b"u" * 30 + b"xu" * 10 + b"u" * 60
    (since, until), *rest = flapping(Strip(0, codes))
    assert not rest
    assert until is not None
    works = [letter in b"ud" for letter in codes]
    assert changed_percent(works[: since + 1]) >= 30 > changed_percent(works[:since])
    assert changed_percent(works[: until + 1]) < 20 <= changed_percent(works[:until])
    assert list(flapping(Strip(0, codes.replace(b"xu", b"xu??")))) != []


@given(st.lists(st.sampled_from(b"uxd?"), min_size=1, max_size=40), st.integers(0, 60), st.integers(4, 12))
def test_days_are_written_and_read_back(letters: list[int], first: int, per_day: int) -> None:
    strip = Strip(first, bytes(letters))
    days = {day: unpack(pack(codes)) for day, codes in written({}, strip, per_day).items()}
    assert joined(days, first, strip.end, per_day) == strip
    around = joined(days, max(0, first - 9), strip.end + 9, per_day)
    assert around.cut(first, strip.end) == strip
    assert set(around.codes.replace(bytes(letters), b"", 1)) <= set(b"?")
    assert written(days, strip, per_day) == {}


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (Facts(power_cut=True, in_lan=True, next_hop=False), Cause.POWER),
        (Facts(rebooted=True, next_hop=False), Cause.RESTART),
        (Facts(agent_stopped=True), Cause.AGENT),
        (Facts(in_lan=True, next_hop=False, carrier_down=9), Cause.LAN),
        (Facts(in_lan=True, port_down=True), Cause.LAN),
        (Facts(in_lan=True, next_hop=True), Cause.CARRIER),
        (Facts(in_lan=True, next_hop=None), Cause.UNKNOWN),
        (Facts(centre_away=True, centre_alone_asked=True, next_hop=True), Cause.CENTRE),
        (Facts(centre_away=True, centre_alone_asked=False, next_hop=True), Cause.CARRIER),
        (Facts(centre_alone_asked=True, schools_down=3, carriers_down=2), Cause.CENTRE),
        (Facts(centre_alone_asked=True, schools_down=3, carriers_down=2, schools_up=1), Cause.LINE),
        (Facts(centre_alone_asked=True, schools_down=3, carriers_down=1, carrier_down=3), Cause.CARRIER),
        (Facts(next_hop=False, carrier_down=3), Cause.CARRIER),
        (Facts(next_hop=False, carrier_down=2), Cause.LINE),
        (Facts(port_down=True, carrier_down=3), Cause.LINE),
        (Facts(next_hop=True), Cause.CARRIER),
        (Facts(next_hop=None), Cause.LINE),
    ],
)  # fmt: skip
def test_causes(facts: Facts, cause: Cause) -> None:
    found, why = cause_of(facts)
    assert found is cause
    assert why
