"""What an agent makes of an order: when it follows, when it waits, what it refuses, and what it says."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.heartbeat import Order, Told
from agent.link import Link
from agent.settings import UpgradeSettings
from agent.upgrade import Upgrades
from agent.versions import PACKAGED, Failed, Kept, Trial, Versions, confirmed, tried
from config.packages import python_minor
from config.units import Seconds
from tests.agent.clocks import HandClock
from tests.agent.collector_double import CollectorDouble, Push, Reply
from tests.config.test_packages import PUBLIC, packed

FILES = {"agent/__init__.py": b"a = 1\n"}
SETTINGS = UpgradeSettings(keys=(PUBLIC,))


def content(version: str, **said: object) -> bytes:
    return packed(FILES, said={"version": version, "python": python_minor(), **said})


class Site:
    """The upgrading part of an agent beside a collector that answers as it is told."""

    def __init__(self, folder: Path, collector: CollectorDouble) -> None:
        self.collector = collector
        self.clock = HandClock()
        self.versions = Versions(folder, (PUBLIC,))
        self.not_now: str | None = None
        self.restarts = 0
        self.version = PACKAGED
        self.settings = SETTINGS
        self.begin()

    def begin(self) -> None:
        """As after a start."""
        self.upgrades = Upgrades(
            settings=self.settings, versions=self.versions, version=self.version, packaged="1.0",
            link=Link(self.collector.url, None, 5.0), clock=self.clock, stop=threading.Event(),
            refusal=lambda: self.not_now, restart=self.restart, random_between=lambda _low, high: high,
        )  # fmt: skip

    def restart(self) -> None:
        self.restarts += 1

    def hear(self, order: Order | None) -> float:
        self.upgrades.hear(Told(5.0, upgrade=order))
        return self.upgrades.step()

    def after(self, seconds: float) -> float:
        self.clock.pass_seconds(seconds)
        return self.upgrades.step()

    @property
    def said(self) -> tuple[str, str, str]:
        told = self.upgrades.said()
        return told["order"], told["state"], told["reason"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    collector = CollectorDouble()
    yield Site(tmp_path, collector)
    collector.close()


ORDER = Order("o1", "2.0")


def test_an_order_is_followed_at_its_time_and_not_in_lessons(site: Site) -> None:
    site.collector.answer = lambda _asked: Reply(200, body=content("2.0"))
    assert site.hear(ORDER) == 600  # upgrade.spread
    assert site.collector.pushes == []
    site.not_now = "waits for the end of lessons"
    assert site.after(600) == 30
    assert site.said == ("o1", "waiting", "waits for the end of lessons")
    site.not_now = None
    site.after(30)
    assert site.restarts == 1
    assert site.versions.read().trial == Trial("2.0", "o1")
    assert "version=2.0" in site.collector.pushes[0].path
    site.after(30)
    assert (site.restarts, len(site.collector.pushes)) == (1, 1)


def test_an_urgent_order_waits_for_nothing(site: Site) -> None:
    site.collector.answer = lambda _asked: Reply(200, body=content("2.0"))
    site.not_now = "lessons"
    site.hear(msgspec.structs.replace(ORDER, urgent=True))
    assert site.restarts == 1


def test_an_order_that_is_taken_back_before_its_time_is_forgotten(site: Site) -> None:
    site.hear(ORDER)
    site.hear(None)
    site.after(1000)
    assert (site.restarts, site.collector.pushes, site.said) == (0, [], ("", "", ""))


@pytest.mark.parametrize(
    ("reply", "why", "pause"),
    [
        (Reply(404, body=b'{"reason": "no package of 2.0"}'), "no package of 2.0", 600),
        (Reply(503, {"Retry-After": "60"}), "the collector answers 503", 120),
        (Reply(401), "the collector answers 401", 600),
        (Reply(200, body=b"xiaotong package 1\n"), "ends too early", 600),
        (Reply(drop=True), "", 600),
    ],
)
def test_what_may_be_otherwise_later_is_tried_again(site: Site, reply: Reply, why: str, pause: float) -> None:
    site.collector.answer = lambda _asked: reply
    site.hear(ORDER)
    assert site.after(600) == pytest.approx(pause, abs=1)
    assert site.said[:2] == ("o1", "waiting")
    assert why in site.said[2]
    site.collector.answer = lambda _asked: Reply(200, body=content("2.0"))
    site.after(pause)
    assert site.restarts == 1


def test_what_lacked_a_library_is_asked_for_with_them_from_then_on(site: Site) -> None:
    slim = Reply(200, body=content("2.0", libraries={"not-there": "1"}))
    busy = Reply(503, {"Retry-After": "60"})
    site.collector.answer = lambda asked: busy if "whole=1" in asked.path else slim
    site.hear(ORDER)
    site.after(600)
    site.collector.answer = lambda asked: Reply(200, body=content("2.0", libraries={}))
    site.after(120)
    assert [each.path[-1] for each in site.collector.pushes] == ["0", "1", "1"]
    assert site.restarts == 1


def test_the_pauses_grow_to_a_day(site: Site) -> None:
    site.collector.answer = lambda _asked: Reply(404)
    site.hear(ORDER)
    site.after(600)
    asked = []
    for _ in range(12):
        asked.append(round(site.upgrades._due - site.clock.monotonic_ns() / 1e9))
        site.after(asked[-1])
    assert asked[:3] == [600, 900, 1500]
    assert asked[-1] == 86400 + 300
    assert len(site.collector.pushes) == 13


def test_a_package_that_lacks_a_library_here_is_asked_for_with_its_libraries(site: Site) -> None:
    def answer(asked: Push) -> Reply:
        whole = "whole=1" in asked.path
        return Reply(200, body=content("2.0", libraries={} if whole else {"not-there": "1"}))

    site.collector.answer = answer
    site.hear(ORDER)
    site.after(600)
    assert site.restarts == 1
    assert [each.path[-1] for each in site.collector.pushes] == ["0", "1"]


def test_one_whose_libraries_the_county_has_not_is_told_in_words(site: Site) -> None:
    slim = Reply(200, body=content("2.0", libraries={"not-there": "1"}))
    none = Reply(404, body=b'{"reason": "no such package"}')
    site.collector.answer = lambda asked: none if "whole=1" in asked.path else slim
    site.hear(ORDER)
    site.after(600)
    reason = "the package needs not-there 1, here is none; with its libraries: no such package"
    assert site.said == ("o1", "waiting", reason)


@pytest.mark.parametrize(
    ("order", "settings", "why"),
    [
        (Order("o", "0.9"), SETTINGS, "1.0 is here, and newer; only «--back» leads to an older one"),
        (Order("o", "../x"), SETTINGS, "the order names no version"),
        (Order("o", "1.0", leave=True), SETTINGS, "1.0 is what is installed here"),
        (ORDER, UpgradeSettings(), "no key is known here to check packages by"),
        (ORDER, UpgradeSettings(enabled=False, keys=(PUBLIC,)), "the local file says upgrade.enabled: false"),
        (ORDER, UpgradeSettings(keys=(PUBLIC,), max_bytes=5), "is larger than upgrade.max_bytes"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_refused_until_another_order(
    site: Site, order: Order, settings: UpgradeSettings, why: str
) -> None:
    site.collector.answer = lambda _asked: Reply(200, body=content("2.0"))
    site.settings = settings
    site.begin()
    site.hear(order)
    site.after(600)
    assert site.said[:2] == (order.id, "refused")
    assert why in site.said[2]
    asked = len(site.collector.pushes)
    site.after(100_000)
    assert (site.restarts, len(site.collector.pushes)) == (0, asked)


@pytest.mark.parametrize("runs", ["3.0", "2.0", PACKAGED])
@pytest.mark.parametrize("version", ["2.5", "1.0"])
def test_nothing_older_than_the_newest_that_was_good_here_is_taken(
    site: Site, runs: str, version: str
) -> None:
    """Not after a way back from it either: 3.0 is the one before then."""
    before = PACKAGED if runs == "3.0" else "3.0"
    site.versions.keep(Kept(packaged="1.0", good=runs, previous=before))
    site.version = runs
    site.begin()
    site.hear(Order("o", version))
    site.after(600)
    assert (site.collector.pushes, site.restarts) == ([], 0)
    if site.version or version != "1.0":  # which runs already
        assert site.said[:2] == ("o", "refused")
        assert site.said[2].startswith("3.0 is here, and newer")
    site.collector.answer = lambda _asked: Reply(200, body=content("3.1"))
    site.hear(Order("o2", "3.1"))
    site.after(600)
    assert site.restarts == 1


def test_a_version_that_runs_is_not_fetched_again(site: Site) -> None:
    site.hear(Order("o", "1.0"))
    site.after(600)
    assert (site.collector.pushes, site.restarts) == ([], 0)


def test_a_trial_is_over_when_it_was_heard_after_a_while(site: Site) -> None:
    site.versions.add(io.BytesIO(content("2.0")), "2.0", max_bytes=10**6, spare_bytes=0)
    trial = Trial("2.0", "o1", "b", site.clock.monotonic_ns() / 1e9, 1)
    site.versions.keep(Kept(packaged="1.0", trial=trial))
    site.version = "2.0"
    site.begin()
    site.hear(ORDER)
    assert site.said == ("o1", "trial", "")
    site.after(59)
    assert site.versions.read().trial is not None
    site.clock.pass_seconds(2)
    site.hear(ORDER)
    kept = site.versions.read()
    assert (kept.good, kept.order, kept.trial) == ("2.0", "o1", None)
    assert site.said == ("o1", "", "")
    site.hear(Order("o2", "2.0", leave=True))
    site.after(600)
    assert site.versions.read().trial == Trial(PACKAGED, "o2")
    assert site.restarts == 1


def test_a_version_that_was_left_is_told_until_another_is_tried(site: Site) -> None:
    site.versions.add(io.BytesIO(content("2.0")), "2.0", max_bytes=10**6, spare_bytes=0)
    kept = confirmed(tried(Kept(packaged="1.0"), "2.0", "o1"))
    failed = Failed("3.0", "o3", "ended 3 times while on trial")
    site.versions.keep(msgspec.structs.replace(kept, failed=failed))
    site.version = "2.0"
    site.begin()
    assert site.said == ("o3", "failed", "3.0: ended 3 times while on trial")
    site.hear(Order("o3", "3.0"))
    site.after(10_000)
    assert site.collector.pushes == []
    site.collector.answer = lambda _asked: Reply(200, body=content("3.0"))
    site.hear(Order("o4", "3.0"))
    site.after(600)
    assert site.restarts == 1
    assert site.versions.read().failed is None


def run_silently(site: Site, trial: Trial) -> Kept:
    """Run a version on trial until it leaves, and the one before again; gives what is kept."""
    kept = site.versions.read()
    site.versions.keep(
        msgspec.structs.replace(
            kept, trial=msgspec.structs.replace(trial, since_seconds=site.clock.monotonic_ns() / 1e9)
        )
    )
    before, site.version = site.version, trial.version
    site.begin()
    restarts = site.restarts
    site.after(579)
    assert site.restarts == restarts
    site.after(1)
    assert site.restarts == restarts + 1
    site.version = before
    site.begin()
    return site.versions.read()


def test_one_that_nobody_heard_is_tried_once_more_after_the_one_before_ran_as_long(site: Site) -> None:
    site.collector.answer = lambda _asked: Reply(200, body=content("2.0"))
    site.versions.keep(Kept(packaged="1.0"))
    why = "the collector did not hear it within 600 s"
    assert run_silently(site, Trial("2.0", "o1")).failed == Failed("2.0", "o1", why, again=True)
    assert site.said == ("", "", "")  # nobody is told that it failed
    site.hear(ORDER)
    assert site.said == ("o1", "waiting", f"2.0: {why}; it is tried once more")
    site.after(1199)
    assert site.collector.pushes == []
    site.after(1)  # upgrade.trial, and upgrade.spread
    trial = site.versions.read().trial
    assert trial == Trial("2.0", "o1", again=True)
    assert run_silently(site, trial).failed == Failed("2.0", "o1", f"{why}, twice")
    assert site.said == ("o1", "failed", f"2.0: {why}, twice")
    site.hear(ORDER)
    site.after(100_000)
    assert site.versions.read().trial is None


def test_one_that_nobody_heard_is_not_tried_again_when_the_order_is_taken_back(site: Site) -> None:
    site.versions.keep(Kept(packaged="1.0"))
    run_silently(site, Trial("2.0", "o1"))
    site.hear(ORDER)
    site.hear(None)
    site.after(100_000)
    assert (site.collector.pushes, site.said) == ([], ("", "", ""))
    site.collector.answer = lambda _asked: Reply(200, body=content("2.0"))
    assert site.hear(Order("o2", "2.0")) == 600
    site.after(600)
    assert site.versions.read().trial == Trial("2.0", "o2")


def test_starts_count_no_more_after_as_long_as_a_trial(site: Site) -> None:
    site.version = "2.0"
    site.versions.keep(Kept(packaged="1.0", good="2.0", starts=4))
    site.settings = UpgradeSettings(keys=(PUBLIC,), trial=Seconds(100))
    site.begin()
    assert site.upgrades.step() == 100
    site.after(101)
    assert site.versions.read().starts == 0
