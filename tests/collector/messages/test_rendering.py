"""Messages to the letter: every kind, every change, both languages; names that would be more than names."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from collector.incidents import model
from collector.messages import words
from collector.messages.bodies import ChangeBody, DigestBody, TrialBody, decode, encode
from collector.messages.channels import Letter, one_line, plain_for_robots
from collector.messages.rendering import Reader, duration, incident_letter, letter_of
from config.words import translate
from tests.collector.messages.county import AT, CHINA, EVERY_KIND, SCHOOLS, change, incident
from tests.conftest import Golden

GOLDEN = Path(__file__).parent / "golden"
PHONE_BYTES = 900
"""What a phone shows of a message without a tap for more; the longest of ours stays within it."""


def reader(language: Any = "zh_CN", plain: Any = plain_for_robots, url: str = "https://x.example/") -> Reader:
    return Reader(language, CHINA, plain, {each.id: each for each in SCHOOLS}, url)


def shown(letters: list[Letter]) -> str:
    return "\n\n".join(letter.whole for letter in letters) + "\n"


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_every_kind_reads_as_it_should(language: str, golden: Golden) -> None:
    letters = [
        incident_letter(change("opened", each).key, change("opened", each), reader(language))
        for each in EVERY_KIND
    ]
    assert {each.kind for each in EVERY_KIND} == set(get_args(model.Kind))
    assert max(len(letter.whole.encode()) for letter in letters) <= PHONE_BYTES
    golden(GOLDEN / f"kinds.{language}.txt", shown(letters))


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_every_change_reads_as_it_should(language: str, golden: Golden) -> None:
    over = incident(state="resolved", resolved_at=AT + timedelta(hours=2), carrier_ticket="0071")
    taken = incident(state="acknowledged", acknowledged_by="王老师 @all")
    changes = [
        change("opened"), change("escalated", at=AT + timedelta(minutes=30)),
        change("repeated", at=AT + timedelta(hours=4)), change("acknowledged", taken),
        change("resolved", over, at=AT + timedelta(hours=2, minutes=2)),
    ]  # fmt: skip
    golden(
        GOLDEN / f"changes.{language}.txt",
        shown([incident_letter(each.key, each, reader(language)) for each in changes]),
    )


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_digests_and_merged_letters_read_as_they_should(language: str, golden: Golden) -> None:
    over = incident(9, "school_silent", state="resolved", resolved_at=AT)
    bodies = [("k", "critical", ChangeBody(change("opened", each))) for each in EVERY_KIND * 3]
    day = date(2026, 11, 22)
    letters = [
        letter_of("m", bodies, reader(language)),
        letter_of("d1", [("d1", "info", DigestBody(day))], reader(language)),
        letter_of(
            "d2",
            [("d2", "info", DigestBody(day, tuple(EVERY_KIND), (over,), 31, 12, 2))],
            reader(language),
        ),
        letter_of("t", [("t", "info", TrialBody("group"))], reader(language)),
    ]
    assert letters[0].severity == "critical"
    golden(GOLDEN / f"digests.{language}.txt", shown(letters))


@pytest.mark.fault(17)
def test_a_school_s_name_is_data_in_every_message() -> None:
    of = incident(school_id="s3", subject="line/[x](evil.example)", note="@all {0.__class__}")
    text = incident_letter("k", change("opened", of), reader(url="")).whole
    assert not {"@", "<", ">", "[x]", "http://", "{"} & {*text, "[x]" if "[x]" in text else ""}
    assert "＠all ＜b＞第三＜/b＞ 小学" in text
    as_mail = incident_letter("k", change("opened", of), reader(plain=one_line)).title
    assert as_mail == "【紧急】@all <b>第三</b> 小学：线路中断（线路 [x](evil.example)）"
    assert "\n" not in as_mail


def test_without_a_public_url_there_is_no_link() -> None:
    assert "http" not in incident_letter("k", change(), reader(url="")).whole


def test_machines_get_ids_and_times_as_they_are() -> None:
    facts = incident_letter("k", change("opened", EVERY_KIND[0]), reader("en")).facts
    assert facts["started_at"] == "2026-11-22T06:03:00Z"
    assert facts["resolved_at"] is None
    assert facts["schools"] == ["s1"]
    assert facts["measured"] == {"value": 61_200_000, "unit": "bit/s"}
    assert facts["link"] == "https://x.example/incidents/1"


@pytest.mark.parametrize("body", [ChangeBody(change()), DigestBody(date(2026, 1, 1)), TrialBody("x")])
def test_bodies_survive_the_outbox(body: Any) -> None:
    assert decode(encode(body)) == body


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (7500, "2 h 5 min"),
     (90_000, "1 d 1 h"), (-5, "0 s")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds, reader("en")) == text


def test_every_code_has_words_in_both_languages() -> None:
    pairs: list[tuple[Any, dict[str, str]]] = [
        (model.Kind, words.KINDS), (model.Severity, words.SEVERITIES), (model.What, words.WHATS),
        (model.LikelyCause, words.CAUSES), (model.LookAt, words.LOOKS_AT),
    ]  # fmt: skip
    for codes, known in pairs:
        assert set(get_args(codes)) == set(known)
        for text in known.values():
            assert any("\u4e00" <= letter <= "\u9fff" for letter in translate(text, "zh_CN")) or "{" in text
