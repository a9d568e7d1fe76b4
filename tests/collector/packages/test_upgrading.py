"""A real collector, real agents under a service manager, real signed packages: upgraded, and brought back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import agent
from agent.versions import CRASHES
from collector.access import audit
from collector.packages.keys import make_key
from collector.packages.rollouts import Rollout
from config.units import Seconds
from tests.collector.packages.supervised import AGENT_YAML, package, supervised
from tests.collector.running import Running, running, settings_in, wait_until

BY = audit.command_line()


class County:
    """The collector, its key, and its agents."""

    def __init__(self, collector: Running, folder: Path, key: str) -> None:
        self.collector = collector
        self.room = collector.rooms.enrolment
        self.folder = folder
        self.key = key

    def offer(
        self, version: str, changes: dict[str, str] | None = None, libraries: dict[str, str] | None = None
    ) -> None:
        key = self.folder / "packages.key"
        file = package(self.folder, key, version, changes, libraries=libraries)
        with file.open("rb") as source:
            self.room.packages.add(source)

    def order(self, version: str, first: list[str]) -> Rollout:
        return self.room.rollouts.start(
            version, first, BY, now=self.room.now(), settle_seconds=None, urgent=True
        )

    def settings(self, name: str = "a1", school: str = "s1", trial: str = "60s") -> Path:
        folder = self.folder / name
        folder.mkdir()
        (folder / "agent.token").touch(mode=0o600)
        (folder / "agent.token").write_text(self.collector.tokens[name])
        file = folder / "agent.yaml"
        url = f"http://127.0.0.1:{self.collector.port}"
        file.write_text(AGENT_YAML.format(school=school, url=url, key=self.key, trial=trial))
        return file

    def state(self, name: str = "a1") -> tuple[str, str, str]:
        """Version, order and how that fares."""
        said = self.room.states._said.get(name)
        return (said.version, said.order_id, said.order_state) if said else ("", "", "")

    def reason(self, name: str = "a1") -> str:
        return self.room.states._said[name].order_reason


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    data = tmp_path / "county"
    data.mkdir()
    key = make_key(tmp_path / "packages.key", data / "packages.pub")
    with running(msgspec.structs.replace(settings_in(data), heartbeat=Seconds(0.2))) as collector:
        yield County(collector, tmp_path, key)


def runs(
    county: County, version: str, order: Rollout | None = None, state: str = "", name: str = "a1"
) -> None:
    wanted = (version, order.id if order else "", state)
    try:
        wait_until(lambda: county.state(name) == wanted, 90)
    except AssertionError:
        log = (county.folder / name / "agent.log").read_text()[-2000:]
        pytest.fail(f"{county.state(name)}, not {wanted}: {county.reason(name)}\n{log}")


@pytest.mark.lab
def test_upgraded_killed_in_the_middle_and_brought_back(county: County) -> None:
    with supervised(county.settings()) as gate:
        runs(county, agent.__version__)
        county.offer("9.0.0")
        order = county.order("9.0.0", ["a1"])
        runs(county, "9.0.0", order, "trial")
        gate.kill()
        runs(county, "9.0.0", order)
        assert (gate.kept.good, gate.kept.previous, gate.kept.starts) == ("9.0.0", "", 2)
        assert "state=restarting" in gate.said()
        assert "-- ended SIGKILL" in gate.said()
        county.room.states.flush()
        assert [each.state for each in county.room.rollouts.followers() if each.id == "a1"] == ["done"]
        county.offer("9.1.0", libraries={"not-there": "1"})
        county.offer("9.1.0", libraries={})  # as one that brings its own: asked for where the other lacks one
        runs(county, "9.1.0", county.order("9.1.0", ["a1"]))
        assert gate.versions() == ["9.0.0", "9.1.0"]
        runs(county, "9.0.0", county.room.rollouts.back(BY, county.room.now(), urgent=True))
        county.order("9.0.0", ["a1"])
        runs(county, "9.1.0", county.room.rollouts.back(BY, county.room.now(), urgent=True))
        assert (gate.kept.good, gate.kept.previous) == ("9.1.0", "9.0.0")


BAD = {
    "9.0.1": ("60s", {"agent/__init__.py": "raise SystemError('broken')"}, "ended 3 times while on trial"),
    "9.0.2": ("4s", {"agent/__init__.py": "import time; time.sleep(600)"}, "did not hear it within 4 s"),
    "9.0.3": ("5s", {"agent/heartbeat.py": "HEARTBEAT_PATH = '/nowhere'"}, "did not hear it within 5 s"),
    "9.0.4": ("60s", {"agent/commands/run.py": "raise SystemExit(0)"}, "ended 3 times while on trial"),
}
"""Each with the time of its trial, what is wrong with it, and why it is left."""


@pytest.mark.lab
def test_each_bad_version_is_left_by_itself_and_stops_its_order(county: County) -> None:
    """One that cannot be imported, one that hangs there, one that nobody hears, one that ends at once."""
    with supervised(county.settings()) as gate:
        county.offer("9.0.0")
        runs(county, "9.0.0", county.order("9.0.0", ["a1"]))
        good = gate.file.read_text()
        for version, (trial, changes, why) in BAD.items():
            county.offer(version, changes)
            gate.file.write_text(good.replace("trial: 60s", f"trial: {trial}"))
            order = county.order(version, ["a1"])
            runs(county, "9.0.0", order, "failed")
            assert why in county.reason()
            county.room.tick()
            stopped = county.room.rollouts.current()
            assert stopped is not None
            assert (stopped.id, stopped.state) == (order.id, "stopped")
            assert stopped.reason.startswith(f"a1 fell back: {version}: ")
            assert (gate.kept.good, gate.kept.trial) == ("9.0.0", None)
            wait_until(lambda: gate.versions() == ["9.0.0"])
        assert gate.said().count("version left version=9.0.3") == 2  # the line was not at fault
        assert gate.said().count("-- ended SIGALRM") == 1  # the one that hung; the others ended in order
        assert "thread broke" not in gate.said()
        assert gate.kept.starts <= 1
        gate.file.write_text(good)
        county.offer("9.0.5")  # and the next good one is taken
        last = county.order("9.0.5", ["a1"])
        runs(county, "9.0.5", last)
        starts = gate.starts
        gate.file.write_text(f"{good}nonsense: 1\n")  # settings that nobody can use are no fault of a version
        gate.kill()
        wait_until(lambda: gate.starts > starts + CRASHES + 1, 90)
        gate.file.write_text(good)
        wait_until(lambda: gate.kept.starts == 1)
        runs(county, "9.0.5", last)
        assert gate.kept.failed is None


@pytest.mark.lab
def test_what_the_county_did_not_sign_is_refused_in_words(county: County) -> None:
    """Each time the collector gives what its own checks would never let in."""
    file = county.settings()
    with supervised(file) as gate:
        runs(county, agent.__version__)
        county.offer("9.0.0")
        good = next(county.room.packages.directory.glob("*.package"))
        content = good.read_bytes()
        middle = len(content) // 2
        for changed, state, why in (
            (flipped(content, middle), "refused", "is damaged|another hash"),
            (content[:-100], "waiting", "ends"),
            (content + b"x", "refused", "not as long"),
            (flipped(content, 40), "refused", "not by a key that is trusted"),
        ):
            county.room.packages.fitting = give(county.folder / "given", changed)  # type: ignore[method-assign]
            order = county.order("9.0.0", ["a1"])
            runs(county, agent.__version__, order, state)
            assert re.search(why, county.reason())
            assert gate.versions() == []
        assert gate.starts == 1
    file.write_text(file.read_text().replace(f"keys: [{county.key}], ", ""))
    with supervised(file):
        runs(county, agent.__version__, county.order("9.0.0", ["a1"]), "refused")
        assert county.reason().startswith("no key is known here")


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def give(file: Path, content: bytes) -> Callable[..., Path]:
    file.write_bytes(content)
    return lambda *_asked, **_kind: file
