"""Kills a collector at each step between verdict and send.

Run: ``python -m tests.collector.messages.torture 200``.

Each round a process writes one incident with its message, as the incidents room does, and sends what waits;
it kills itself (SIGKILL) at one step of the way, or is killed at a moment drawn by chance. The receiver is
another process. In the end one process is left alone. Then: every incident that stands in the database was
received, nothing was received of what does not stand there, no crash repeated more than one letter.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from collector.incidents.book import IncidentBook, Turned
from collector.incidents.machine import Turn
from collector.incidents.model import Change
from collector.messages.room import MessageRoom
from tests.collector.messages.county import CHINA, MovedClock, incident, message_settings, opened_registry
from tests.collector.messages.sinks import Recorder, secret_file, serving

STEPS = (
    "in the transaction", "after the transaction", "claimed", "sending", "sent", "in the delivery's record",
    "recorded", "by chance",
)  # fmt: skip
ROUND_SECONDS = 120.0
"""How far the clock goes on between rounds: beyond the lease of the one that died."""
LONGEST_LIFE_SECONDS = 0.3
Step: TypeAlias = str | None


class Outcome(NamedTuple):
    """What a run showed."""

    rounds: int
    killed: int
    written: set[str]
    received: collections.Counter[str]
    letters: collections.Counter[str]

    @property
    def lost(self) -> set[str]:
        """Written, and received by nobody."""
        return self.written - set(self.received)

    @property
    def invented(self) -> set[str]:
        """Received, and written nowhere."""
        return set(self.received) - self.written

    @property
    def repeats(self) -> int:
        """Letters that came again."""
        return sum(count - 1 for count in self.letters.values())


def torture(rounds: int, folder: Path) -> Outcome:
    """Run so many rounds in ``folder``."""
    sink = Recorder(204, b"")
    with serving(sink) as url:
        secret_file(folder, "url", url)
        secret_file(folder, "secret", "torture")
        command = [sys.executable, "-m", "tests.collector.messages.torture", str(rounds), str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    registry = opened_registry(folder)
    opened = [each for each in IncidentBook(registry).find(limit=10 * rounds) if each.state == "open"]
    registry.close()
    bodies = [msgspec.json.decode(body) for _, _, body in sink.requests]
    keys = [facts["key"] for body in bodies for facts in body["facts"].get("merged", [body["facts"]])]
    return Outcome(
        rounds,
        json.loads(done.stdout)["killed"],
        {f"{each.id}-{each.number}-opened-duty" for each in opened},
        collections.Counter(keys),
        collections.Counter(body["key"] for body in bodies),
    )


def _worker(rounds: int, folder: Path) -> None:
    """Forks a process a round, so that its modules are there at once; has no thread of its own."""
    chance = random.Random(7)
    killed = 0
    for number in range(rounds):
        killed += _forked(folder, number, STEPS[number % len(STEPS)], chance.random() * LONGEST_LIFE_SECONDS)
    assert _forked(folder, rounds, None, 0.0) == 0, "the last one is not killed"
    print(json.dumps({"killed": killed}))


def _forked(folder: Path, number: int, step: Step, life_seconds: float) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            if step == "by chance":
                signal.signal(signal.SIGALRM, lambda *_: _die())
                signal.setitimer(signal.ITIMER_REAL, 0.001 + life_seconds)
            _live(folder, number, step)
            status = 0
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), f"round {number} ended with {status}"
    return int(status != 0)


def _live(folder: Path, number: int, step: Step) -> None:
    registry = opened_registry(folder)
    clock = MovedClock()
    clock.seconds += number * ROUND_SECONDS
    room = MessageRoom(registry, _settings(folder), CHINA, clock=clock)
    _arm(room, step)
    book = IncidentBook(registry, _told(room, step))
    if step is not None:
        book.begin([incident(0, state="pending", subject=f"line/{number}", opened_at=None)])
    for before in book.unresolved():
        if before.state == "pending":
            opened = msgspec.structs.replace(before, state="open", opened_at=clock.now())
            book.write([Turned(before, Turn(opened, (Change(opened, "opened", clock.now()),)))])
    if step == "after the transaction":
        _die()
    # the last one goes on until nothing waits: after failures a channel rests, and one letter holds 300
    for _ in range(50 if step else 1000):
        if not room.senders[0].step():
            clock.seconds += 1 if step else 10
        if step is None and not {state for _, state in room.counts()} & {"waiting", "sending"}:
            break
    registry.close()


def _told(room: MessageRoom, step: Step) -> Callable[[Any, Any], None]:
    def on_change(connection: Any, changes: Any) -> None:
        room.on_change(connection, changes)
        if step == "in the transaction":
            _die()

    return on_change


def _arm(room: MessageRoom, step: Step) -> None:
    """Let the process die at a step of the sender."""
    outbox, channel = room.outbox, room.channels["sms"]
    if step == "claimed":
        _after(outbox, "claim")
    elif step == "sending":
        # the request is written, and nobody waits for the answer
        web: Any = channel._web  # type: ignore[attr-defined]
        _after(web, "_read", before=True)
    elif step == "sent":
        _after(channel, "send")
    elif step == "in the delivery's record":
        _after(outbox, "_finish")
    elif step == "recorded":
        _after(outbox, "delivered")


def _after(thing: Any, name: str, *, before: bool = False) -> None:
    original = getattr(thing, name)

    def dying(*given: Any, **named: Any) -> Any:
        result = None if before else original(*given, **named)
        if name == "claim" and result is None:
            return None
        return _die()

    setattr(thing, name, dying)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _settings(folder: Path) -> Any:
    hook = {"url_file": str(folder / "url"), "secret_file": str(folder / "secret"), "a_minute": 1000}
    return message_settings(
        channels={"webhook": {"sms": hook}, "timeout": "5s"}, recipients={"duty": {"channel": "sms"}}
    )


def main() -> None:
    """Run, print what it showed, and fail when a message was lost."""
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        outcome = torture(int(sys.argv[1]), Path(folder))
    seconds = (datetime.now(UTC) - began).total_seconds()
    print(
        f"rounds {outcome.rounds}, killed {outcome.killed}, incidents {len(outcome.written)}, "
        f"lost {len(outcome.lost)}, invented {len(outcome.invented)}, repeated letters {outcome.repeats}, "
        f"seconds {seconds:.0f}"
    )
    if outcome.lost or outcome.invented or outcome.repeats > outcome.killed:
        raise SystemExit(1)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _worker(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
