"""Refusals that people read on pages: a text of the catalogue with its places; elsewhere English."""

from __future__ import annotations

from collections.abc import Mapping

from collector.registry import RegistryError
from config.words import Language, translate


class Refused(RegistryError):
    """What cannot be; ``text`` is of the catalogue."""

    def __init__(self, text: str, **places: object) -> None:
        super().__init__(text.format(**places) if places else text)
        self.text = text
        self.places = places


def worded(error: Exception) -> tuple[str, Mapping[str, object]]:
    """The text of the catalogue and what stands in its places; of another error what it says."""
    return (error.text, error.places) if isinstance(error, Refused) else (str(error), {})


def in_words(error: Exception, language: Language) -> str:
    """What an error says, in the reader's language."""
    text, places = worded(error)
    return translate(text, language, **places)
