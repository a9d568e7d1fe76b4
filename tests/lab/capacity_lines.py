"""Lines on which a capacity test's truth is set: the agent at the gateway, a responder beyond the line.

A near line is a veth; a far one runs over the relay, which gives it a delay. Rates are at the IP layer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from agent.probes.snmp import Device, PortRole
from config.points import Point
from config.school import Line as DeclaredLine
from config.school import School as DeclaredSchool
from config.units import Seconds
from tests.agent.capacity.in_namespace import Job
from tests.lab import addresses, programs
from tests.lab.county import BuiltCounty, BuiltLine, BuiltSchool
from tests.lab.description import County, Line, School
from tests.lab.netns import Lab, LabError, Namespace
from tests.lab.services import COMMUNITY, TRAFFIC, TRAFFIC_PORT

ROOT = Path(__file__).parents[2]
IPERF_PORT = 5201
SHARED_MACHINE: dict[str, Any] = {"cpu_limit": 1.0, "busy_cpu": 1.0}
"""Both ends, the line and its delay share this machine's cores: what they use says nothing of a gateway's."""
IN_OCTETS = "1.3.6.1.2.1.31.1.1.1.6"
"""IF-MIB's ifHCInOctets."""
ROUTER_SECONDS = 30.0
TIMESTAMPED_TCP_BYTES = 20 + 12
IP_BYTES = {"ipv4": 20, "ipv6": 40}
COUNTY = County(
    schools=(
        School(id="near", agent="none", lines=(Line(id="near", carrier="near"),)),
        School(id="far", agent="none", lines=(Line(id="far", carrier="far", delay=Seconds(0.005)),)),
    )
)


class LabLine:
    """A line whose rate, delay and loss can be set, with what measures it at its two ends."""

    def __init__(self, lab: Lab, county: BuiltCounty, school: BuiltSchool) -> None:
        self._lab = lab
        self._school = school
        self._built: BuiltLine = school.lines[0]
        k = self._built.carrier_number
        self._hosts = dict(zip(("ipv4", "ipv6"), addresses.centre_on(k), strict=True))
        self._urls = {family: _served(lab, county.centre, host) for family, host in self._hosts.items()}
        self._declared = DeclaredSchool(
            id="s1", lines=(DeclaredLine(id="l1", interface=self._built.port, responders=("county",)),)
        )

    @property
    def gateway(self) -> Namespace:
        """Where the agent stands."""
        return self._school.gateway

    @property
    def declared(self) -> DeclaredSchool:
        """The school as the agent and the judge know it."""
        return self._declared

    def set(self, rate: int, round_trip: float = 0.0, loss: float = 0.0) -> None:
        """Shape both directions; half of the round trip and the loss are of each."""
        self._built.set_rates(rate, rate)
        self._built.set_loss(loss)
        if self._built.cable is not None:
            self._built.set_delay(round_trip / 2)

    def measured(
        self, family: str, settings: Sequence[dict[str, object]], group: Path | None = None
    ) -> list[Point]:
        """Run the probe at the gateway, once for each settings, in that control group."""
        each = [{"families": [family], **one} for one in settings]
        job = Job(self._urls[family], self._declared, each)
        argv = self.gateway.argv([sys.executable, "-m", "tests.agent.capacity.in_namespace"])
        if group is not None:  # «ip netns exec» would hide the control groups from the agent
            inside = ["nsenter", f"--net={self.gateway.path}", "--", *argv[argv.index("--") + 1 :]]
            argv = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *inside]
        return _points(argv, job)

    def iperf3(self, family: str, direction: str, seconds: int) -> tuple[float, int]:
        """What iperf3 finds beside us: bit/s at the IP layer, and the bytes it took for that."""
        argv = ["iperf3", "-J", "-c", self._hosts[family], "-p", str(IPERF_PORT), "-t", str(seconds)]
        said = json.loads(self.gateway.run(*argv, *(["-R"] if direction == "down" else [])))
        received, payload = said["end"]["sum_received"], int(said["start"]["tcp_mss_default"])
        packet = payload + IP_BYTES[family] + TIMESTAMPED_TCP_BYTES
        return received["bits_per_second"] * packet / payload, int(received["bytes"] * packet / payload)

    def wait_for_router(self) -> None:
        """Until the gateway's snmpd shows all that has passed till now: it keeps counters for seconds."""
        port = f"/sys/class/net/{self._built.port}"
        index, passed = (
            int(self.gateway.run("cat", f"{port}/{name}")) for name in ("ifindex", "statistics/rx_bytes")
        )
        host = addresses.lan(self._school.number, 1)[0]
        argv = ["snmpget", "-v2c", "-c", COMMUNITY, "-OqvU", host, f"{IN_OCTETS}.{index}"]
        deadline = time.monotonic() + ROUTER_SECONDS
        while int(self._school.terminals[0].run(*argv)) < passed:
            assert time.monotonic() < deadline, "the gateway's snmpd shows old counters"
            time.sleep(0.2)

    def measured_from_a_box(self, settings: Sequence[dict[str, object]]) -> list[Point]:
        """Run the probe at a terminal of the school, which reads the line's port on the gateway by SNMP."""
        secret = self._lab.directory / "community"
        secret.touch(0o600)
        secret.write_text(COMMUNITY)
        port = PortRole(role="line", line="l1")
        gateway = Device(
            id="gw", host=addresses.lan(self._school.number, 1)[0], community_file=str(secret),
            ports={self._built.port: port},
        )  # fmt: skip
        each = [{"families": ["ipv4"], **one} for one in settings]
        declared = DeclaredSchool(id="s1", lines=(DeclaredLine(id="l1", responders=("county",)),))
        job = Job(self._urls["ipv4"], declared, each, "lan", (gateway,))
        argv = self._school.terminals[0].argv([sys.executable, "-m", "tests.agent.capacity.in_namespace"])
        return _points(argv, job)

    @contextmanager
    def users(self, direction: str, rate: int, seconds: float) -> Iterator[None]:
        """A terminal of the school moves traffic of that rate meanwhile."""
        argv = [sys.executable, "-I", str(TRAFFIC), direction, self._hosts["ipv4"], str(TRAFFIC_PORT),
                str(rate), str(seconds)]  # fmt: skip
        program = self._lab.start(self._school.terminals[0], argv, log=f"users-{os.getpid()}")
        try:
            yield
        finally:
            program.kill()
            program.wait()


