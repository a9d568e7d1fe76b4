"""A browser's test against a real collector: what is counted, what is refused, what cannot be forged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.terminals.codes import code_of
from config.evidence import EvidenceKind
from config.school import School
from tests.collector.running import Running, running, settings_in
from tests.collector.terminals.fake_browser import Browser

LOAD = 2.5


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = {"load": LOAD, "per_address": 1000, "max_bytes": 3 * 10**9, "trusted_proxies": ["127.0.0.9/32"]}
    settings = settings_in(tmp_path_factory.mktemp("county"), terminals=limits)
    with running(settings) as made:
        made.rooms.registry.put_schools([School("s1", name="样例小学", networks=("127.0.0.4/32",))])
        yield made


@pytest.fixture
def code(county: Running) -> str:
    return code_of(county.rooms.registry, "s2")


def closed(county: Running, browser: Browser, test: str) -> dict[str, Any]:
    return browser.result(test)


def test_a_test_is_counted_by_the_collector_and_becomes_evidence(county: Running) -> None:
    browser = Browser(county.port, source="127.0.0.4")
    begun = browser.begin()
    assert (begun["school"], begun["family"], begun["address"]) == ("样例小学", "ipv4", "127.0.0.4")
    came = browser.pull(begun["test"], LOAD)
    sent = browser.push(begun["test"], LOAD)
    found = browser.result(begun["test"], idle=0.002, down=0.010, up=0.050)
    assert found["counted_by"] == "kernel"
    assert 0.9 * came <= found["down_bytes"] <= came + 20_000_000
    assert found["up_bytes"] <= sent
    assert found["down_bits_per_second"] > 100e6
    assert found["up_bits_per_second"] > 100e6
    assert found["latency_grade"] == "B"
    county.settle()
    (kept,) = county.stored("terminal_test").values()
    assert kept["down_ip_bits_per_second"] == found["down_ip_bits_per_second"]
    evidence = county.rooms.verdicts.records.evidence(["s1"])["s1"]
    tests = [each for each in evidence if each.kind is EvidenceKind.TERMINAL_TEST]
    assert {each.direction for each in tests} == {"down", "up"}
    assert not any(each.judges for each in tests)


def test_a_slow_reader_gets_its_own_rate_whatever_it_claims(county: Running, code: str) -> None:
    """What was handed over but never acknowledged is nothing; claims in the result are not even read."""
    browser = Browser(county.port)
    begun = browser.begin(code)
    came = browser.pull(begun["test"], LOAD, streams=1, pause_seconds=0.1)
    status, found, _ = browser.ask(
        "POST", f"/speed/tests/{begun['test']}/result",
        {"idle": 0.001, "down_bits_per_second": 10**12, "down_bytes": 10**15},
    )  # fmt: skip
    assert status == 200
    most = (came + 8_000_000) * 8 / LOAD * 1.5
    assert (found["down_bits_per_second"] or 0) < most
    assert found["up_bits_per_second"] is None


def test_a_test_that_moved_nothing_proves_nothing(county: Running, code: str) -> None:
    before = len(county.stored("terminal_test", "s2"))
    browser = Browser(county.port)
    begun = browser.begin(code)
    found = browser.result(begun["test"], idle=0.001)
    assert found["down_bits_per_second"] is found["up_bits_per_second"] is None
    assert len(county.stored("terminal_test", "s2")) == before


def test_a_result_is_given_once(county: Running, code: str) -> None:
    browser = Browser(county.port)
    begun = browser.begin(code)
    browser.result(begun["test"])
    path = f"/speed/tests/{begun['test']}"
    assert browser.ask("POST", f"{path}/result", {})[0] == 410
    assert browser.ask("GET", f"{path}/down")[0] == 404
    assert browser.ask("GET", f"{path}/ping")[0] == 404


def test_another_address_cannot_use_a_test(county: Running, code: str) -> None:
    browser = Browser(county.port)
    begun = browser.begin(code)
    stranger = Browser(county.port, source="127.0.0.77")
    assert stranger.ask("GET", f"/speed/tests/{begun['test']}/down")[0] == 404
    assert stranger.ask("POST", f"/speed/tests/{begun['test']}/result", {})[0] == 410
    browser.result(begun["test"])


def test_both_directions_at_once_are_refused(county: Running, code: str) -> None:
    browser = Browser(county.port)
    begun = browser.begin(code)
    pulling = threading.Thread(target=browser.pull, args=(begun["test"], 1.0, 1))
    pulling.start()
    deadline = time.monotonic() + 10
    while not next(iter(county.rooms.terminals._running.values())).loads["down"].is_open:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert browser.ask("POST", f"/speed/tests/{begun['test']}/up", {})[0] == 409
    pulling.join()
    browser.result(begun["test"])


def test_one_test_of_a_school_at_a_time(county: Running, code: str) -> None:
    browser, other = Browser(county.port), Browser(county.port, source="127.0.0.8")
    begun = browser.begin(code)
    status, told, headers = other.ask("POST", "/speed/tests", {"code": code})
    assert (status, told["why"]) == (429, "school_busy")
    assert int(headers["retry-after"]) > 0
    browser.result(begun["test"])
    other.result(other.begin(code)["test"])


@pytest.mark.parametrize(
    ("content", "headers", "status", "why"),
    [
        ({}, {}, 403, "no_school"),
        ({"code": "WRNG-CODE"}, {}, 403, "wrong_code"),
        ({"code": 5}, {}, 400, "bad_request"),
        ({}, {"Content-Type": "text/plain"}, 400, "bad_request"),
        ({}, {"Sec-Fetch-Site": "cross-site"}, 400, "bad_request"),
        ({"code": "x" * 5000}, {}, 400, "bad_request"),
    ],
)
def test_refusals_say_why(county: Running, content: Any, headers: Any, status: int, why: str) -> None:
    answered, told, _ = Browser(county.port).ask("POST", "/speed/tests", content, headers)
    assert (answered, told["why"]) == (status, why)


def test_only_a_trusted_proxy_names_the_address(county: Running) -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.4"}
    for source in ("127.0.0.1", "127.0.0.30"):
        told = Browser(county.port, source=source).ask("POST", "/speed/tests", {}, forwarded)[1]
        assert told["why"] == "no_school"
    proxy = Browser(county.port, source="127.0.0.9")
    status, told, _ = proxy.ask("POST", "/speed/tests", {}, forwarded)
    assert (status, told["school"]) == (200, "样例小学")
    proxy.ask("POST", f"/speed/tests/{told['test']}/result", {}, forwarded)


def test_load_is_neither_cached_nor_compressed(county: Running, code: str) -> None:
    browser = Browser(county.port)
    begun = browser.begin(code)
    _, _, headers = browser.ask(
        "GET", f"/speed/tests/{begun['test']}/ping", headers={"Accept-Encoding": "gzip"}
    )
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["content-encoding"] == "identity"
    browser.result(begun["test"])


def test_limits_hold(tmp_path: Path) -> None:
    limits = {"per_address": 2, "code_tries": 3, "max_bytes": 4_000_000, "load": LOAD}
    with running(settings_in(tmp_path, terminals=limits)) as county:
        code = code_of(county.rooms.registry, "s1")
        browser = Browser(county.port)
        begun = browser.begin(code)
        assert browser.pull(begun["test"], 10.0, 2) < 5_000_000
        browser.result(begun["test"])
        browser.result(browser.begin(code)["test"])
        assert browser.ask("POST", "/speed/tests", {"code": code})[1]["why"] == "too_many"
        guesser = Browser(county.port, source="127.0.0.66")
        told = [guesser.ask("POST", "/speed/tests", {"code": f"AAAABBB{n}"})[1]["why"] for n in range(2, 7)]
        assert told == ["wrong_code"] * 3 + ["too_many"] * 2


def test_it_can_be_turned_off_and_a_name_may_be_for_one_family(tmp_path: Path) -> None:
    with running(settings_in(tmp_path, terminals={"enabled": False})) as county:
        assert Browser(county.port).ask("POST", "/speed/tests", {})[1]["why"] == "disabled"
    with running(settings_in(tmp_path, terminals={"ipv6_url": "http://six.example:80"})) as county:
        told = Browser(county.port).ask("POST", "/speed/tests", {}, {"Host": "six.example:80"})[1]
        assert told["why"] == "wrong_family"
        page = Browser(county.port).ask("GET", "/speed?lang=en")[1].decode()
        assert 'href="http://six.example:80/speed"' in page


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_page_is_public_and_knows_the_school(county: Running, language: str) -> None:
    status, page, headers = Browser(county.port, source="127.0.0.4").ask("GET", f"/speed?lang={language}")
    assert status == 200
    assert "样例小学" in page.decode()
    assert "script-src 'self'" in headers["content-security-policy"]
