"""Run inside a network namespace: settings from standard input, points to standard output."""

from __future__ import annotations

import sys

import msgspec

from agent.probe import Site
from agent.probes.capacity import Capacity, Settings
from agent.probes.snmp import Device
from config.points import Point
from config.school import School
from config.settings import convert
from tests.agent.capacity.far_end import TOKEN, a_run


class Job(msgspec.Struct):
    """What to run, and where."""

    url: str
    school: School
    settings: list[dict[str, object]]
    stands_on: str = "gateway"
    devices: tuple[Device, ...] = ()
    token: str = TOKEN


def main() -> None:
    """Run every settings' tests in turn."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    site = Site(
        school=job.school,
        collector_url=job.url,
        collector_token=job.token,
        stands_on=job.stands_on,
        devices=job.devices,
    )
    points: list[Point] = []
    for each in job.settings:
        points += Capacity(convert(each, Settings, "test"), site).measure(a_run(120.0))
    sys.stdout.buffer.write(msgspec.json.encode(points))


if __name__ == "__main__":
    main()
