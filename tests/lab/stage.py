"""The real collector and the real agents in the namespaces of a county, with settings of their own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from collector.registry.registry import Registry
from config import settings
from config.school import School as DeclaredSchool
from tests.collector.messages.everyone import Everyone
from tests.lab import addresses, programs, services
from tests.lab.county import BuiltCounty, BuiltSchool
from tests.lab.netns import LabError

HTTP_PORT, RESPONDER_PORT = 8080, 8081
LOOPBACK = "127.0.0.1"
"""Readers in the centre's own namespace are on this host: they need no login."""
PUBLIC_URL = "http://county.example"
"""Where links in messages lead; nobody follows them."""
GATEWAY = "gateway"
COMMUNITY_FILE = "community"
COMMANDS = Path(sys.executable).parent
FOLDER = Path(__file__).parent
LAB_PROBES: dict[str, dict[str, object]] = {
    "interfaces": {"window": "10s", "look": "2s"},
    "capacity": {"busy_cpu": 1.0},
    "snmp": {"every": "10s", "cached": "4s"},
}
"""Short windows; and since every end of every path shares this machine's cores, they are seldom idle.
The lab's snmpd (Net-SNMP) reads the kernel's counters anew every 3 s.
"""
_ALWAYS = {"capacity": "always"}
_HTTP_SECONDS = 10.0


