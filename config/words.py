"""The words people read, in zh-CN and English, from one gettext catalogue; log lines never come here.

The English text is its own key; ``config/locale`` holds its translations. A text may have named places,
``{like_this}``, which are filled after the translation.
"""

from __future__ import annotations

import functools
import gettext
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["zh_CN", "en"]

LOCALE_DIRECTORY = Path(__file__).parent / "locale"
DOMAIN = "xiaotong"


def message(text: str) -> str:
    """Mark a text for the catalogue where it is declared and translated only when shown."""
    return text


@functools.cache
def catalogue(language: Language) -> gettext.NullTranslations:
    """The catalogue of a language; English is its own. Raises FileNotFoundError where none is shipped."""
    if language == "en":
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, LOCALE_DIRECTORY, languages=[language])


def translate(text: str, language: Language, **places: object) -> str:
    """``text`` in ``language``, its named places filled. A text that has no translation stays English."""
    translated = catalogue(language).gettext(text) if text else ""
    return translated.format(**places) if places else translated


def html_language(language: Language) -> str:
    """The BCP 47 tag: «zh-CN»."""
    return language.replace("_", "-")


def language_of(wishes: str) -> Language:
    """The language for a locale («zh_CN.UTF-8», «C») or an Accept-Language text («en;q=0.5, zh-CN»).

    The wish with the highest weight that we speak wins; without any it is Chinese, as the county's staff is.
    Source: RFC 9110 12.5.4 and 12.4.2.
    """
    ranked = sorted(map(_weight_and_language, wishes.split(",")), key=lambda wish: -wish[0])
    return next((language for weight, language in ranked if weight > 0 and language), "zh_CN")


def language_of_environment(environment: Mapping[str, str]) -> Language:
    """The language that a terminal's environment asks for, in gettext's order of variables."""
    names = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    first = next((environment[name] for name in names if environment.get(name)), "")
    return language_of(first.replace(":", ","))


def _weight_and_language(wish: str) -> tuple[float, Language | None]:
    tag, _, parameter = wish.strip().partition(";")
    return _weight(parameter), _spoken(tag.strip().lower())


def _weight(parameter: str) -> float:
    key, _, value = parameter.strip().partition("=")
    if key.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _spoken(tag: str) -> Language | None:
    if tag.startswith("zh"):
        return "zh_CN"
    return "en" if tag in {"c", "posix"} or tag.startswith(("en", "c.")) else None
