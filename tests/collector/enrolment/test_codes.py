"""Codes: made, typed, used once, run out, guessed, against a real collector."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.credentials import digest_of, new_token
from agent.settings import Secret
from collector.enrolment.codes import ALPHABET, digest_of_code, new_code
from collector.enrolment.guesses import Guesses, bucket_of
from collector.enrolment.settings import EnrolmentSettings
from collector.registry import RegistryError
from tests.agent.clocks import HandClock
from tests.collector.enrolment.county import code_for, enrol, renewed
from tests.collector.running import Running, running, settings_in


@pytest.fixture(scope="module")
def one(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(
        settings_in(
            tmp_path_factory.mktemp("county"), enrolment={"guesses_per_address": 5, "guesses_in_all": 50}
        )
    ) as found:
        yield found


@pytest.fixture
def county(one: Running) -> Running:
    return renewed(one)


def test_a_code_has_over_fifty_bits_and_no_letter_that_looks_like_another() -> None:
    assert len(ALPHABET) ** 12 > 2**58
    assert not set(ALPHABET) & set("01OILU")
    assert len({new_code() for _ in range(100)}) == 100


@pytest.mark.parametrize("typed", ["abcd-2345-EFGH", " ABCD2345EFGH\n", "abcd 2345 efgh", "ABCD-2345-EFGH"])
def test_a_code_is_read_however_it_is_typed(typed: str) -> None:
    assert digest_of_code(typed) == digest_of_code("ABCD-2345-EFGH")


@pytest.mark.parametrize(
    "typed", ["", "ABCD-2345-EFG", "ABCD-2345-EFGHJ", "ABCD-2345-EFG0", "ABCD-2345-EFGÄ"]
)
@pytest.mark.fault(24)
def test_what_is_no_code_opens_nothing(county: Running, typed: str) -> None:
    assert digest_of_code(typed) is None
    assert enrol(county, typed).status == 403


def test_a_code_gives_a_token_that_opens_at_once_and_again_only_for_the_same_token(county: Running) -> None:
    code, token = code_for(county, "s1", "gate"), new_token()
    assert enrol(county, code, digest_of(token)).json == {"agent": "gate", "school": "s1"}
    county.tokens["gate"] = token
    assert (
        county.request("POST", "/api/v1/heartbeat", b"{}", agent="gate").status == 400
    )  # known, and no beat
    again = enrol(county, code, digest_of(token))
    assert (again.status, again.json["agent"]) == (200, "gate")
    other = enrol(county, code)
    assert (other.status, other.json["reason"].split(";")[0]) == (403, "the code was used already")


def test_a_code_that_ran_out_says_so_only_to_who_holds_it(county: Running) -> None:
    code = code_for(county)
    past = datetime.now(UTC) + timedelta(hours=1)
    book = county.rooms.enrolment.invitations
    with pytest.raises(Exception, match="no longer valid"):
        book.open(code, digest_of(new_token()), now=past)
    unknown = enrol(county, new_code())
    assert (unknown.status, unknown.json) == (
        403,
        {"reason": "the code is not known; ask the county for one"},
    )


def test_an_agent_that_is_invited_again_is_enrolled_anew_and_its_old_token_ends(county: Running) -> None:
    county.rooms.registry.revoke("a1")
    token = new_token()
    assert enrol(county, code_for(county, "s1", "a1"), digest_of(token)).status == 200
    assert county.request("GET", "/api/v1/agent/config").status == 401
    county.tokens["a1"] = token
    assert county.request("GET", "/api/v1/agent/config").status == 200


@pytest.mark.fault(4)
def test_nobody_is_invited_to_another_school_by_an_agents_name(county: Running) -> None:
    with pytest.raises(RegistryError, match="agent a1: is of school s1"):
        code_for(county, "s2", "a1")
    with pytest.raises(RegistryError, match="is not"):
        code_for(county, "s1", "../x")
    with pytest.raises(RegistryError, match="school nowhere: is not known"):
        code_for(county, "nowhere")


def test_a_hostile_body_is_refused_in_one_line(county: Running) -> None:
    for body, status in (
        (b"", 400),
        (b"[]", 400),
        (b'{"code": 1, "token_digest": ""}', 400),
        (b'{"code": "ABCD-2345-EFGH", "token_digest": "x"}', 400),
        (b"{" + b" " * 3000, 413),
    ):
        answer = county.request("POST", "/api/v1/enrol", body, agent=None)
        assert answer.status == status
        assert "\n" not in answer.json["reason"]


@pytest.mark.fault(24)
def test_a_token_in_use_cannot_be_claimed_by_its_hash(county: Running) -> None:
    stolen = digest_of(Secret(county.tokens["b1"]))
    assert enrol(county, code_for(county), stolen).status == 403


@pytest.mark.fault(24)
def test_who_guesses_waits_and_others_are_not_disturbed(county: Running) -> None:
    guesses = [enrol(county, new_code(), source="127.0.0.9").status for _ in range(60)]
    assert guesses.count(403) <= 6
    assert guesses[-1] == 429
    waited = enrol(county, code_for(county), source="127.0.0.9")
    assert waited.status == 429
    assert int(waited.headers["retry-after"]) >= 1
    assert enrol(county, code_for(county), source="127.0.0.1").status == 200


def test_a_crowd_of_guessers_makes_only_guessers_wait() -> None:
    clock = HandClock()
    guesses = Guesses(EnrolmentSettings(), clock)
    for number in range(100):
        guesses.wrong(f"192.0.2.{number}")
    assert guesses.wait_seconds("192.0.2.7") > 0
    assert guesses.wait_seconds("198.51.100.1") == 0
    clock.pass_seconds(61)
    assert guesses.wait_seconds("192.0.2.7") == 0


def test_addresses_of_one_customer_count_as_one_and_are_not_remembered_for_ever() -> None:
    assert bucket_of("2001:db8:1:2:3::1") == bucket_of("2001:db8:1:2:ffff::9") != bucket_of("2001:db8:1:3::1")
    assert bucket_of("::ffff:192.0.2.1") == "192.0.2.1"
    guesses = Guesses(EnrolmentSettings(addresses_remembered=10, guesses_per_address=1), HandClock())
    for number in range(200):
        guesses.wrong(f"2001:db8:{number:x}::1")
    assert len(guesses._spent) == 10
