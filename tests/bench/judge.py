"""How long the judge takes for a province: 10,000 schools against every target that is asked of them."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta

from config.calendar import default_calendar
from config.evidence import Evidence, EvidenceKind, Uplink
from config.judge import judge_plan
from config.plan import Plan, shipped_plans
from config.school import Area, Level, Line, School

SCHOOLS = 10_000
ROUNDS = 5
NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
LEVELS: tuple[Level, ...] = ("kindergarten", "primary", "junior", "complete")
AREAS: tuple[Area, ...] = ("urban", "town", "rural")


def school(number: int) -> School:
    """A school with one line, every third with two."""
    lines = tuple(Line(id=f"line-{line}", medium="fibre") for line in range(1 + (number % 3 == 0)))
    return School(
        id=f"school-{number}",
        level=LEVELS[number % len(LEVELS)],
        area=AREAS[number % len(AREAS)],
        classes=6 + number % 40,
        lines=lines,
    )


def evidence_for(each: School, number: int) -> list[Evidence]:
    """What an evidence book holds of each line: peaks both ways, port, uplink, a search, two verify runs."""
    rate = 50_000_000 + number % 100 * 5_000_000
    return [item for line in each.lines for item in _of_line(line.id, rate)]


def _of_line(line: str, rate: int) -> list[Evidence]:
    def at(hours: float) -> datetime:
        return NOW - timedelta(hours=hours)

    kind = EvidenceKind
    return [
        Evidence(kind.PASSIVE_PEAK, line, at(30), "down", lower_bits_per_second=rate),
        Evidence(kind.PASSIVE_PEAK, line, at(31), "up", lower_bits_per_second=rate // 5),
        Evidence(kind.PORT_SPEED, line, at(0.02), upper_bits_per_second=1_000_000_000),
        Evidence(kind.OBSERVED, line, at(0.02), observed=Uplink(True, "fibre", line)),
        Evidence(kind.SEARCH, line, at(300), "down", rate + 1000, rate + 2_000_000),
        Evidence(kind.VERIFY_PASSED, line, at(100), "down", lower_bits_per_second=rate - 1000),
        Evidence(kind.VERIFY_FAILED, line, at(200), "down", upper_bits_per_second=rate + 3_000_000),
    ]


def judge_all(plan: Plan, county: list[tuple[School, list[Evidence]]]) -> tuple[int, float]:
    """Verdicts made and CPU seconds taken, with a calendar that knows nothing yet."""
    calendar = default_calendar()
    start = time.process_time()
    verdicts = sum(len(judge_plan(plan, each, evidence, NOW, calendar)) for each, evidence in county)
    return verdicts, time.process_time() - start


def main() -> None:
    """Print one row for each plan: the median of the rounds."""
    schools = [school(number) for number in range(SCHOOLS)]
    county = [(each, evidence_for(each, number)) for number, each in enumerate(schools)]
    for plan in shipped_plans().values():
        rounds = [judge_all(plan, county) for _ in range(ROUNDS)]
        seconds = statistics.median(taken for _, taken in rounds)
        print(
            f"judge {plan.id}: {SCHOOLS} schools, {rounds[0][0]} verdicts, median {seconds:.2f} s of one core"
        )


if __name__ == "__main__":
    main()
