"""At least once, in order, within each channel's limits: on a clock that the test moves."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from collector.incidents.book import IncidentBook, Turned
from collector.incidents.machine import Turn
from collector.incidents.tables import IncidentRow
from collector.messages.bodies import ChangeBody, decode
from collector.messages.channels import Limit
from collector.messages.choosing import Waiting
from collector.messages.outbox import Entry, Outbox, insert
from collector.messages.room import MessageRoom
from collector.messages.tables import MessageRow
from collector.registry import Registry
from tests.collector.messages.county import (
    AT,
    CHINA,
    MovedClock,
    change,
    incident,
    message_settings,
    opened_registry,
)
from tests.collector.messages.sinks import (
    DINGTALK_SECRET,
    TOKEN,
    WECOM_KEY,
    DingTalkRobot,
    Recorder,
    Robot,
    WeComRobot,
    secret_file,
    serving,
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = opened_registry(tmp_path)
    yield opened
    opened.close()


@contextlib.contextmanager
def room_with(
    registry: Registry, folder: Path, clock: MovedClock, sink: Any = None, **settings: Any
) -> Iterator[tuple[MessageRoom, Any]]:
    """A messages room whose one channel is a DingTalk robot, on the test's clock; its threads do not run."""
    robot = sink or DingTalkRobot(lambda: clock.seconds)
    with serving(robot) as url:
        if isinstance(robot, WeComRobot):
            kind: Any = {
                "wecom": {"group": {"url_file": secret_file(folder, "u", f"{url}/?key={WECOM_KEY}")}}
            }
        else:
            made = {
                "url_file": secret_file(folder, "u", f"{url}/robot/send?access_token={TOKEN}"),
                "secret_file": secret_file(folder, "s", DINGTALK_SECRET),
            }
            kind = {"dingtalk": {"group": made}}
        values = {"recipients": {"duty": {"channel": "group"}}, **settings}
        yield MessageRoom(registry, message_settings(channels=kind, **values), CHINA, clock=clock), robot


def tell(registry: Registry, room: MessageRoom, changes: Sequence[Any]) -> None:
    with registry.writing() as connection:
        room.on_change(connection, changes)


def opened(number: int, **values: Any) -> Any:
    return change("opened", incident(number, **values))


def drain(room: MessageRoom, clock: MovedClock, seconds: int, every: float = 1.0) -> None:
    """Let that much time pass, with a look each second."""
    for _ in range(int(seconds / every)):
        while room.senders[0].step():
            pass
        clock.seconds += every


def rows(registry: Registry, state: str | None = None) -> list[Waiting]:
    columns = [getattr(MessageRow, name) for name in Waiting.__struct_fields__]
    with registry.reading() as connection:
        found = connection.execute(sa.select(*columns).order_by(MessageRow.id))
        return [each for each in (Waiting(*row) for row in found) if state in (None, each.state)]


def test_a_message_goes_out_once_with_its_key(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, robot):
        tell(registry, room, [opened(1)])
        tell(registry, room, [opened(1)])
        drain(room, clock, 3)
    assert robot.keys == ["1-2-opened-duty"]
    assert [(each.state, each.tries) for each in rows(registry)] == [("sent", 1)]


@pytest.mark.fault(15)
def test_a_storm_is_merged_and_never_mutes_the_robot(registry: Registry, tmp_path: Path) -> None:
    """300 at once, then 300 back: two letters, and every incident is in one."""
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, robot):
        tell(registry, room, [opened(n) for n in range(300)])
        drain(room, clock, 5)
        over = [change("resolved", incident(n, state="resolved", resolved_at=AT)) for n in range(300)]
        tell(registry, room, over)
        drain(room, clock, 5)
    assert (len(robot.taken), robot.muted_until) == (2, 0.0)
    assert robot.taken[0].startswith("【汇总】300 条消息\n· 【紧急】第一小学：线路中断")
    assert len(rows(registry, "sent")) == 600


