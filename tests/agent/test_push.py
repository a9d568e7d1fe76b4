"""The push against a real server: what each answer does to the queue, and what survives bad ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.link import Link, LinkError
from agent.push import Push, backoff_seconds
from agent.settings import PushSettings, Secret, SpoolSettings
from agent.spool import Spool
from config.units import Bytes, Seconds
from tests.agent.clocks import HandClock
from tests.agent.collector_double import CollectorDouble, Reply, collector_double
from tests.agent.collector_double import Push as Pushed

CANARY = "canary-token-5f1c"
SETTINGS = SpoolSettings(reserve=Bytes(0), flush_away=Seconds(10), flush=Seconds(10), hold=Seconds(2))


class Bench:
    """A spool and a push to a server, driven by hand."""

    def __init__(self, directory: Path, url: str, timeout: float = 5.0) -> None:
        self.clock = HandClock()
        self.spool = Spool(directory, SETTINGS, self.clock, "boot-1")
        self.link = Link(url, Secret(CANARY), timeout)
        self.push = Push(
            spool=self.spool,
            link=self.link,
            settings=PushSettings(timeout=Seconds(timeout), backlog_points=2),
            clock=self.clock,
            boot_id="boot-1",
            stop=threading.Event(),
            random_between=lambda low, high: high,
        )

    def close(self) -> None:
        self.link.close()
        self.spool.close()

    def batch(self, *lines: str) -> None:
        self.spool.add(list(lines))
        self.clock.pass_seconds(8)
        self.spool.turn()

    def to_disk(self) -> None:
        self.clock.pass_seconds(2)
        self.spool.turn()

    def drain(self, steps: int = 200) -> list[float | None]:
        pauses: list[float | None] = []
        while len(pauses) < steps and (not pauses or pauses[-1] is not None):
            pauses.append(self.push.step())
            self.clock.pass_seconds(pauses[-1] or 0.0)
        return pauses


@pytest.fixture
def collector() -> Iterator[CollectorDouble]:
    with collector_double() as double:
        yield double


@pytest.fixture
def bench(tmp_path: Path, collector: CollectorDouble) -> Iterator[Bench]:
    made = Bench(tmp_path, collector.url)
    yield made
    made.close()
    collector.released.set()


def line(number: int) -> str:
    return f"ping,target=t sent={number}i {number}"


def test_a_push_carries_the_wire_s_headers_and_no_school(bench: Bench, collector: CollectorDouble) -> None:
    bench.batch(line(1))
    bench.clock.pass_seconds(1)
    assert bench.push.step() == 0.0
    pushed = collector.pushes[0]
    assert pushed.path == "/api/v2/write?org=xiaotong&bucket=raw&precision=ns"
    wanted = {
        "authorization": f"Token {CANARY}",
        "content-encoding": "gzip",
        "x-xiaotong-sequence": "1",
        "x-xiaotong-spool-id": bench.spool.spool_id,
        "x-xiaotong-boot-id": "boot-1",
        "x-xiaotong-wall-ns": str(bench.clock.wall_ns()),
        "x-xiaotong-monotonic-ns": str(bench.clock.monotonic_ns()),
        "x-xiaotong-recorded-boot-id": "boot-1",
        "x-xiaotong-recorded-wall-ns": str(bench.clock.wall_ns() - 10**9),
        "x-xiaotong-recorded-monotonic-ns": str(bench.clock.monotonic_ns() - 10**9),
    }
    assert {name: pushed.headers.get(name) for name in wanted} == wanted
    assert pushed.lines == [line(1)]


def test_what_is_taken_at_once_is_never_on_disk(bench: Bench) -> None:
    bench.batch(line(1))
    bench.drain()
    bench.to_disk()
    assert bench.spool.state().batches == 0
    assert bench.spool._file.batches == 0


@pytest.mark.fault(9)
def test_replies_dropped_half_of_the_time_leave_the_same_set_once(
    bench: Bench, collector: CollectorDouble
) -> None:
    seen: set[int] = set()

    def every_other(push: Pushed) -> Reply:
        seen.add(len(seen))
        return Reply(drop=len(seen) % 2 == 1)

    collector.answer = every_other
    for number in range(30):
        bench.batch(line(number))
        bench.to_disk()
    bench.drain()
    bench.drain()
    assert sorted(collector.lines()) == sorted(line(number) for number in range(30))
    assert len(collector.pushes) > len(collector.kept) == 16


def test_after_an_outage_the_live_batch_comes_first_and_nothing_is_lost(
    bench: Bench, collector: CollectorDouble
) -> None:
    collector.answer = lambda _push: Reply(status=500)
    for number in range(1, 6):
        bench.batch(line(number))
        bench.to_disk()
    bench.clock.pass_seconds(bench.push.step() or 0.0)
    collector.answer = lambda _push: Reply()
    collector.pushes.clear()
    bench.push.step()
    bench.push.step()
    bench.batch(line(6))
    bench.drain()
    assert [push.lines for push in collector.pushes] == [
        [line(5)], [line(1), line(2)], [line(6)], [line(3), line(4)],
    ]  # fmt: skip
    assert len(collector.kept) == 4
    assert sorted(collector.lines()) == [line(n) for n in range(1, 7)]


@pytest.mark.fault(13)
def test_the_backlog_is_paced_and_the_live_batch_is_not(bench: Bench) -> None:
    for number in range(5):
        bench.batch(line(number))
        bench.to_disk()
    assert bench.drain() == [0.0, 0.2, 0.2, None]


@pytest.mark.fault(13)
def test_what_is_to_wait_with_its_backlog_goes_on_with_what_is_new(
    bench: Bench, collector: CollectorDouble
) -> None:
    for number in range(3):
        bench.batch(line(number))
    assert bench.push.step() == 0.0
    collector.answer = lambda _push: Reply(status=503, headers={"Retry-After": "30"})
    assert bench.push.step() == 31.0
    collector.answer = lambda _push: Reply()
    collector.pushes.clear()
    bench.batch(line(3))
    assert bench.push.step() == 0.0
    assert bench.push.step() == 31.0 - 8.0
    bench.clock.pass_seconds(23)
    assert bench.push.step() == 0.2
    assert [push.lines for push in collector.pushes] == [[line(3)], [line(0), line(1)]]


@pytest.mark.fault(13)
def test_what_is_new_waits_as_asked_though_the_backlog_waits_too(
    bench: Bench, collector: CollectorDouble
) -> None:
    for number in range(3):
        bench.batch(line(number))
    assert bench.push.step() == 0.0
    collector.answer = lambda _push: Reply(status=503, headers={"Retry-After": "60"})
    assert bench.push.step() == 61.0
    bench.batch(line(3))
    assert bench.push.step() == 61.0
    collector.pushes.clear()
    bench.batch(line(4))
    assert bench.push.step() == 61.0 - 8.0
    assert collector.pushes == []


def test_batches_travel_together_only_where_one_correction_is_right_for_all(
    bench: Bench, collector: CollectorDouble
) -> None:
    for number in range(4):
        bench.batch(line(number))
        bench.clock.step_wall(3600.0 if number == 0 else 0.1)
    bench.drain()
    assert [push.lines for push in collector.pushes] == [[line(3)], [line(0)], [line(1), line(2)]]


def test_what_may_have_come_goes_again_under_its_own_number(bench: Bench, collector: CollectorDouble) -> None:
    """The collector knows it by that; among others, under another number, it would be stored once more."""
    collector.answer = lambda push: Reply(drop=push.lines == [line(1)])
    for number in range(3):
        bench.batch(line(number))
        bench.push.step()
    collector.answer = lambda _push: Reply()
    bench.drain()
    tried = [push for push in collector.pushes if line(1) in push.lines]
    assert len(tried) > 1
    assert {push.key for push in tried} == {tried[0].key}
    assert sorted(collector.lines()) == [line(number) for number in range(3)]


def test_what_may_have_come_goes_alone_also_when_it_was_put_off_since(
    bench: Bench, collector: CollectorDouble
) -> None:
    collector.answer = lambda _push: Reply(drop=True)
    bench.batch(line(0))
    bench.clock.pass_seconds(bench.push.step() or 0.0)
    collector.answer = lambda _push: Reply(status=503, headers={"Retry-After": "1"})
    bench.push.step()
    collector.answer = lambda _push: Reply()
    for number in (1, 2):
        bench.batch(line(number))
    bench.drain()
    assert {push.key for push in collector.pushes if line(0) in push.lines} == {collector.pushes[0].key}


def test_ends_of_lines_within_a_string_are_the_string_s(bench: Bench, collector: CollectorDouble) -> None:
    lines = [f'agent name="a\u2028b\x85c {number}" {number}' for number in range(3)]
    for each in lines:
        bench.batch(each)
    bench.drain()
    assert [len(push.lines) for push in collector.pushes] == [1, 2]
    assert sorted(collector.lines()) == lines


@pytest.mark.fault(13)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(bench: Bench, collector: CollectorDouble, status: int) -> None:
    collector.answer = lambda _push: Reply(status=status, headers={"Retry-After": "37"})
    bench.batch(line(1))
    assert bench.push.step() == 37 + 1.0
    assert bench.spool.state().batches == 1


@pytest.mark.parametrize("text", ["soon", "-5", "", "9" * 12])
def test_a_retry_after_that_says_nothing_backs_off(
    bench: Bench, collector: CollectorDouble, text: str
) -> None:
    collector.answer = lambda _push: Reply(status=503, headers={"Retry-After": text})
    bench.batch(line(1))
    assert bench.push.step() == 1.0


def test_retry_after_is_bounded(bench: Bench, collector: CollectorDouble) -> None:
    collector.answer = lambda _push: Reply(status=503, headers={"Retry-After": "999999999"})
    bench.batch(line(1))
    assert bench.push.step() == 3600 + 1.0


def test_back_off_doubles_with_full_jitter_up_to_its_bound() -> None:
    settings = PushSettings()
    most = [backoff_seconds(n, settings, lambda low, high: high) for n in (1, 2, 3, 9, 10, 1000)]
    assert most == [1, 2, 4, 256, 300, 300]
    assert backoff_seconds(5, settings, lambda low, high: low) == 0.0


@pytest.mark.fault(10)
def test_a_poisoned_batch_stands_aside_and_the_queue_moves_on(
    bench: Bench, collector: CollectorDouble
) -> None:
    collector.answer = lambda push: (
        Reply(400, body=b"unable to parse\nline 1") if line(2) in push.lines else Reply()
    )
    for number in (1, 2, 3):
        bench.batch(line(number))
    bench.drain()
    assert sorted(collector.lines()) == [line(1), line(3)]
    assert bench.spool.set_aside_batches() == [(2, "status 400: unable to parse line 1")]
    assert bench.spool.state().dropped_points == 1


def test_refused_credentials_keep_the_batch_and_retry_slowly(
    bench: Bench, collector: CollectorDouble, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answer = lambda _push: Reply(status=401)
    bench.batch(line(1))
    assert bench.push.step() == 60.0
    assert bench.spool.state().batches == 1
    assert "push refused status=401" in caplog.text
    assert CANARY not in caplog.text


def test_a_batch_too_large_is_split_until_it_fits(bench: Bench, collector: CollectorDouble) -> None:
    collector.answer = lambda push: Reply(413) if len(push.lines) > 2 else Reply()
    bench.batch(*(line(n) for n in range(9)))
    bench.drain()
    assert sorted(collector.lines()) == sorted(line(n) for n in range(9))
    assert len({push.key for push in collector.pushes}) == len(collector.pushes)


def test_one_point_too_large_stands_aside(bench: Bench, collector: CollectorDouble) -> None:
    collector.answer = lambda _push: Reply(413)
    bench.batch(line(1))
    bench.drain()
    assert [reason for _, reason in bench.spool.set_aside_batches()] == [
        "one point is too large for the collector"
    ]


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(drip=True)], ids=["hangs", "drips"])
def test_a_server_that_stalls_is_left_in_time(
    tmp_path: Path, collector: CollectorDouble, reply: Reply
) -> None:
    bench = Bench(tmp_path, collector.url, timeout=0.3)
    collector.answer = lambda _push: reply
    bench.batch(line(1))
    assert bench.push.step() == 1.0
    assert bench.spool.state().batches == 1
    collector.released.set()
    bench.close()


def test_nobody_listening_is_one_line_without_the_token(collector: CollectorDouble) -> None:
    link = Link("http://127.0.0.1:1", Secret(CANARY), 1.0)
    with pytest.raises(LinkError, match="ConnectionRefusedError") as caught:
        link.post("/x", b"", {})
    assert CANARY not in repr(caught.value) + str(caught.value) + repr(vars(link))


def test_a_new_spool_file_starts_live_again(tmp_path: Path, bench: Bench, collector: CollectorDouble) -> None:
    bench.batch(line(1))
    bench.drain()
    bench.spool._start_anew(ValueError("rot"))
    for number in (2, 3):
        bench.batch(line(number))
    collector.pushes.clear()
    bench.drain()
    assert [push.lines for push in collector.pushes] == [[line(3)], [line(2)]]
