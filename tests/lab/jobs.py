"""Many scenarios: side by side where they do not compete for the machine, one after another where they do."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import NoReturn

from tests.lab.netns import LabError
from tests.lab.play import Played, play
from tests.lab.scenario import Scenario

ENDINGS = (signal.SIGTERM, signal.SIGINT)
Case = tuple[str, Scenario]


def results(cases: Mapping[str, Scenario], jobs: int) -> Iterator[Played]:
    """How each went, as it ends. Capacity tests need the machine for themselves, so they come last, alone.

    Every scenario that runs beside others has a process of its own; leaving the iterator takes all down.
    """
    light = [case for case in cases.items() if not tests_capacity(case[1])]
    heavy = [case for case in cases.items() if tests_capacity(case[1])]
    if min(jobs, len(light)) > 1:
        with multiprocessing.get_context("spawn").Pool(jobs, _end_quietly) as pool:
            yield from pool.imap_unordered(played, light)
            pool.close()
            pool.join()
    else:
        yield from map(played, light)
    yield from map(played, heavy)


def tests_capacity(scenario: Scenario) -> bool:
    """It sends test traffic, whose rate would suffer from others on this machine."""
    return "capacity" in scenario.probes


def played(case: Case) -> Played:
    """Play one. A scenario that cannot stand is one that does not hold; the others go on."""
    name, scenario = case
    try:
        return play(name, scenario)
    except LabError as error:
        return cannot_stand(name, error)


def cannot_stand(name: str, error: LabError) -> Played:
    """The result of a scenario whose network or programs did not stand."""
    return Played(name, (), 0, 0.0, (str(error),))


def _end_quietly() -> None:
    """In a process of the pool: a signal unwinds, so that the lab is taken down, and tells nothing."""
    for number in ENDINGS:
        signal.signal(number, _exit)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    for each in ENDINGS:  # Ctrl-C comes here twice, and the second must not stop the taking down
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)