@pytest.mark.fault(15)
@pytest.mark.parametrize("every", [1.0, 4.0])
def test_a_steady_stream_stays_under_the_limit(every: float, registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, robot):
        for number in range(int(60 / every)):
            tell(registry, room, [opened(number)])
            drain(room, clock, 1)
            clock.seconds += every - 1
        drain(room, clock, 100, 5)
    assert robot.muted_until == 0.0
    assert {each.state for each in rows(registry)} == {"sent"}


@pytest.mark.fault(15)
def test_a_mute_of_ten_minutes_loses_nothing(registry: Registry, tmp_path: Path) -> None:
    """Somebody else uses the same robot: it is mute, we wait ten minutes, then all goes out in order."""
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, robot):
        robot.muted_until = clock.seconds + 600
        began = clock.seconds
        for number in range(15):
            tell(registry, room, [opened(number)])
            drain(room, clock, 20, 5)
        drain(room, clock, 420, 5)
    assert len(robot.taken) == 2, "the first again, then the 14 merged"
    assert "[0-2-opened-duty]" in robot.taken[0]
    assert "14 条消息" in robot.taken[1]
    assert clock.seconds - began < 800
    assert {each.state for each in rows(registry)} == {"sent"}


def test_retries_are_kept_across_a_restart_and_back_off(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    times: list[float] = []
    robot = WeComRobot(lambda: clock.seconds)
    original = robot.answer

    def ill(path: str, body: Any) -> dict[str, Any]:
        times.append(clock.seconds)
        return {"errcode": -1, "errmsg": "system busy"} if len(times) < 5 else original(path, body)

    robot.answer = ill  # type: ignore[method-assign]
    with room_with(registry, tmp_path, clock, robot) as (room, _):
        tell(registry, room, [opened(1)])
        drain(room, clock, 20)
    with room_with(registry, tmp_path, clock, robot) as (room, _):
        drain(room, clock, 120)
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(times)]
    assert waits == [5, 10, 20, 40]
    assert len(robot.taken) == 1
    assert robot.keys == ["1-2-opened-duty"]


def test_what_cannot_be_delivered_is_given_up_and_told(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock, give_up_after="1h", longest_retry="300s") as (room, robot):
        (tmp_path / "s").write_text("SECwrong\n")
        broken = MessageRoom(registry, room.settings, CHINA, clock=clock)
        tell(registry, broken, [opened(1)])
        drain(broken, clock, 3500, 50)
        assert broken.failures()["group"] > 10, "tried all the time, less and less often"
        assert rows(registry, "sending")[0].error.endswith("errcode 310000 sign not match")
        clock.seconds += 200
        broken.tick()
        assert broken.counts() == {("group", "given_up"): 1}
        assert not robot.taken


def test_a_letter_that_is_not_taken_holds_up_no_other(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    robot = WeComRobot(lambda: clock.seconds)
    original = robot.answer

    def picky(path: str, body: Any) -> dict[str, Any]:
        if "第二小学" in body["text"]["content"]:
            return {"errcode": 40058, "errmsg": "invalid Request Parameter"}
        return original(path, body)

    robot.answer = picky  # type: ignore[method-assign]
    with room_with(registry, tmp_path, clock, robot) as (room, _):
        tell(registry, room, [opened(n, school_id="s2" if n == 7 else "s1") for n in range(15)])
        drain(room, clock, 200)
    states = {each.key: each.state for each in rows(registry)}
    assert states.pop("7-2-opened-duty") == "given_up"
    assert set(states.values()) == {"sent"}


@pytest.mark.fault(14)
def test_after_a_crash_another_collector_sends_the_same_letter_again(
    registry: Registry, tmp_path: Path
) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, robot):
        tell(registry, room, [opened(1), opened(2)])
        sent = room.outbox.claim("group", [], clock.now())
        assert sent is not None
        room.channels["group"].send(room.letter(room.channels["group"], sent, _bodies(sent)))
        other = MessageRoom(registry, room.settings, CHINA, clock=clock)
        drain(other, clock, 59)
        assert len(robot.keys) == 1, "the lease of the dead one still runs"
        drain(other, clock, 5)
    assert robot.keys == ["1-2-opened-duty", "1-2-opened-duty", "2-2-opened-duty"]