class Stage:
    """A county with its collector and agents running."""

    def __init__(
        self,
        county: BuiltCounty,
        plans: tuple[str, ...],
        probes: dict[str, dict[str, object]],
        *,
        with_channels: bool = False,
    ) -> None:
        self.county = county
        self.lab = county.lab
        self.plans = plans
        self.probes = {
            name: LAB_PROBES.get(name, {}) | probes.get(name, {}) for name in {"interfaces": {}, **probes}
        }
        self.everyone = self._everyone() if with_channels else None
        self.collector_settings = self.lab.directory / "collector.yaml"
        self._agents: dict[str, subprocess.Popen[bytes]] = {}
        self._collector_program: subprocess.Popen[bytes]

    def open(self) -> None:
        """Declare the schools, start the collector, enrol and start one agent a school."""
        self._count_test_bytes()
        data = self.lab.directory / "collector"
        data.mkdir(mode=0o700)
        self._write(self.collector_settings, self._collector(data))
        self._declare(data)
        argv = [str(COMMANDS / "xiaotong-collector"), "serve", "--config", str(self.collector_settings)]
        environment = {"PORT": str(HTTP_PORT)}
        self._collector_program = self.lab.start(
            self.county.centre, argv, log="collector", environment=environment
        )
        try:
            programs.wait_for_port(
                self.county.centre, addresses.CENTRE[0], HTTP_PORT, self._collector_program
            )
        except LabError as error:
            raise LabError(f"{error}; its last words: {self.last_words('collector')}") from None
        for school in self.county.schools.values():
            if school.school.agent != "none":
                self._enrol(school)
                self.start_agent(school.school.id)

    def end_collector(self) -> Path:
        """End the collector as its operator would, and give the directory of its data."""
        self._collector_program.terminate()
        self._collector_program.wait(15)
        return self.lab.directory / "collector"

    def start_agent(self, school_id: str) -> None:
        """Start the agent of a school where it stands."""
        school = self.county.schools[school_id]
        argv = [str(COMMANDS / "xiaotong-agent"), "run", "--config", str(self._agent_file(school_id))]
        self._agents[school_id] = self.lab.start(school.agent_stands_in, argv, log=f"agent-{school_id}")

    def end_agent(self, school_id: str, how: str) -> None:
        """End the agent of a school: ``stop`` asks it, ``kill`` does not."""
        agent = self._agents[school_id]
        agent.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        agent.wait(15)

    def ended_agents(self) -> dict[str, int]:
        """Agents that ended by themselves, with their exit status."""
        return {
            school: agent.returncode
            for school, agent in self._agents.items()
            if agent.poll() not in (None, 0, -9)
        }

    def logs(self) -> str:
        """The ends of what collector and agents wrote."""
        names = ["collector", *(f"agent-{school}" for school in self._agents)]
        texts = {name: (self.lab.directory / f"{name}.log").read_text(errors="replace") for name in names}
        return "\n".join(f"{name}: {line}" for name, text in texts.items() for line in text.splitlines()[-5:])

    def last_words(self, program: str) -> str:
        """The last line that a program («collector», «agent-s1») wrote."""
        log = (self.lab.directory / f"{program}.log").read_text(errors="replace").strip()
        return log.rpartition("\n")[2]

    def verdicts(self, school_id: str) -> dict[str, str]:
        """What the collector says: the answer for each target; nothing when it does not answer."""
        answer = self._get(f"/api/v1/schools/{school_id}/verdicts") or {"verdicts": []}
        return {each["target"]: each["verdict"] for each in answer["verdicts"]}

    def ipv6_level(self, school_id: str) -> str:
        """The level that the collector gives: «3», or «unknown» as long as two are possible."""
        told = (self._get("/api/v1/ipv6") or {"schools": {}})["schools"].get(school_id)
        known = told is not None and told["level_at_least"] == told["level_at_most"]
        return str(told["level_at_least"]) if known else "unknown"

    def state(self, school_id: str) -> str:
        """Whether the collector hears of the school: «heard», «silent» or another word for it."""
        now = (self._get(f"/api/v1/schools/{school_id}/outages") or {}).get("now")
        return str(now["state"]) if now else "unknown"

    def open_incidents(self, school_id: str) -> set[str]:
        """The kinds of the incidents that people have been told of and that are not over."""
        told = self._get(f"/api/v1/incidents?open=true&school={school_id}") or {"incidents": []}
        return {each["kind"] for each in told["incidents"] if each["state"] in ("open", "acknowledged")}

    def told_incidents(self, school_id: str) -> list[dict[str, Any]]:
        """The incidents of a school whose first message every channel has taken, as the API gives them."""
        reached = {int(key.partition("-")[0]) for key in self._everyone_told() if key.endswith("-opened")}
        listed = self._get(f"/api/v1/incidents?school={school_id}") if reached else None
        return [each for each in (listed or {"incidents": []})["incidents"] if each["id"] in reached]

    def _everyone_told(self) -> dict[str, str]:
        return self.everyone.told() if self.everyone else {}

    def test_bytes(self) -> int:
        """Bytes of capacity tests as the centre's own kernel counted them, both ways."""
        listed = json.loads(self.county.centre.run("nft", "-j", "list", "counters", "table", "inet", "tests"))
        return sum(int(entry["counter"]["bytes"]) for entry in listed["nftables"] if "counter" in entry)

    def _count_test_bytes(self) -> None:
        self.county.centre.nft(
            f"""
table inet tests {{
  counter moved {{
  }}
  chain received {{
    type filter hook input priority 0
    tcp dport {RESPONDER_PORT} counter name moved
  }}
  chain sent {{
    type filter hook output priority 0
    tcp sport {RESPONDER_PORT} counter name moved
  }}
}}
"""
        )

    def _get(self, path: str) -> Any:
        try:
            sock = self.county.centre.connect(LOOPBACK, HTTP_PORT, _HTTP_SECONDS)
        except OSError:
            return None
        connection = http.client.HTTPConnection(LOOPBACK, HTTP_PORT)
        connection.sock = sock
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise LabError(f"GET {path} was answered with {response.status}: {body[:200]!r}")
        return json.loads(body)

    def _everyone(self) -> Everyone:
        """Robots, mail server and webhook, beside the collector in the centre's namespace."""
        folder = self.lab.directory / "everyone"
        folder.mkdir(mode=0o700)
        return self.lab.serve(self.county.centre, lambda stack: Everyone(folder, stack))

    def _channels(self) -> dict[str, object]:
        """The shipped rules, but for the hours of the night: people are told now, whatever time it is."""
        if self.everyone is None:
            return {"incidents": {"settle": "1s"}}
        rules = self.lab.directory / "rules.yaml"
        self._write(rules, {"quiet_hours": []})
        return {
            "public_url": PUBLIC_URL,
            "incidents": {"settle": "1s", "rules": str(rules)},
            "messages": self.everyone.settings,
        }

    def _collector(self, data: Path) -> dict[str, object]:
        return {
            **self._channels(),
            "data_directory": str(data),
            "listen": {"host": "0.0.0.0", "port": HTTP_PORT},
            "access": {"anonymous": "county_admin"},
            # the lab knows no lessons, and its tests are the agents' own
            "responder": {
                "id": "county",
                "host": addresses.CENTRE[0],
                "host_ipv6": addresses.CENTRE[1],
                "port": RESPONDER_PORT,
                "slots": {"in_lessons": True, "at_once": 8},
            },
            "verdicts": {"plans": list(self.plans), "rejudge": "2s"},
            "web": {"map": str(FOLDER / outline) if (outline := self.county.county.outline) else ""},
        }

    def _declare(self, data: Path) -> None:
        registry = Registry.open(f"sqlite:///{data / 'registry.db'}")
        try:
            registry.put_schools(
                settings.convert(declared(school), DeclaredSchool, school.school.id)
                for school in self.county.schools.values()
            )
        finally:
            registry.close()

    def _enrol(self, school: BuiltSchool) -> None:
        identifier = school.school.id
        token = self.lab.directory / f"agent-{identifier}.token"
        self.county.centre.run(
            str(COMMANDS / "xiaotong-collector"), "agents", "add", identifier,
            "--token-file", str(token), "--config", str(self.collector_settings))  # fmt: skip
        if school.box is not None:
            self._write_text(self.lab.directory / COMMUNITY_FILE, services.COMMUNITY)
        self._write(self._agent_file(identifier), self._agent(school, token))

    def _agent_file(self, school_id: str) -> Path:
        return self.lab.directory / f"agent-{school_id}.yaml"

    def _agent(self, school: BuiltSchool, token: Path) -> dict[str, object]:
        return {
            "school": declared(school),
            "plan": self.plans[0],
            "stands_on": "lan" if school.box else "gateway",
            "state_directory": f"state-{school.school.id}",
            "collector": {"url": f"http://{addresses.CENTRE[0]}:{HTTP_PORT}", "token_file": str(token)},
            "spool": {"flush": "2s", "hold": "500ms"},
            "heartbeat": {"every": "2s"},
            "schedule": {
                "start_pause": "2s",
                "hours": _ALWAYS if "capacity" in self._probes_of(school) else {},
            },
            "runner": {"report_every": "10s"},
            "kernel": {"sys": str(hardware_ports(self.lab.directory, school))},
            "probes": self._probes_of(school),
        }

    def _probes_of(self, school: BuiltSchool) -> dict[str, dict[str, object]]:
        probes = {name: each for name, each in self.probes.items() if name not in school.school.without}
        return probes if school.box is None else probes | {"snmp": self._snmp(school)}

    def _snmp(self, school: BuiltSchool) -> dict[str, object]:
        """The gateway as a box reads it, with the ports by which the lines leave."""
        gateway = {
            "id": GATEWAY,
            "host": addresses.lan(school.number, 1)[0],
            "community_file": COMMUNITY_FILE,
            "ports": {line.port: {"role": "line", "line": line.line.id} for line in school.lines},
        }
        return LAB_PROBES["snmp"] | self.probes.get("snmp", {}) | {"devices": [gateway]}

    def _write(self, path: Path, value: dict[str, object]) -> None:
        self._write_text(path, yaml.safe_dump(value, allow_unicode=True, sort_keys=False))

    def _write_text(self, path: Path, text: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def hardware_ports(directory: Path, school: BuiltSchool) -> Path:
    """A view of /sys in which ports whose speed the description sets are hardware, as on a real gateway.

    The agent takes no speed from a port without a device below it; all in the view is the kernel's own.
    """
    ports = [line.port for line in school.lines if line.line.port is not None]
    if school.box is not None or not ports:
        return Path("/sys")
    view = directory / f"sys-{school.school.id}"
    classes = view / "class/net"
    classes.mkdir(parents=True)
    for name in school.gateway.run("ls", "/sys/class/net").split():
        if name not in ports:
            (classes / name).symlink_to(f"/sys/class/net/{name}")
            continue
        (classes / name / "device").mkdir(parents=True)
        for entry in school.gateway.run("ls", f"/sys/class/net/{name}").split():
            (classes / name / entry).symlink_to(f"/sys/class/net/{name}/{entry}")
    return view


def declared(school: BuiltSchool) -> dict[str, object]:
    """The school as its county declares it, as settings have it. The gateway is a device that SNMP reads."""
    told = school.school
    return {
        "id": told.id,
        "name": told.name,
        "level": told.level,
        "area": told.area,
        "township": told.township,
        **{
            name: value
            for name in ("classes", "longitude", "latitude")
            if (value := getattr(told, name)) is not None
        },
        "lines": [
            {"id": line.line.id, "carrier": line.line.carrier, "kind": line.line.kind, "interface": line.port,
             "medium": "fibre"}
            for line in school.lines
        ],
        "devices": [{"id": GATEWAY, "kind": "gateway", "address": addresses.lan(school.number, 1)[0]}],
    }  # fmt: skip
