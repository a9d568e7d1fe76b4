"""A whole agent and a whole collector: invited, enrolled, told what to measure, refused, revoked."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from agent.main import main as agent_main
from agent.service import Service
from agent.settings import load_settings
from collector.access import audit
from collector.enrolment.configurations import Scope
from collector.packages.keys import make_key
from config.units import Seconds
from tests.collector.enrolment.county import AGENT_YAML, code_for
from tests.collector.running import Running, running, settings_in, wait_until

BY = audit.command_line()
CANARY = "canary-snmp-following"


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Running]:
    settings = settings_in(tmp_path / "county", enrolment={"overlap": 1.0}, uptime={})
    with running(msgspec.structs.replace(settings, heartbeat=Seconds(0.5))) as found:
        yield found


def enrolled(county: Running, folder: Path) -> Path:
    """The settings of an agent of school s1, enrolled by its own command."""
    folder.mkdir()
    file = folder / "agent.yaml"
    url = f"http://127.0.0.1:{county.port}"
    file.write_text(AGENT_YAML.format(school="s1", url=url), encoding="utf-8")
    done = CliRunner().invoke(
        agent_main, ["enrol", "--collector", url, "--config", str(file)], input=code_for(county, "s1", "gate")
    )
    assert done.exit_code == 0, done.output
    return file


@pytest.fixture
def service(county: Running, tmp_path: Path) -> Iterator[Service]:
    made = Service(load_settings(enrolled(county, tmp_path / "gate")))
    made.start()
    yield made
    made.stop("stopping")


def state_of(county: Running) -> Any:
    return county.rooms.enrolment.states._said.get("gate")


def kept_probes(service: Service) -> Any:
    good = service._county._state.kept.good
    return {} if good is None else good.document.get("probes", {})


@pytest.mark.lab
@pytest.mark.fault(20)
@pytest.mark.fault(25)
def test_a_change_arrives_within_seconds_and_a_bad_one_is_told(
    county: Running, service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    book = county.rooms.enrolment.configurations
    wait_until(lambda: bool(state_of(county) and state_of(county).applied))
    began = time.monotonic()
    device = {"id": "core", "host": "127.0.0.1", "port": 9, "community": CANARY}
    good = {"probes": {"ipv6": {}, "snmp": {"devices": [device], "every": "1h"}}}
    book.put(Scope("county"), good, BY)
    wait_until(
        lambda: {each.name for each in service._measuring.loaded.probes} == {"interfaces", "ipv6", "snmp"}
    )
    assert time.monotonic() - began < 15
    wait_until(lambda: "snmp" in kept_probes(service))  # what it began with may be kept before
    applied = service._county.said()["applied"]
    book.put(
        Scope("agent", "gate"), {"probes": {"ping": {"targets": [{"name": "x", "host": "192.0.2.1"}]}}}, BY
    )
    wait_until(lambda: bool(state_of(county).refused))
    assert state_of(county).reason.startswith("key probes.ping.targets[0].host: '192.0.2.1' is not among")
    assert service._county.said()["applied"] == applied
    token = service._credential.token()
    county.rooms.enrolment.states.ask_rotation("gate", BY)
    wait_until(lambda: service._credential.token() != token)
    county.rooms.registry.revoke("gate")
    wait_until(lambda: "run «xiaotong-agent enrol»" in caplog.text)
    for secret in (CANARY, token, service._credential.token()):
        assert secret not in caplog.text
        assert secret not in repr(service._county._state.kept.refused) + repr(
            service._site_of(service._local)
        )
    kept = [
        each
        for each in (tmp_path / "gate").rglob("*")
        if each.is_file() and CANARY.encode() in each.read_bytes()
    ]
    assert kept
    assert all(each.stat().st_mode & 0o077 == 0 for each in kept)


def test_who_enrols_is_told_the_key_that_packages_are_signed_by(county: Running, tmp_path: Path) -> None:
    data = county.rooms.settings.data
    first = make_key(tmp_path / "packages.key", data / "packages.pub")
    file = enrolled(county, tmp_path / "gate")
    assert load_settings(file).settings.upgrade.keys == (first,)
    second = make_key(tmp_path / "another.key", data / "packages.pub")
    again = ["enrol", "--collector", f"http://127.0.0.1:{county.port}", "--config", str(file)]
    for text, keys in (("", (first, second)), ("  trial: 5min\n", (first, second)), ("", (first, second))):
        file.write_text(file.read_text() + text)
        code = code_for(county, "s1", "gate")
        assert CliRunner().invoke(agent_main, again, input=code).exit_code == 0
        assert load_settings(file).settings.upgrade.keys == keys
    assert "trial: 5min" in file.read_text()
    (data / "packages.pub").write_text("no key")
    assert CliRunner().invoke(agent_main, again, input=code_for(county, "s1", "gate")).exit_code == 0


def test_a_command_that_cannot_enrol_says_why_in_one_line(county: Running, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{county.port}"
    file = tmp_path / "agent.yaml"

    def tried(*words: str) -> str:
        done = CliRunner().invoke(agent_main, ["enrol", "--config", str(file), *words])
        assert done.exit_code in (1, 2)
        assert done.output.count("\n") == 1
        assert not file.exists()
        return done.output

    assert "is not https://" in tried("--collector", "http://county.example", "--code", "x")
    assert "allowed is http:// or https://" in tried("--collector", "ftp://x", "--code", "x")
    assert "--pin x: is no pin" in tried("--collector", "https://127.0.0.1:1", "--code", "x", "--pin", "x")
    assert "are for https:// addresses" in tried("--collector", url, "--code", "x", "--pin", "x")
    assert "no such file" in tried("--collector", "https://x", "--code", "x", "--ca-file", "/nowhere")
    assert "this is no code" in tried("--collector", url, "--code", "x")
    assert "ConnectionRefused" in tried("--collector", "http://127.0.0.1:1", "--code", "x")
