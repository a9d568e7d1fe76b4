"""How full a responder's own line was while a test was judged."""

from __future__ import annotations

import pytest

from agent.capacity.estimate import Mark
from collector.responder import own_line
from collector.responder.own_line import OwnLine

RATE = 1e9


class Paper:
    """A clock and a counter of a line that is 40 % full for the test's first third, then full."""

    def __init__(self, *, readable: bool = True) -> None:
        self.now = 0.0
        self._readable = readable

    def monotonic(self) -> float:
        return self.now

    def mark(self, seconds: float) -> Mark | None:
        bits = RATE * (0.4 * min(seconds, 1.0) + max(0.0, seconds - 1.0))
        return Mark(seconds, bits) if self._readable else None


def looked(monkeypatch: pytest.MonkeyPatch, paper: Paper, ticks: int) -> OwnLine:
    """A line that was looked at so often, twenty times a second."""
    monkeypatch.setattr(own_line, "time", paper)
    monkeypatch.setattr(own_line, "_counter", lambda *_: paper)
    line = OwnLine(RATE, "192.0.2.1", incoming=True)
    for tick in range(1, ticks + 1):
        paper.now = tick / 20
        line.look()
    return line


def test_a_line_that_filled_up_after_the_first_third_was_full(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = Paper()
    line = looked(monkeypatch, paper, 60)
    paper.now = 9.0  # what comes after the last look is no part of the test
    share = line.share()
    assert share == pytest.approx(1.0)


@pytest.mark.parametrize(("readable", "ticks"), [(False, 60), (True, 0)])
def test_a_line_that_was_not_seen_is_not_known(
    monkeypatch: pytest.MonkeyPatch, readable: bool, ticks: int
) -> None:
    assert looked(monkeypatch, Paper(readable=readable), ticks).share() is None
