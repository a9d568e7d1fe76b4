"""The stage of uptime scenarios: quick minutes, hosts that lose their power, clocks that are stepped."""

from __future__ import annotations

import signal
import sys
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from collector.registry.registry import Registry
from config import settings
from config.school import School as DeclaredSchool
from tests.lab import addresses
from tests.lab.county import BuiltCounty, BuiltSchool
from tests.lab.stage import COMMANDS, HTTP_PORT, Stage, declared
from tests.lab.uptime.scenario import Scenario

STEPPED = Path(__file__).with_name("stepped_agent.py")
CHINA = ZoneInfo("Asia/Shanghai")


class UptimeStage(Stage):
    """A county whose agents ping each window of one quick minute."""

    def __init__(self, county: BuiltCounty, scenario: Scenario) -> None:
        super().__init__(county, ("shandan",), {"ping": self._ping(scenario)})
        self.scenario = scenario

    @staticmethod
    def _ping(scenario: Scenario) -> dict[str, object]:
        return {
            "window": f"{scenario.minute:g}s", "wait": "1s", "probes": 20,
            "targets": [
                {"name": "gateway", "host": "default-gateway"},
                {"name": "collector", "host": "collector"},
                {"name": "outside", "host": addresses.OUTSIDE[0]},
                {"name": "outside6", "host": addresses.OUTSIDE[1]},
            ],
        }  # fmt: skip

    def mend_collector(self) -> None:
        """Start the collector anew on the same data."""
        argv = [str(COMMANDS / "xiaotong-collector"), "serve", "--config", str(self.collector_settings)]
        self._collector_program = self.lab.start(
            self.county.centre, argv, log="collector", environment={"PORT": str(HTTP_PORT)}
        )

    def cut_collector(self) -> None:
        """Kill the collector."""
        for pid in self.county.centre.run("ss", "-Hltnp", f"sport = :{HTTP_PORT}").split("pid=")[1:]:
            self.county.centre.run("kill", "-KILL", pid.partition(",")[0])

    def start_agent(self, school_id: str) -> None:
        """Start the agent by the clock of its host."""
        school = self.county.schools[school_id]
        clock = self._clock(school_id)
        if not clock.exists():
            clock.write_text("0")
        argv = [
            sys.executable,
            str(STEPPED),
            str(clock),
            str(self.recorded(school_id)),
            "run",
            "--config",
            str(self._agent_file(school_id)),
        ]
        self._agents[school_id] = self.lab.start(
            school.agent_stands_in, argv, log=f"agent-{school_id}",
            environment={"PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip

    def announce_restart(self, school_id: str) -> None:
        """End the agent as its upgrade does: it tells that it will be back."""
        agent = self._agents[school_id]
        agent.send_signal(signal.SIGHUP)
        agent.wait(15)

    def recorded(self, school_id: str) -> Path:
        """The list of all that the school's agent measured."""
        return self.lab.directory / f"recorded-{school_id}"

    def boot(self, school_id: str) -> None:
        """The host of a school's agent boots: another boot id."""
        (self._proc(school_id) / "sys/kernel/random/boot_id").write_text(f"{uuid.uuid4()}\n")

    def step_clock(self, school_id: str, seconds: float) -> None:
        """The wall clock of a school's agent is off by so much from now on."""
        scratch = self._clock(school_id).with_suffix(".new")
        scratch.write_text(str(seconds))
        scratch.replace(self._clock(school_id))

    def outages(self, school_id: str) -> dict[str, Any] | None:
        """What the collector says of a school's outages."""
        answer: dict[str, Any] | None = self._get(f"/api/v1/schools/{school_id}/outages")
        return answer

    def availability(self, school_id: str) -> dict[str, Any] | None:
        """What it says of its availability."""
        answer: dict[str, Any] | None = self._get(f"/api/v1/schools/{school_id}/availability")
        return answer

    def agents(self) -> list[dict[str, Any]]:
        """Every agent as the collector knows it."""
        answer = self._get("/api/v1/agents")
        return [] if answer is None else list(answer["agents"])

    def _collector(self, data: Path) -> dict[str, object]:
        return {
            **super()._collector(data),
            "heartbeat": "1s",
            "uptime": {
                "minute": f"{self.scenario.minute:g}s", "together": f"{2 * self.scenario.minute:g}s",
                "off_slack": "0s", "settle": "5s", "silent_after": "5s",
            },
        }  # fmt: skip

    def _agent(self, school: BuiltSchool, token: Path) -> dict[str, object]:
        made = super()._agent(school, token)
        kernel = made["kernel"]
        assert isinstance(kernel, dict)
        proc = self._proc(school.school.id)
        if not proc.exists():
            _make_proc(proc)
            self.boot(school.school.id)
        return {
            **made,
            "heartbeat": {"every": "1s", "every_min": "500ms"},
            "runner": {"report_every": f"{self.scenario.minute / 3:g}s"},
            "push": {"backoff_max": "3s", "timeout": "3s"},
            "kernel": {**kernel, "proc": str(proc)},
        }

    def _declare(self, data: Path) -> None:
        now = datetime.now(CHINA)
        off = f"{now:%H:%M}-{now + timedelta(minutes=30):%H:%M}"
        registry = Registry.open(f"sqlite:///{data / 'registry.db'}")
        try:
            for school in self.county.schools.values():
                made = settings.convert(declared(school), DeclaredSchool, school.school.id)
                if school.school.id in self.scenario.power_cut_now:
                    made = msgspec.structs.replace(made, power_cut=(off,))
                registry.put_school(made)
        finally:
            registry.close()

    def _proc(self, school_id: str) -> Path:
        return self.lab.directory / f"proc-{school_id}"

    def _clock(self, school_id: str) -> Path:
        return self.lab.directory / f"clock-{school_id}"


def _make_proc(proc: Path) -> None:
    """A view of /proc in which only the boot id is the host's own."""
    random = proc / "sys/kernel/random"
    random.mkdir(parents=True)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() and entry.name != "sys":
            (proc / entry.name).symlink_to(
                f"/proc/self/{'net' if entry.name == 'net' else '../' + entry.name}"
            )
    for entry in Path("/proc/sys").iterdir():
        if entry.name != "kernel":
            (proc / "sys" / entry.name).symlink_to(entry)
