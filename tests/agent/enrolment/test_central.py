"""The county's configuration over the local file: what it may set, what it may not, and the way back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent import catalogue
from agent.central import over_local
from agent.central_addresses import is_allowed, is_entry
from agent.central_state import CentralState, Held, Kept, Refused, Trial, begun
from agent.county import County
from agent.heartbeat import Told
from agent.link import Link
from agent.rotation import Outcome, Rotation
from agent.settings import LoadedSettings, load_settings
from config.central import DEVICE, LOCAL, PROBES, SECRETS
from config.settings import SettingsError
from tests.agent.clocks import HandClock
from tests.agent.collector_double import CollectorDouble, Reply

CANARY = "canary-snmp-9a1"
LOCAL_FILE = """\
school: {id: s1, name: 本地, lines: [{id: wan, interface: eth7, carrier: old}]}
central: {addresses: [10.0.0.0/8, "*.county.example", 198.51.100.7], pause: 100ms, probation: 60s}
probes:
  interfaces: {}
  ping: {targets: [{name: far, host: 203.0.113.9}], probes: 5}
"""


@pytest.fixture
def local(tmp_path: Path) -> LoadedSettings:
    file = tmp_path / "agent.yaml"
    file.write_text(LOCAL_FILE, encoding="utf-8")
    return load_settings(file)


def over(local: LoadedSettings, document: dict[str, Any]) -> LoadedSettings:
    return over_local(local, document, Path("/nowhere")).loaded


@pytest.mark.parametrize("name", catalogue.names())
def test_each_key_of_a_probe_is_the_countys_or_the_local_files(name: str) -> None:
    """A key that is new has to be put into one of the lists of config/central.py."""
    keys = {field.encode_name for field in msgspec.structs.fields(catalogue.module_of(name, "").Settings)}
    assert keys == PROBES[name] | LOCAL.get(name, frozenset())


def test_each_key_of_a_device_is_known() -> None:
    device = catalogue.module_of("snmp", "").Device
    keys = {field.encode_name for field in msgspec.structs.fields(device)}
    assert (DEVICE - SECRETS.keys()) | set(SECRETS.values()) == keys


def test_what_the_county_declares_goes_before_and_the_rest_stays(local: LoadedSettings) -> None:
    found = over(
        local,
        {
            "school": {"id": "s1", "name": "清泉小学", "lines": [{"id": "wan", "contracted_down": "500M"}]},
            "plan": "beilun",
            "schedule": {"hours": {"ping": "school"}},
            "probes": {"ping": {"probes": 9}, "interfaces": False, "ipv6": None},
        },
    )
    school, settings = found.settings.school, found.settings
    assert (school.name, school.lines[0].interface, school.lines[0].contracted_down) == (
        "清泉小学",
        "eth7",
        500e6,
    )
    assert sorted(settings.probes) == ["ipv6", "ping"]
    assert settings.probes["ping"] == {"targets": [{"name": "far", "host": "203.0.113.9"}], "probes": 9}
    assert (settings.plan, settings.schedule.hours) == ("beilun", {"ping": "school"})
    assert settings.collector == local.settings.collector


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"log": {"level": "debug"}}, "key log: the county may not set it"),
        ({"central": {"addresses": ["*"]}}, "key central: the county may not set it"),
        ({"collector": {"url": "http://x"}}, "key collector: the county may not set it"),
        ({"command": "reboot"}, "key command: the county may not set it"),
        (
            {"probes": {"capacity": {"iperf3": {"host": "x"}}}},
            "key probes.capacity.iperf3: the county may not",
        ),
        ({"probes": {"ping": {"probes": 0}}}, "key probes.ping: probes is from 1 to 600"),
        ({"probes": {"ping": {"window": "fast"}}}, "key probes.ping.window: "),
        (
            {"probes": {"ping": {"targets": [{"name": "x", "host": "8.8.8.8"}]}}},
            "'8.8.8.8' is not among central",
        ),
        (
            {"probes": {"service": {"services": [{"name": "x", "url": "http://127.0.0.1/"}]}}},
            "'127.0.0.1' is not",
        ),
        ({"probes": {"service": {"services": [{"name": "x", "url": "http://2130706433/"}]}}}, "is not among"),
        ({"probes": {"snmp": {"devices": [{"id": "d", "host": "169.254.169.254"}]}}}, "is not among central"),
        ({"probes": {"ipv6_checks": {"resolvers": ["2001:db8::1"]}}}, "'2001:db8::1' is not among central"),
        ({"plan": "../../etc/passwd"}, "key plan: is no shipped plan"),
        ({"plan": {"id": "x"}}, "key plan.title: is missing"),
        ({"schedule": {"hours": {"ping": "never"}}}, "key schedule.hours"),
        ({"schedule": {"hours": {"snmp": "school"}}}, "snmp is none of the probes"),
        ({"school": {"id": "s1", "lines": "x"}}, "key school.lines: "),
        ({"school": []}, "key school: allowed are keys"),
    ],
)
def test_what_the_county_may_not_set_or_got_wrong_is_refused_in_one_line(
    local: LoadedSettings, document: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        over(local, document)
    assert reason in str(caught.value)
    assert str(caught.value).startswith("the county's configuration: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "entries", "allowed"),
    [
        ("10.9.9.9", ["10.0.0.0/8"], True),
        ("11.0.0.1", ["10.0.0.0/8"], False),
        ("::ffff:10.0.0.1", ["10.0.0.0/8"], False),
        ("a.county.example", ["*.county.example"], True),
        ("county.example", ["*.county.example"], False),
        ("evilcounty.example", ["*.county.example"], False),
        ("node.example", ["node.example"], True),
        ("0x0a000001", ["*.x", "10.0.0.0/8"], False),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("anything", ["*"], True),
        ("a b", ["*.county.example"], False),
    ],
)
def test_hosts_are_allowed_by_network_or_by_name(host: str, entries: list[str], allowed: bool) -> None:
    assert all(map(is_entry, entries))
    assert is_allowed(host, entries) is allowed


def test_what_the_local_file_names_itself_and_what_needs_no_address_is_allowed(local: LoadedSettings) -> None:
    targets = [
        {"name": name, "host": host}
        for name, host in (
            ("a", "203.0.113.9"),
            ("b", "default-gateway"),
            ("c", "collector"),
            ("d", "10.1.1.1"),
        )
    ]
    found = over(local, {"probes": {"ping": {"targets": targets}}})
    assert [each.name for each in found.probes[1].settings.targets] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "a b", "-x", "*.*", "12345"])
def test_an_entry_that_allows_nothing_sensible_is_refused(entry: str) -> None:
    assert not is_entry(entry)


@pytest.mark.fault(20)
def test_secrets_come_into_files_of_their_own(local: LoadedSettings, tmp_path: Path) -> None:
    state = CentralState(tmp_path / "state")
    device = {"id": "core", "host": "10.0.0.2", "community": CANARY}
    planned = over_local(local, {"probes": {"snmp": {"devices": [device]}}}, state.secrets_directory)
    state.put_secrets(planned.secrets)
    snmp = next(each for each in planned.loaded.probes if each.name == "snmp")
    file = Path(snmp.settings.devices[0].community_file)
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{CANARY}\n", 0o600)
    assert CANARY not in repr(planned.loaded)
    state.keep_secrets({})
    assert not file.exists()


class Centre:
    """A county that answers as told, and the agent's County that follows it."""

    def __init__(self, local: LoadedSettings, directory: Path, double: CollectorDouble) -> None:
        self.local = local
        self.directory = directory
        self.double = double
        self.clock = HandClock()
        self.applied: list[LoadedSettings] = []
        self.broken: dict[str, str] = {}
        self.boot_id = "boot-1"
        self.restart()

    def restart(self) -> None:
        self.broken = {}
        stop = threading.Event()
        self.county = County(
            local=self.local,
            state=CentralState(self.directory),
            boot_id=self.boot_id,
            link=Link(self.double.url, None, 5.0),
            rotation=Nothing(),
            clock=self.clock,
            stop=stop,
            apply=self.applied.append,
            broken=lambda: self.broken,
            random_between=lambda low, _high: low,
        )
        self.started_with = self.county.first()

    def sends(self, revision: str, document: Mapping[str, Any]) -> None:
        body = msgspec.json.encode({"revision": revision, "document": document})
        self.double.answer = lambda _push: Reply(200, body=body)
        self.county.hear(Told(5.0, revision))
        self.clock.pass_seconds(1)
        self.county.step()

    def waits(self, seconds: float) -> None:
        self.clock.pass_seconds(seconds)
        self.county.step()


