"""Real agents of a real collector, for tests: their settings in a folder, enrolled by a code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import sqlalchemy as sa

from agent.credentials import Credential, digest_of, new_token
from agent.heartbeat import Heartbeat, Told
from agent.link import Link
from agent.rotation import Rotation
from agent.settings import HeartbeatSettings, Secret
from collector.access import audit
from collector.access.tables import AuditRow
from collector.enrolment.guesses import Guesses
from collector.enrolment.tables import AgentStateRow, CentralRow, CodeRow
from collector.registry.copies import count_change
from collector.registry.tables import AgentRow, TokenRow
from config.clock import SystemClock
from tests.collector.running import Answered, Running
from tests.collector.running import enrol as first_agents

AGENT_YAML = """\
school: {{id: {school}}}
collector: {{url: "{url}", token_file: agent.token}}
state_directory: state
central: {{addresses: [127.0.0.1], pause: 200ms, probation: 1s}}
heartbeat: {{every: 1s, every_min: 200ms}}
probes:
  interfaces: {{window: 1s}}
"""


def code_for(county: Running, school: str = "s1", name: str = "", valid: float = 600) -> str:
    """A code as «agents invite» makes it."""
    made = county.rooms.enrolment.invitations.invite([school], name, valid, audit.command_line())
    return made[0].code


def renewed(county: Running) -> Running:
    """The collector as on its first day, without starting another one: agents a1 and b1, nothing else."""
    registry, room = county.rooms.registry, county.rooms.enrolment
    room.states.flush()
    with registry.writing() as connection:
        for table in (CodeRow, AgentStateRow, CentralRow, AuditRow, TokenRow, AgentRow):
            connection.execute(sa.delete(table))
        for kind in ("agents", "central"):
            count_change(connection, kind)
    room.guesses = Guesses(county.rooms.settings.enrolment, SystemClock())
    room.states._said.clear()
    for copy in (room.states._asked, room.configurations._current):
        copy.forget()
    room.tokens._forget()
    county.tokens.clear()
    county.tokens.update(first_agents(county.rooms))
    return county


def enrol(county: Running, code: str, digest: str | None = None, source: str = "127.0.0.1") -> Answered:
    """One request of enrolment, from any address of loopback."""
    body = msgspec.json.encode({"code": code, "token_digest": digest or digest_of(new_token())})
    return county.request("POST", "/api/v1/enrol", body, agent=None, source=source)


class Client:
    """An agent's credential, heartbeat and rotation, without its probes."""

    def __init__(self, county: Running, folder: Path, token: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "agent.token"
        self.file.touch(mode=0o600)
        self.file.write_text(f"{token}\n")
        self._url = f"http://127.0.0.1:{county.port}"
        self.told: list[Told] = []
        self.restart()

    def restart(self) -> None:
        """As after a crash: only what is on disk is known."""
        self.credential = Credential(self.file, "agent.yaml")
        self.rotation = Rotation(self.credential, self.link)

    def link(self, token: Secret | object = None) -> Link:
        return Link(self._url, token or self.credential.token, 10.0)  # type: ignore[arg-type]

    def beat(self) -> Told | None:
        """One heartbeat; what it was told, None when it was refused."""
        self.told.clear()
        link = self.link()
        Heartbeat(
            link=link,
            settings=HeartbeatSettings(),
            clock=SystemClock(),
            boot_id="boot",
            stop=threading.Event(),
            on_told=self.told.append,
        ).beat("running")
        link.close()
        return self.told[-1] if self.told else None

    def push(self) -> int:
        """One write; its status."""
        link = self.link()
        try:
            return link.post(
                "/api/v2/write?org=xiaotong&bucket=raw&precision=ns",
                f"ping,target=t,family=ipv4 sent=1i {SystemClock().wall_ns()}".encode(),
                {},
            ).status
        finally:
            link.close()


@contextmanager
def pushing(client: Client) -> Iterator[list[int]]:
    """Write as fast as it goes while the block runs; the statuses."""
    statuses: list[int] = []
    done = threading.Event()

    def work() -> None:
        link = client.link()
        while not done.is_set():
            body = f"ping,target=t,family=ipv4 sent=1i {SystemClock().wall_ns()}".encode()
            statuses.append(link.post("/api/v2/write?org=xiaotong&bucket=raw&precision=ns", body, {}).status)
        link.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()
