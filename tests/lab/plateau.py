"""``python -m tests.lab.plateau``: a full line is flat while delay rises; the collector asks for a verify.

A real line of 40 Mbit/s with a queue of 50 ms, real agents and a real collector: first quiet pings, then
users who fill the line for four minutes. Before, no plateau is the reason of what is due; after, it
grants a verify at once, and gives that reason. Four minutes: the shortest plateau is three, and delay is
compared with three windows before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import sqlite3
import sys
import time
from typing import Any

from config import settings
from tests.lab import addresses, services
from tests.lab.county import BuiltCounty
from tests.lab.description import County
from tests.lab.netns import Lab
from tests.lab.stage import HTTP_PORT, LOOPBACK, Stage

SCHOOL, LINE = "s1", "tel"
WHY = "a plateau"
COUNTY = {
    "schools": [
        {"id": SCHOOL, "classes": 10,
         "lines": [{"id": LINE, "carrier": "telecom", "rate_down": "40M", "rate_up": "20M"}]}
    ]
}  # fmt: skip
PROBES: dict[str, dict[str, object]] = {
    "interfaces": {"window": "10s"},
    "ping": {
        "window": "10s", "wait": "1s", "probes": 20,
        "targets": [{"name": "collector", "host": "collector"}],
    },
}  # fmt: skip
QUIET_SECONDS, FULL_SECONDS, PORT = 40.0, 260.0, 9009


def main() -> int:
    """Exit status 0 when all is said as it is."""
    with Lab() as lab:
        county = BuiltCounty(lab, settings.convert(COUNTY, County, "plateau"))
        county.wait_for_ipv6()
        stage = Stage(county, ("shandan",), PROBES)
        stage.open()
        print(f"quiet for {QUIET_SECONDS:.0f} s", flush=True)
        time.sleep(QUIET_SECONDS)
        quiet = noticed(stage)
        print(f"full for {FULL_SECONDS:.0f} s at most", flush=True)
        fill(county)
        began = time.monotonic()
        while not noticed(stage) and time.monotonic() - began < FULL_SECONDS:
            time.sleep(1)
        found = noticed(stage)
        print(f"quiet: {quiet}; full for {time.monotonic() - began:.0f} s: {found}")
        # asked once: a test that is granted and not made makes the next one wait
        granted = reason(asked(stage)) if found else ""
        print(f"due now: {granted}")
    right = not quiet and found == [WHY] and WHY in granted
    print("right" if right else "wrong")
    return 0 if right else 1


def fill(county: BuiltCounty) -> None:
    """Users who take all that the line gives, from a far end that fills queues as most servers do (reno)."""
    county.centre.run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
    county.lab.start(
        county.centre, [sys.executable, "-I", str(services.TRAFFIC), "serve", str(PORT)], log="fill-far"
    )
    time.sleep(1)
    far = addresses.centre_on(county.line(f"{SCHOOL}/{LINE}").carrier_number)[0]
    for number in range(2):
        county.lab.start(
            county.schools[SCHOOL].terminals[0],
            [sys.executable, "-I", str(services.TRAFFIC), "down", far, str(PORT), "0", str(FULL_SECONDS)],
            log=f"fill-{number}",
        )


def noticed(stage: Stage) -> list[str]:
    """What the collector noticed that asks for a verify at once."""
    file = stage.lab.directory / "collector" / "registry.db"
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return [why for (why,) in connection.execute("SELECT why FROM capacity_triggers")]


def asked(stage: Stage) -> dict[str, Any]:
    """What the collector answers an agent that asks for the test that is due."""
    token = (stage.lab.directory / f"agent-{SCHOOL}.token").read_text().strip()
    holder = hashlib.sha256(b"plateau").hexdigest()
    body = json.dumps({"mode": "due", "holder": holder, "lines": [LINE], "families": ["ipv4"]})
    connection = http.client.HTTPConnection(LOOPBACK, HTTP_PORT)
    connection.sock = stage.county.centre.connect(LOOPBACK, HTTP_PORT, 10)
    try:
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/tickets", body, headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def reason(answer: dict[str, Any]) -> str:
    """Which test, and why; or why none."""
    test = answer.get("test")
    return f"{test['mode']} {test['bits_per_second']} {test['why']}" if test else str(answer.get("reason"))


if __name__ == "__main__":
    sys.exit(main())