def _bodies(batch: Any) -> list[tuple[str, str, Any]]:
    return [(each.key, each.severity, decode(each.body)) for each in batch.messages]


@pytest.mark.fault(8)
@pytest.mark.parametrize("step_hours", [-12, 12])
def test_a_clock_that_steps_stops_no_channel(step_hours: int, registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, robot):
        robot.muted_until = clock.seconds + 1
        tell(registry, room, [opened(1)])
        drain(room, clock, 2)
        clock.seconds += step_hours * 3600
        robot.asked, robot.muted_until = [], 0.0
        tell(registry, room, [change("opened", incident(2), at=clock.now())])
        drain(room, clock, 700, 10)
    assert {each.state for each in rows(registry)} == {"sent"}


def test_two_collectors_send_each_message_once(registry: Registry, tmp_path: Path) -> None:
    """Threads of two rooms on one database, for real: nothing twice, the order of the channel kept."""

    class Patient(WeComRobot):
        def answer(self, path: str, body: Any) -> dict[str, Any]:
            self.taken.append(body["text"]["content"])
            return {"errcode": 0, "errmsg": "ok"}

    clock = MovedClock()
    with room_with(registry, tmp_path, clock, Patient(), poll="0.01s") as (first, robot):
        second_registry = opened_registry(tmp_path)
        second = MessageRoom(second_registry, first.settings, CHINA, clock=clock)
        failed: list[Exception] = []

        def work(room: MessageRoom) -> None:
            try:
                for _ in range(400):
                    room.senders[0].step()
            except Exception as error:  # noqa: BLE001 (told by the assertion below)
                failed.append(error)

        threads = [threading.Thread(target=work, args=(room,)) for room in (first, second)]
        for thread in threads:
            thread.start()
        for number in range(40):
            tell(registry, first if number % 2 else second, [opened(number)])
            clock.seconds += 0.5
        for thread in threads:
            thread.join()
        drain(first, clock, 700, 30)
        second_registry.close()
    assert not failed
    assert {each.state for each in rows(registry)} == {"sent"}
    letters = [each.batch for each in rows(registry)]
    assert sorted(set(robot.keys)) == sorted(robot.keys), "one letter twice"
    assert set(robot.keys) == set(letters)
    firsts = [int(key.split("-")[0]) for key in robot.keys]
    assert firsts == sorted(firsts)


@pytest.mark.fault(14)
def test_an_incident_that_is_not_written_has_no_message(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, _):

        def break_after(connection: Any, changes: Any) -> None:
            room.on_change(connection, changes)
            raise RuntimeError("the power goes")

        for on_change, error in ((break_after, True), (room.on_change, False)):
            book = IncidentBook(registry, on_change)
            begun = book.begin([incident(0, state="pending", number=0, opened_at=None)])
            before = begun[0] if begun else book.unresolved()[0]
            after = incident(before.id, state="open", number=before.number)
            turned = [Turned(before, Turn(after, (change("opened", after),)))]
            if error:
                with pytest.raises(RuntimeError):
                    book.write(turned)
            else:
                book.write(turned)
            with registry.reading() as connection:
                state = connection.scalar(sa.select(IncidentRow.state))
            assert (state, len(rows(registry))) == (("pending", 0) if error else ("open", 1))


