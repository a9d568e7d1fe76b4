"""The catalogue: complete, compiled, and the language that people asked for."""

from __future__ import annotations

import re

import pytest

from config.evidence import EvidenceKind
from config.present import EVIDENCE_KINDS, LOOKS
from config.verdict import Answer
from config.words import Language, html_language, language_of, language_of_environment, translate
from tests import words


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        ("zh_CN.UTF-8", "zh_CN"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh_CN"),
        ("zh-TW", "zh_CN"),
        ("en_GB.UTF-8", "en"),
        ("en-US,en;q=0.9", "en"),
        ("en;q=0.5, zh;q=0.6", "zh_CN"),
        ("fr, en;q=0.3", "en"),
        ("zh;q=0, en;q=0.1", "en"),
        ("en;q=0", "zh_CN"),
        ("en;q=nonsense", "zh_CN"),
        ("C", "en"),
        ("C.UTF-8", "en"),
        ("POSIX", "en"),
        ("*", "zh_CN"),
        ("fr", "zh_CN"),
        ("", "zh_CN"),
        (",;;=,q", "zh_CN"),
    ],
)
def test_the_language_is_the_best_wish_that_we_speak(wishes: str, language: Language) -> None:
    assert language_of(wishes) == language


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANGUAGE": "fr:en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "C.UTF-8"}, "en"),
        ({}, "zh_CN"),
    ],
)
def test_a_terminal_says_its_language(environment: dict[str, str], language: Language) -> None:
    assert language_of_environment(environment) == language


def test_every_text_that_the_sources_say_is_translated_and_nothing_else() -> None:
    held = words.translations()
    assert set(held) == words.said(), "run: make words"
    assert [text for text, translated in held.items() if not translated] == []


def test_the_shipped_catalogue_is_the_compiled_source() -> None:
    held = words.translations()
    assert words.po_text(held) == words.PO.read_text(encoding="utf-8")
    assert words.mo_bytes(held) == words.MO.read_bytes()


def test_a_translation_has_the_places_of_its_text() -> None:
    for english, chinese in words.translations().items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese)), english


def test_every_answer_and_kind_of_evidence_has_words() -> None:
    assert set(LOOKS) == set(Answer)
    assert set(EVIDENCE_KINDS) == set(EvidenceKind)


def test_values_are_never_templates() -> None:
    assert translate("at least {rate}", "en", rate="{evil.__class__}") == "at least {evil.__class__}"


def test_a_text_without_a_translation_stays() -> None:
    assert translate("words that nobody translated", "zh_CN") == "words that nobody translated"
    assert translate("", "zh_CN") == ""


def test_the_page_says_its_language() -> None:
    assert html_language("zh_CN") == "zh-CN"
