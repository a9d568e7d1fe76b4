"""The state of a minute: who was asked by which line and family, and who answered."""

from __future__ import annotations

import pytest

from config.points import FieldValue
from config.uptime import Heard, State, judge_minute, window_seconds_of


def heard(place: str, lost: int, *, family: str = "ipv4", line: str | None = None, sent: int = 20) -> Heard:
    return Heard(f"{place}-{family}-{line}", family, place, sent, lost, line)


UP, DEGRADED, DOWN, UNKNOWN = State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN


@pytest.mark.parametrize(
    ("probes", "school"),
    [
        ([], UNKNOWN),
        ([heard("next_hop", 0)], UNKNOWN),
        ([heard("centre", 0, sent=0)], UNKNOWN),
        ([heard("centre", 3)], UP),
        ([heard("centre", 4)], DOWN),
        ([heard("centre", 0), heard("outside", 20)], DEGRADED),
        ([heard("centre", 20), heard("outside", 20), heard("next_hop", 0)], DOWN),
        ([heard("centre", 0), heard("next_hop", 20)], UP),
        ([heard("centre", 0), heard("centre", 20, family="ipv6")], UP),
        ([heard("centre", 20), heard("centre", 0, family="ipv6")], DEGRADED),
        ([heard("centre", 0, family="ipv6")], UP),
        ([heard("outside", 0, line="a"), heard("outside", 20, line="b")], UP),
        ([heard("outside", 20, line="a"), heard("outside", 20, line="b")], DOWN),
        ([heard("outside", 20), heard("outside", 20, line="a"), heard("outside", 0, line="b")], DEGRADED),
        ([heard("outside", 0), heard("next_hop", 0, line="a")], UP),
    ],
)  # fmt: skip
def test_the_state_of_a_minute(probes: list[Heard], school: State) -> None:
    assert judge_minute(probes).school is school


def test_each_family_and_each_line_by_itself() -> None:
    said = judge_minute(
        [
            heard("outside", 0, line="a"), heard("outside", 20, family="ipv6", line="a"),
            heard("outside", 20, line="b"), heard("outside", 20, family="ipv6", line="b"),
        ],
        ["a", "b"],
    )  # fmt: skip
    assert said.families == {"ipv4": UP, "ipv6": DOWN}
    assert said.lines == {"a": UP, "b": DOWN}
    assert said.one_line_only


def test_a_school_of_one_line_is_that_line() -> None:
    assert judge_minute([heard("outside", 0)], ["a"]).lines == {"a": UP}
    assert judge_minute([heard("outside", 0)], ["a", "b"]).lines == {}
    assert not judge_minute([heard("outside", 0)], ["a"]).one_line_only


@pytest.mark.parametrize(
    ("probes", "alone"),
    [
        ([heard("centre", 20), heard("next_hop", 0)], True),
        ([heard("centre", 20), heard("outside", 20)], False),
        ([heard("centre", 0)], False),
    ],
)
def test_down_by_the_centre_alone(probes: list[Heard], alone: bool) -> None:
    assert judge_minute(probes).by_centre_alone is alone


@pytest.mark.parametrize(
    ("told", "seconds"), [(60, 60), (0.5, 0.5), (1e290, 3600), (0, 60), (-1e300, 60), ("60", 60), (None, 60)]
)
def test_how_long_a_window_was(told: FieldValue | None, seconds: float) -> None:
    assert window_seconds_of({} if told is None else {"window_seconds": told}) == seconds
