"""A line cut in the night: what the collector asks for on a paper clock is really tested, and judged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from collector.registry import Registry
from collector.responder.office import Grant
from collector.responder.settings import SlotSettings
from config.evidence import Evidence, EvidenceKind
from config.points import Point
from config.units import Seconds
from tests.agent.capacity.far_end import number
from tests.collector.responder.fleet import County, M, local
from tests.lab.capacity_lines import SHARED_MACHINE, LabLine, Lines
from tests.lab.capacity_matrix import Setting, verify_at

pytestmark = [pytest.mark.quiet, pytest.mark.needs_root, pytest.mark.needs("tc")]
MONDAY = local(2026, 11, 23)
POLL = 600.0
SCHOOL = "s1"


class RealLine(County):
    """One school whose granted tests run on a line of the lab, whatever the paper's hour."""

    def __init__(self, line: LabLine, registry: Registry) -> None:
        slots = SlotSettings(poll=Seconds(POLL))
        super().__init__({SCHOOL: 100 * M}, slots, MONDAY, registries=[registry], classes=1)
        classes = 100 * M // (self.egress(SCHOOL).needed or 0)
        self.schools[SCHOOL] = msgspec.structs.replace(self.schools[SCHOOL], classes=classes)
        self._line = line

    def run_test(self, name: str, grant: Grant, starts: datetime) -> tuple[float, int, Point]:
        """See County: what it really took. What no verdict asks about stays on paper."""
        test = grant.test
        assert test is not None
        if test.direction == "up":
            return super().run_test(name, grant, starts)
        mode = verify_at(test.bits_per_second or 0) if test.mode == "verify" else {"mode": "search"}
        settings = SHARED_MACHINE | mode | {"directions": [test.direction]}
        (point,) = self._line.measured(test.family, [settings])
        told = msgspec.structs.replace(point, time_ns=round(starts.timestamp() * 1e9))
        return number(point, "duration_seconds"), round(number(point, "bytes")), told


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = Registry.open(f"sqlite:///{tmp_path}/registry.db")
    yield opened
    opened.close()


def test_a_line_cut_in_the_night_is_not_met_after_the_next_verify_and_its_second_try(
    registry: Registry, lines: Lines
) -> None:
    """100 to 60 Mbit/s without a trace in the port, though a peak of 98 was seen last week."""
    line = Setting(100 * M, 0.0, 0.0).on(lines)
    school = RealLine(line, registry)
    school.run_until(MONDAY + timedelta(days=1), POLL)
    assert school.answer(SCHOOL) == "met"
    peak_at = MONDAY + timedelta(hours=12)
    peak = Evidence(EvidenceKind.PASSIVE_PEAK, "l1", peak_at, "down", lower_bits_per_second=98 * M)
    school.evidence[SCHOOL].append(peak)
    Setting(60 * M, 0.0, 0.0).on(lines)
    until = MONDAY + timedelta(days=1)
    while school.answer(SCHOOL) == "met":
        until += timedelta(days=1)
        school.run_until(until, POLL)
        assert until < MONDAY + timedelta(days=40), "never verified again"
    assert school.answer(SCHOOL) == "not_met"
    failed = [each for each in school.ran if each.passed is False and each.asked <= 95 * M]
    assert len(failed) == 2
    assert timedelta(seconds=600) <= failed[1].starts - failed[0].starts <= timedelta(hours=2)