def test_what_waited_for_the_morning_comes_merged(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    morning = AT + timedelta(hours=9)
    with room_with(registry, tmp_path, clock) as (room, robot):
        quiet = [change("opened", incident(n, severity="info"), not_before=morning) for n in range(3)]
        tell(registry, room, [*quiet, opened(9)])
        drain(room, clock, 3)
        assert robot.keys == ["9-2-opened-duty"]
        clock.seconds = morning.timestamp() - 1
        drain(room, clock, 3)
    assert [each.splitlines()[0] for each in robot.taken[1:]] == ["【汇总】3 条消息"]


def test_the_digest_goes_out_once_a_day_also_when_all_is_well(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock(datetime(2026, 11, 22, 7, 20, tzinfo=CHINA))
    who = {"duty": {"channel": "group", "daily_digest": True}, "lead": {"channel": "group"}}
    with room_with(registry, tmp_path, clock, recipients=who) as (room, robot):
        other = MessageRoom(registry, room.settings, CHINA, clock=clock)
        for _ in range(2 * 24 * 2):
            room.tick()
            other.tick()
            drain(room, clock, 1)
            clock.seconds += 1799
    assert [each.splitlines()[:3] for each in robot.taken] == [
        [f"【日报】2026-11-{day}", "一切正常：没有未恢复的事件。", "没有未知项。"] for day in (22, 23)
    ]


def test_the_outbox_is_bounded(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock, max_waiting=5, keep="1d") as (room, _):
        severities = ["critical", "info", "warning"] * 3
        tell(registry, room, [opened(n, severity=each) for n, each in enumerate(severities)])
        gone = room.outbox.give_up_old(clock.now())
        assert [each.severity for each in gone] == ["info", "info", "info", "warning"]
        assert len(rows(registry, "waiting")) == 5
        assert room.outbox.forget_old(clock.now() + timedelta(days=2)) == 4


def test_bodies_that_nobody_understands_still_reach_people(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock) as (room, robot):
        tell(registry, room, [opened(1)])
        with registry.writing() as connection:
            connection.execute(sa.update(MessageRow).values(body='{"type":"of tomorrow"}'))
        drain(room, clock, 2)
    assert "1-2-opened-duty" in robot.taken[0]
    with pytest.raises(Exception, match="of tomorrow"):
        decode('{"type":"of tomorrow"}')


def test_each_is_told_what_concerns_them(registry: Registry, tmp_path: Path) -> None:
    who = {
        "duty": {"channel": "group"},
        "lead": {"channel": "group", "groups": ["lead"], "language": "en"},
        "dongle": {"channel": "group", "townships": ["大满镇"]},
        "ipv6": {"channel": "group", "kinds": ["ipv6_fell"]},
        "urgent": {"channel": "group", "severities": ["critical"]},
        "office": {"channel": "group", "hours": ["08:00-12:00"], "critical_always": False},
    }
    told: Callable[..., set[str]] = lambda *changes: _told(registry, tmp_path, who, changes)  # noqa: E731
    assert told(opened(1)) == {"duty", "urgent", "office"}
    assert told(opened(2, school_id="s2", severity="warning")) == {"duty", "dongle", "office"}
    assert told(change("escalated", incident(3), whom=("duty", "lead"))) == {
        "duty",
        "urgent",
        "office",
        "lead",
    }
    assert told(change("opened", incident(4, "ipv6_fell"), send=False)) == set()
    assert told(change("opened", incident(5), digest=True)) == set()
    assert told(change("children_changed", incident(6))) == set()
    assert told(change("opened", incident(7, "centre_down", school_id="", subject="centre"))) == {
        "duty", "dongle", "urgent", "office",
    }  # fmt: skip
    late = [each for each in rows(registry) if each.recipient == "office"]
    assert {each.due_at for each in late} == {datetime(2026, 11, 23, 8, tzinfo=CHINA)}


def _told(registry: Registry, folder: Path, who: Any, changes: Sequence[Any]) -> set[str]:
    before = {each.key for each in rows(registry)}
    with room_with(registry, folder, MovedClock(), Robot(), recipients=who) as (room, _):
        tell(registry, room, changes)
    return {each.recipient for each in rows(registry) if each.key not in before}


def test_a_change_is_kept_whole(registry: Registry, tmp_path: Path) -> None:
    with room_with(registry, tmp_path, MovedClock()) as (room, _):
        tell(registry, room, [opened(1)])
    assert decode(rows(registry)[0].body) == ChangeBody(opened(1))


def test_an_unknown_holder_frees_nothing(registry: Registry) -> None:
    """A collector whose lease ran out while it sent does not take the other's lease away."""
    settings = message_settings()
    first, second = Outbox(registry, settings, "a"), Outbox(registry, settings, "b")
    first.know(["x"])
    with registry.writing() as connection:
        insert(connection, [Entry(f"k{n}", "x", "r", "info", "{}", AT) for n in range(2)], AT)
    taken = first.claim("x", [], AT)
    assert taken is not None
    assert second.claim("x", [], AT) is None
    later = AT + timedelta(seconds=61)
    again = second.claim("x", [], later)
    assert again is not None
    assert again.key == taken.key
    first.delivered("x", taken, later)
    assert first.claim("x", [], later) is None, "the second holds the channel"


@pytest.mark.parametrize("skew_seconds", [-50, -0.001, 0.001, 50])
def test_a_lease_holds_for_collectors_whose_clocks_differ(skew_seconds: float, registry: Registry) -> None:
    settings = message_settings()
    first, second = Outbox(registry, settings, "a"), Outbox(registry, settings, "b")
    first.know(["x"])
    first.put([Entry("k", "x", "r", "info", "{}", AT - timedelta(hours=1))], AT)
    assert first.claim("x", [Limit(1, 60.0)], AT) is not None
    assert second.claim("x", [], AT + timedelta(seconds=skew_seconds)) is None


def test_uses_of_a_collector_whose_clock_is_ahead_count(registry: Registry) -> None:
    settings, limits = message_settings(), [Limit(1, 60.0)]
    first, second = Outbox(registry, settings, "a"), Outbox(registry, settings, "b")
    first.know(["x"])
    first.put([Entry(f"k{n}", "x", f"r{n}", "info", "{}", AT - timedelta(hours=1)) for n in range(2)], AT)
    ahead = AT + timedelta(seconds=3)
    batch = first.claim("x", limits, ahead)
    assert batch is not None
    first.delivered("x", batch, ahead)
    assert second.claim("x", limits, AT) is None
    assert second.claim("x", limits, ahead + timedelta(seconds=62)) is not None


def test_a_channel_that_asks_for_years_is_asked_again_in_an_hour(registry: Registry, tmp_path: Path) -> None:
    clock = MovedClock()
    with room_with(registry, tmp_path, clock, Recorder(429, {}, {"Retry-After": "9999999"})) as (room, sink):
        tell(registry, room, [opened(1)])
        drain(room, clock, 7300, 100)
    assert 2 <= len(sink.requests) <= 3


@pytest.mark.fault(20)
def test_no_secret_is_logged_or_kept(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the level that «serve» logs, for a channel that answers, refuses, throttles and is not there."""
    clock = MovedClock()
    caplog.set_level("INFO")
    with room_with(registry, tmp_path, clock) as (room, robot):
        tell(registry, room, [opened(1)])
        robot.muted_until = clock.seconds + 600
        drain(room, clock, 2)
        (tmp_path / "s").write_text("SECcanary\n")
        broken = MessageRoom(registry, room.settings, CHINA, clock=clock)
        clock.seconds += 700
        drain(broken, clock, 2)
    clock.seconds += 700
    drain(room, clock, 2)
    kept = "".join(each.error for each in rows(registry))
    assert "Connection refused" in kept or "NewConnectionError" in kept
    for secret in (TOKEN, DINGTALK_SECRET, "SECcanary"):
        assert secret not in caplog.text + kept
