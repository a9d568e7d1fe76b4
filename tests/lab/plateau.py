"""``python -m tests.lab.plateau``: a full line is flat while delay rises; the collector asks for a verify.

A real line of 40 Mbit/s with a queue of 50 ms, real agents and a real collector: first quiet pings, then
users who fill the line for four minutes. Before, what is due is due for no plateau; after, the evidence
stands with the verdict, and a verify is granted for that reason. Six minutes: the shortest plateau is three.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import sys
import time
from typing import Any

from config import settings
from tests.lab import addresses, services
from tests.lab.county import BuiltCounty
from tests.lab.description import County
from tests.lab.netns import Lab
from tests.lab.stage import HTTP_PORT, LOOPBACK, Stage

SCHOOL, LINE, TARGET = "s1", "tel", "egress_rural_2017"
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
QUIET_SECONDS, FULL_SECONDS, PORT = 50.0, 240.0, 9009


def main() -> int:
    """Exit status 0 when all is said as it is."""
    with Lab() as lab:
        county = BuiltCounty(lab, settings.convert(COUNTY, County, "plateau"))
        county.wait_for_ipv6()
        stage = Stage(county, ("shandan",), PROBES)
        stage.open()
        time.sleep(QUIET_SECONDS)
        before = asked(stage)
        print(f"quiet: evidence {kinds(stage)}, due {reason(before)}")
        fill(county)
        began = time.monotonic()
        while "plateau" not in kinds(stage) and time.monotonic() - began < FULL_SECONDS:
            time.sleep(2)
        took = time.monotonic() - began
        plateau = [each for each in evidence(stage) if each["kind"] == "plateau"]
        print(f"full for {took:.0f} s: {plateau}")
        after = asked(stage)
        print(f"due now: {reason(after)}")
    right = bool(plateau) and "plateau" in reason(after) and "plateau" not in reason(before)
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


def evidence(stage: Stage) -> list[dict[str, Any]]:
    """The evidence that stands with the verdict on the target."""
    answer = stage._get(f"/api/v1/schools/{SCHOOL}/verdicts") or {"verdicts": []}
    (found,) = [each for each in answer["verdicts"] if each["target"] == TARGET] or [{"evidence": []}]
    return list(found["evidence"])


def kinds(stage: Stage) -> set[str]:
    """Their kinds."""
    return {str(each["kind"]) for each in evidence(stage)}


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
