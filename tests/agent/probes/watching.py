"""Measures interfaces until its input ends: ``python -m tests.agent.probes.watching``.

Prints «begun» once the window is open, and its points as JSON in the end: what a test sends in between lies
in the window whole, however busy the machine is.
"""

from __future__ import annotations

import json
import sys
import threading

from agent.probe import Run, Site
from agent.probes import interfaces
from config.clock import SystemClock
from config.school import School
from config.units import Seconds

LONGEST_SECONDS = 60.0


def main() -> None:
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop.set()

    probe = interfaces.build(interfaces.Settings(sample=Seconds(1)), Site(school=School(id="s")))
    run = Run(
        clock=SystemClock(), stop=stop, deadline_seconds=LONGEST_SECONDS, window_seconds=LONGEST_SECONDS
    )
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    threading.Timer(0.5, lambda: print("begun", flush=True)).start()
    points = probe.measure(run)
    print(json.dumps([{"tags": dict(point.tags), "fields": dict(point.fields)} for point in points]))


if __name__ == "__main__":
    main()
