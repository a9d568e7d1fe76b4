"""What stands beyond the lines: the real collector with its far end, and two name servers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from collector.registry.registry import Registry
from config import settings
from config.school import School as DeclaredSchool
from tests.agent.ipv6.cases import CENTRE, NAMES, NAMES_WITHOUT_AAAA, OUTSIDE
from tests.lab import programs
from tests.lab.county import BuiltCounty, BuiltSchool
from tests.lab.netns import Lab
from tests.lab.services import serve_web

HTTP_PORT = 8080


class Services:
    """What stands beyond the lines: the collector with its far end, and two name servers."""

    def __init__(self, lab: Lab, county: BuiltCounty) -> None:
        self._lab = lab
        self._county = county
        self._serve_names()
        self._start_collector()

    def get(self, path: str) -> Any:
        """What the collector answers to a reader of its own host, as JSON."""
        return json.loads(self.page(path))

    def page(self, path: str) -> bytes:
        """What the collector answers to a reader of its own host. Raises OSError."""
        argv = ["curl", "-sSf", "--max-time", "10", f"http://127.0.0.1:{HTTP_PORT}{path}"]
        done = subprocess.run(self._county.centre.argv(argv), capture_output=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.decode(errors="replace"))
        return done.stdout

    def mend_names(self, case: str) -> None:
        """Give a site its AAAA record, let the other one answer."""
        if case == "v4site":
            self._know(NAMES, f"{OUTSIDE[1]} v4only.lab.test")
        if case == "noaaaa":
            self._know(NAMES_WITHOUT_AAAA, f"{OUTSIDE[1]} good.lab.test")
        if case == "refused":
            web = serve_web(self._lab, self._county.centre, CENTRE[1])
            programs.wait_for_port(self._county.centre, CENTRE[1], 80, web)

    def _serve_names(self) -> None:
        """A name server that knows the sites, and one without a single AAAA."""
        self._know(
            NAMES,
            f"{OUTSIDE[0]} good.lab.test", f"{OUTSIDE[1]} good.lab.test", f"{OUTSIDE[0]} v4only.lab.test",
            f"{OUTSIDE[0]} refusing.lab.test", f"{CENTRE[1]} refusing.lab.test",
        )  # fmt: skip
        self._know(NAMES_WITHOUT_AAAA, f"{OUTSIDE[0]} good.lab.test")
        for listen in (NAMES, NAMES_WITHOUT_AAAA):
            argv = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
                    "--pid-file=", "--user=root", "--bind-interfaces", "--except-interface=lo",
                    f"--hostsdir={self._hosts(listen)}",
                    *(f"--listen-address={address}" for address in listen)]  # fmt: skip
            self._lab.start(self._county.outside, argv, log=f"dnsmasq-{listen[0]}")

    def _hosts(self, server: tuple[str, str]) -> Path:
        folder = self._lab.directory / f"hosts-{server[0]}"
        folder.mkdir(exist_ok=True)
        return folder

    def _know(self, server: tuple[str, str], *records: str) -> None:
        """More records for a name server, which follows the files of its folder."""
        folder = self._hosts(server)
        (folder / f"{len(list(folder.iterdir()))}").write_text("".join(f"{each}\n" for each in records))

    def _start_collector(self) -> None:
        data = self._lab.directory / "collector"
        data.mkdir(mode=0o700)
        registry = Registry.open(f"sqlite:///{data / 'registry.db'}")
        for school in self._county.schools.values():
            registry.put_schools([settings.convert(declared(school), DeclaredSchool, school.school.id)])
            token = self._lab.directory / f"{school.school.id}.token"
            token.write_text(registry.add_agent(school.school.id, "") + "\n")
            token.chmod(0o600)
        registry.close()
        file = self._lab.directory / "collector.yaml"
        content = {
            "data_directory": str(data),
            "listen": {"host": "::", "port": HTTP_PORT},
            "access": {"anonymous": "county_admin"},
            "responder": {"port": 8081, "icmpv6": True, "icmpv6_host": CENTRE[1]},
        }
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        argv = [str(Path(sys.executable).parent / "xiaotong-collector"), "serve", "--config", str(file)]
        collector = self._lab.start(self._county.centre, argv, log="collector")
        programs.wait_for_port(self._county.centre, CENTRE[0], HTTP_PORT, collector)


def declared(school: BuiltSchool) -> dict[str, Any]:
    """The school as its settings have it."""
    lines = [
        {"id": line.line.id, "carrier": line.line.carrier, "interface": line.port} for line in school.lines
    ]
    return {"id": school.school.id, "classes": 1, "lines": lines}