def _points(argv: Sequence[str], job: Job) -> list[Point]:
    """What the probe found with that job, where ``argv`` runs it."""
    given = msgspec.json.encode(job)
    done = subprocess.run(argv, input=given, capture_output=True, cwd=ROOT, timeout=600, check=False)
    if done.returncode:
        raise LabError(f"the probe ended with {done.returncode}: {done.stderr.decode()[-300:]}")
    return msgspec.json.decode(done.stdout, type=list[Point])


Lines = dict[str, LabLine]
"""By the name of their school."""


@contextmanager
def lab_lines() -> Iterator[Lines]:
    """Build a county with a near and a far line, its responders and iperf3; take all down in the end."""
    with Lab() as lab:
        county = BuiltCounty(lab, COUNTY)
        server = lab.start(county.centre, ["iperf3", "-s", "-p", str(IPERF_PORT)], log="iperf3")
        programs.wait_for_port(county.centre, addresses.CENTRE[0], IPERF_PORT, server)
        yield {name: LabLine(lab, county, school) for name, school in county.schools.items()}


@contextmanager
def held_to(share: float) -> Iterator[Path]:
    """A control group (version 1) whose processes together get that share of one core."""
    group = Path("/sys/fs/cgroup/cpu") / f"xt-{os.getpid()}"
    if not (group.parent / "cpu.cfs_quota_us").exists():
        raise LabError("this machine has no cpu control group of version 1")
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text("100000")
        (group / "cpu.cfs_quota_us").write_text(str(round(100_000 * share)))
        yield group
    finally:
        group.rmdir()


def _served(lab: Lab, centre: Namespace, host: str) -> str:
    """Start a responder with its ticket route on that address; the URL of the route."""
    name = f"far-end-{host.replace(':', '-')}"
    argv = [sys.executable, "-m", "tests.agent.capacity.far_end", host, "forever"]
    program = lab.start(centre, argv, log=name, environment={"PYTHONPATH": str(ROOT)})
    log = lab.directory / f"{name}.log"
    deadline = time.monotonic() + programs.PORT_WAIT_SECONDS
    while not log.read_text().startswith("http"):
        if program.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"no responder at {host}: {log.read_text()[-300:]}")
        time.sleep(0.05)
    return log.read_text().splitlines()[0]
