"""The sample school of a trial: its settings, written once, and its place in the registry."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import msgspec

from collector.registry import Registry
from collector.settings import CollectorSettings, load_settings
from config.school import School
from config.settings import SettingsError, convert, load, parse_yaml
from config.units import Seconds

TEMPLATES = Path(__file__).parent / "sample"
HOST = "127.0.0.1"
START_SECONDS = Seconds(20)
_KEPT = "# kept by «try»"


class Sample(msgspec.Struct, frozen=True):
    """Where the files of a trial are, and who it is about."""

    collector_file: Path
    agent_file: Path
    school_id: str
    plan: str
    port: int

    @property
    def address(self) -> str:
        """Where the collector answers."""
        return f"http://{HOST}:{self.port}"


def prepare(directory: Path, port: int) -> Sample:
    """Write what is not there yet, declare the school and enrol its agent.

    Raises SettingsError, one line, for a port in use and for settings somebody broke; RegistryError.
    """
    refuse_port_in_use(port)
    directory.mkdir(parents=True, exist_ok=True)
    collector_file, agent_file = directory / "collector.yaml", directory / "agent.yaml"
    responder_port = free_port(port + 1)
    places = {"data": _quoted(directory / "data"), "port": port, "responder_port": responder_port}
    for file in (collector_file, agent_file):
        write_once(file, places)
        keep_ports(file, {"url": f"http://{HOST}:{port}", "port": str(responder_port)})
    _let_in_this_host(collector_file)
    school, plan, token_file = _declared_in(agent_file)
    _enrol(load_settings(collector_file), school, agent_file.parent / token_file)
    return Sample(collector_file, agent_file, school.id, plan, port)


def refuse_port_in_use(port: int) -> None:
    """Raises SettingsError that names the port and the setting."""
    if not _is_free(port):
        raise SettingsError(f"port {port} on {HOST} is in use; set another with PORT=… or --port")


def free_port(wanted: int) -> int:
    """``wanted`` where it is free, else any that is."""
    if wanted <= 65535 and _is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def write_once(file: Path, places: dict[str, Any]) -> None:
    """Write a file of the sample from its template, unless it is there."""
    if not file.exists():
        template = (TEMPLATES / file.name).read_text(encoding="utf-8")
        file.write_text(template.format(**places), encoding="utf-8")


def keep_ports(file: Path, values: dict[str, str]) -> None:
    """Put today's ports into the lines that say that they are kept; every other line stays as it is."""
    text = file.read_text(encoding="utf-8")
    for key, value in values.items():
        kept = re.compile(rf"^(\s*{key}:)\s.*?({_KEPT})$", re.MULTILINE)
        text = kept.sub(rf"\g<1> {value} \g<2>", text)
    file.write_text(text, encoding="utf-8")


def _let_in_this_host(file: Path) -> None:
    """A file that an earlier version wrote says nothing of access: a trial is watched without a login."""
    text = file.read_text(encoding="utf-8")
    if not re.search(r"^access:", text, re.MULTILINE):
        file.write_text(f"{text.rstrip()}\naccess: {{anonymous: county_admin}}\n", encoding="utf-8")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _declared_in(agent_file: Path) -> tuple[School, str, str]:
    """The school, its plan and the name of the token file, as the agent's settings say."""
    content = load(agent_file, dict[str, Any])
    school = convert(content.get("school"), School, str(agent_file), below="school")
    collector = content.get("collector")
    token_file = collector.get("token_file") if isinstance(collector, dict) else None
    if not isinstance(token_file, str):
        raise SettingsError(f"{agent_file}: key collector.token_file: is missing; allowed: a file's name")
    return school, str(content.get("plan", "shandan")), token_file


def _enrol(settings: CollectorSettings, school: School, token_file: Path) -> None:
    registry = Registry.open(settings.registry_url)
    try:
        registry.put_school(school)
        if not _is_known(registry, token_file):
            write_secret(token_file, registry.add_agent(school.id))
    finally:
        registry.close()


def _is_known(registry: Registry, token_file: Path) -> bool:
    if not token_file.exists():
        return False
    return registry.agent_by_token(token_file.read_text(encoding="ascii").strip()) is not None


def write_secret(file: Path, secret: str) -> None:
    """Write a secret so that nobody but its owner can ever read it."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(f"{secret}\n")


def _quoted(path: Path) -> str:
    """A path as YAML text; JSON's strings are YAML's. Raises SettingsError for one that YAML cannot hold."""
    text = msgspec.json.encode(str(path)).decode("utf-8")
    if parse_yaml(text, "--directory") != str(path):
        raise SettingsError(f"--directory {path}: cannot be written into settings; allowed: a plain name")
    return text