class Nothing(Rotation):
    def __init__(self) -> None:
        pass

    def settle(self) -> Outcome:
        return Outcome.NOTHING


Opened = Callable[[], Centre]
GOOD = {"probes": {"ping": {"probes": 11}}}
OTHER = {"probes": {"ping": {"probes": 12}}}
BAD = {"probes": {"ping": {"probes": 0}}}


@pytest.fixture
def centre(local: LoadedSettings, tmp_path: Path) -> Any:
    double = CollectorDouble()
    yield Centre(local, tmp_path / "state", double)
    double.close()


def probes_of(loaded: LoadedSettings) -> Any:
    return loaded.settings.probes["ping"].get("probes")


def test_a_good_one_is_tried_kept_and_there_after_a_restart_without_the_centre(centre: Centre) -> None:
    centre.sends("r1", GOOD)
    assert centre.county.said() == {"applied": "r1"}
    centre.waits(61)
    centre.double.close()
    centre.restart()
    assert probes_of(centre.started_with) == 11
    assert (centre.directory / "central.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.fault(25)
def test_a_bad_one_is_refused_with_its_reason_and_everything_stays(centre: Centre) -> None:
    centre.sends("r1", GOOD)
    centre.waits(61)
    centre.sends("r2", BAD)
    said = centre.county.said()
    assert (said["applied"], said["refused"]) == ("r1", "r2")
    assert said["reason"] == "key probes.ping: probes is from 1 to 600 in each window"
    assert len(centre.applied) == 1
    asked = len(centre.double.pushes)
    centre.county.hear(Told(5.0, "r2"))
    centre.waits(5)
    assert len(centre.double.pushes) == asked, "what was refused is not asked for again and again"
    centre.restart()
    assert probes_of(centre.started_with) == 11


@pytest.mark.parametrize("status", [200, 403])
def test_what_was_refused_is_tried_again_after_a_while_for_its_reason_may_be_gone(
    centre: Centre, status: int
) -> None:
    refusal = {"revision": "r1", "document": BAD, "reason": "it holds SNMP secrets"}
    centre.double.answer = lambda _push: Reply(status, body=msgspec.json.encode(refusal))
    centre.county.hear(Told(5.0, "r1"))
    centre.waits(1)
    assert centre.county.said()["refused"] == "r1"
    centre.double.answer = lambda _push: Reply(
        200, body=msgspec.json.encode({"revision": "r1", "document": GOOD})
    )
    centre.county.hear(Told(5.0, "r1"))
    centre.waits(60)
    assert centre.county.said()["refused"] == "r1", "not before it is time"
    centre.waits(900)
    assert centre.county.said() == {"applied": "r1"}


@pytest.mark.fault(25)
@pytest.mark.parametrize("depth", [100, 900, 5000])
def test_one_that_is_nested_without_end_is_refused_and_everything_goes_on(centre: Centre, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    body = b'{"revision": "r1", "document": {"probes": {"ping": {"targets": ' + nested + b"}}}}"
    centre.double.answer = lambda _push: Reply(200, body=body)
    centre.county.hear(Told(5.0, "r1"))
    centre.waits(1)
    assert centre.applied == []
    centre.sends("r2", GOOD)
    centre.waits(60)
    assert centre.county.said() == {"applied": "r2"}


def test_one_that_breaks_a_probe_is_rolled_back_and_never_tried_again(centre: Centre) -> None:
    centre.sends("r1", GOOD)
    centre.waits(61)
    centre.sends("r2", OTHER)
    assert centre.county.said()["applied"] == "r2"
    centre.broken["ping"] = "ZeroDivisionError: x"
    centre.waits(5)
    said = centre.county.said()
    assert (said["applied"], said["refused"]) == ("r1", "r2")
    assert said["reason"] == "probe ping broke: ZeroDivisionError: x"
    assert [probes_of(each) for each in centre.applied] == [11, 12, 11]
    centre.restart()
    assert centre.county.said()["refused"] == "r2"


def test_one_that_the_agent_does_not_survive_is_left_at_the_next_start(centre: Centre) -> None:
    centre.sends("r1", GOOD)
    centre.waits(61)
    centre.sends("r2", OTHER)
    centre.restart()  # as after kill -9
    assert probes_of(centre.started_with) == 11
    assert centre.county.said()["reason"] == "the agent ended while it tried this"


def test_a_stop_or_a_power_cut_during_the_trial_does_not_condemn_it(centre: Centre) -> None:
    centre.sends("r1", GOOD)
    centre.county.wake()
    centre.restart()
    assert probes_of(centre.started_with) == 11
    centre.boot_id = "boot-2"
    centre.restart()
    assert probes_of(centre.started_with) == 11
    centre.boot_id = "boot-3"
    centre.restart()
    assert probes_of(centre.started_with) == 5


def test_a_local_file_that_forbids_it_meanwhile_wins(centre: Centre) -> None:
    centre.sends("r1", {"probes": {"ping": {"targets": [{"name": "x", "host": "10.0.0.1"}]}}})
    centre.waits(61)
    centre.local.file.write_text(LOCAL_FILE.replace("10.0.0.0/8", "192.0.2.0/24"), encoding="utf-8")
    centre.local = load_settings(centre.local.file)
    centre.restart()
    assert centre.started_with is centre.local
    assert "'10.0.0.1' is not among central.addresses" in centre.county.said()["reason"]


def test_switched_off_it_asks_for_nothing_and_says_so(centre: Centre) -> None:
    centre.local.file.write_text(
        LOCAL_FILE.replace("central: {", "central: {enabled: false, "), encoding="utf-8"
    )
    centre.local = load_settings(centre.local.file)
    centre.restart()
    centre.sends("r1", GOOD)
    assert centre.double.pushes == []
    assert centre.county.said() == {"reason": "the local file says central.enabled: false"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"good": 5}', b"\xff", b"[" * 10000])
def test_a_damaged_file_is_forgotten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "central.json").write_bytes(content)
    assert CentralState(tmp_path).kept == Kept()


def test_a_refusal_that_the_local_file_caused_is_tried_again_after_a_restart() -> None:
    kept = Kept(good=Held("r1", {}), refused=Refused("r2", "address"))
    assert begun(kept, "b").refused is None
    lasting = Kept(refused=Refused("r2", "broke", lasting=True), trial=Trial("r3", {}, "b", stopped=True))
    assert begun(lasting, "b") == Kept(refused=lasting.refused, trial=Trial("r3", {}, "b"))
