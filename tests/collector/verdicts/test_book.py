"""The evidence book: what it keeps, what it drops, what is worth writing."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.verdicts.book import SERIES_KEPT, SHOWN_KEPT, TESTS_KEPT, Book
from config.evidence import AccessPoints, Evidence, EvidenceKind, Uplink

ZONE = ZoneInfo("Asia/Shanghai")
MORNING = datetime(2026, 11, 23, 0, tzinfo=UTC)
MBIT = 1_000_000


def peak(mbit: int, at: datetime = MORNING, **more: object) -> Evidence:
    return Evidence(EvidenceKind.PASSIVE_PEAK, "wan", at, "down", lower_bits_per_second=mbit * MBIT, **more)  # type: ignore[arg-type]


def failed(mbit: int, at: datetime = MORNING, judges: bool = True) -> Evidence:
    rate = mbit * MBIT
    return Evidence(EvidenceKind.VERIFY_FAILED, "wan", at, "down", upper_bits_per_second=rate, judges=judges)


def port(mbit: int, at: datetime = MORNING) -> Evidence:
    return Evidence(EvidenceKind.PORT_SPEED, "wan", at, upper_bits_per_second=mbit * MBIT)


def after(**span: float) -> datetime:
    return MORNING + timedelta(**span)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        pytest.param([peak(50), peak(80, after(hours=1))], [80], id="the greatest of a day"),
        pytest.param([peak(80), peak(50, after(hours=1))], [80], id="the greatest of a day, first"),
        pytest.param([peak(80), peak(50, after(days=1))], [50, 80], id="a smaller one of a later day"),
        pytest.param([peak(50), peak(80, after(days=1))], [80], id="a newer and greater makes it needless"),
        pytest.param([peak(50), peak(50, after(days=1))], [50], id="a newer and equal one too"),
        pytest.param(
            [peak(80), failed(60, after(hours=1)), peak(50, after(hours=2))],
            [50, 60, 80],
            id="a peak after a failed test of the same day",
        ),
        pytest.param([port(1000), port(100, after(minutes=1))], [100], id="the latest speed of a port"),
        pytest.param([port(100, after(minutes=1)), port(1000)], [100], id="an older one that came late"),
    ],
)
def test_what_is_kept(given_: list[Evidence], kept: list[int]) -> None:
    book = Book(ZONE)
    for evidence in given_:
        book.add([evidence])
    rates = [e.lower_bits_per_second or e.upper_bits_per_second for e in book.evidence()]
    assert rates == [mbit * MBIT for mbit in kept]


def test_days_are_local_days() -> None:
    late = datetime(2026, 11, 23, 15, 59, tzinfo=UTC)
    book = Book(ZONE)
    book.add([peak(80, late), peak(50, late + timedelta(minutes=2))])
    assert len(book.evidence()) == 2


def test_what_does_not_judge_never_replaces_what_does() -> None:
    book = Book(ZONE)
    book.add([peak(80), peak(90, after(minutes=1), judges=False)])
    assert {e.judges for e in book.evidence()} == {True, False}


def test_observations_keep_the_latest_of_each_sort() -> None:
    book = Book(ZONE)
    observations: list[Uplink | AccessPoints] = [Uplink(up=True), AccessPoints(9, 10), Uplink(up=False)]
    for minute, seen in enumerate(observations):
        book.add([Evidence(EvidenceKind.OBSERVED, "wan", after(minutes=minute), observed=seen)])
    assert [e.observed for e in book.evidence()] == [Uplink(up=False), AccessPoints(9, 10)]


def test_tests_and_series_are_bounded() -> None:
    book = Book(ZONE)
    book.add([failed(60, after(minutes=n)) for n in range(100)])
    book.add([failed(60, after(minutes=n), judges=False) for n in range(100)])
    assert len(book.evidence()) == TESTS_KEPT + SHOWN_KEPT
    assert book.evidence()[0].at == after(minutes=99)
    book.add([Evidence(EvidenceKind.PORT_SPEED, f"x{n}", MORNING) for n in range(SERIES_KEPT + 10)])
    assert len(book.evidence()) == TESTS_KEPT + SHOWN_KEPT + SERIES_KEPT - 2


@pytest.mark.parametrize(
    ("first", "then", "is_written"),
    [
        (peak(1000), peak(1005, after(minutes=1)), False),
        (peak(1000), peak(1010, after(minutes=1)), True),
        (port(1000), port(1000, after(minutes=5)), False),
        (port(1000), port(1000, after(minutes=15)), True),
        (port(1000), port(100, after(minutes=5)), True),
        (failed(60), failed(60, after(minutes=1)), True),
        (peak(1000), peak(900, after(minutes=1)), False),
    ],
)
def test_few_writes(first: Evidence, then: Evidence, is_written: bool) -> None:
    book = Book(ZONE)
    assert first in book.add([first]).put.values()
    assert (then in book.add([then]).put.values()) is is_written


@pytest.mark.parametrize(
    ("first", "then", "asks"),
    [
        pytest.param(port(1000), port(1000, after(seconds=10)), False, id="a port that stays as it is"),
        pytest.param(port(1000), port(100, after(seconds=10)), True, id="a port that is slower"),
        pytest.param(port(1000), port(1000, after(hours=1)), True, id="a port not heard of for long"),
        pytest.param(peak(50), peak(51, after(seconds=10)), True, id="a greater peak, however little"),
        pytest.param(peak(50), peak(49, after(seconds=10)), False, id="a smaller peak"),
        pytest.param(peak(50, after(days=1)), peak(50), False, id="a peak that a newer one made needless"),
        pytest.param(failed(60), failed(60, after(seconds=10)), True, id="each test"),
    ],
)
def test_a_school_is_judged_anew_for_what_says_another_thing(
    first: Evidence, then: Evidence, asks: bool
) -> None:
    book = Book(ZONE)
    assert book.add([first]).placed
    assert book.add([then]).placed is asks


def test_small_steps_are_written_once_they_add_up() -> None:
    book = Book(ZONE)
    steps = [book.add([peak(1000 + n, after(seconds=n))]) for n in range(30)]
    assert 2 <= sum(map(bool, steps)) <= 4
    assert book.evidence()[0].lower_bits_per_second == 1029 * MBIT


def test_a_needless_peak_is_dropped_from_the_written_ones() -> None:
    book = Book(ZONE)
    book.add([peak(50)])
    change = book.add([peak(80, after(days=1))])
    assert [key.slot for key in change.dropped] == ["2026-11-23"]
    assert [key.slot for key in change.put] == ["2026-11-24"]


def test_old_evidence_is_forgotten() -> None:
    book = Book(ZONE)
    book.add([peak(80), peak(50, after(days=10))])
    book.drop_before(after(days=5))
    assert book.evidence() == [peak(50, after(days=10))]


def test_merging_what_is_known_says_so() -> None:
    book = Book(ZONE)
    assert book.merge(peak(80))
    assert not book.merge(peak(80))
    assert not book.merge(peak(70, after(minutes=1)))


peaks = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5 * 24)), min_size=1, max_size=30)


@given(peaks)
def test_no_peak_that_could_matter_is_lost(pairs: list[tuple[int, int]]) -> None:
    """Whatever the order: at any later time, the greatest peak not older than any age is in the book."""
    given_ = [peak(mbit, after(hours=hours)) for mbit, hours in pairs]
    book = Book(ZONE)
    for evidence in given_:
        book.add([evidence])
    for day in range(6):
        young = [e.lower_bits_per_second or 0 for e in given_ if e.at >= _midnight(day)]
        kept = [e.lower_bits_per_second or 0 for e in book.evidence() if e.at >= _midnight(day)]
        assert max(kept, default=0) == max(young, default=0)


@given(peaks)
def test_what_is_written_rebuilds_the_book_within_a_percent(pairs: list[tuple[int, int]]) -> None:
    book, written = Book(ZONE), {}
    for mbit, hours in pairs:
        change = book.add([peak(mbit, after(hours=hours))])
        written.update(change.put)
        for key in change.dropped:
            written.pop(key)
    again = Book(ZONE, written.values())
    pairs_kept = itertools.zip_longest(book.evidence(), again.evidence())
    assert all(a and b and a.lower_bits_per_second == b.lower_bits_per_second for a, b in pairs_kept)


def _midnight(day: int) -> datetime:
    return datetime(2026, 11, 23, tzinfo=ZONE) + timedelta(days=day)
