"""The one pattern of every id that people choose: of schools, agents, lines and targets."""

from __future__ import annotations

import re

MAX_ID_CHARACTERS = 64
ALLOWED = f"1 to {MAX_ID_CHARACTERS} of a-z A-Z 0-9 _ - . beginning with a letter or digit"

_PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_ID_CHARACTERS - 1}}}", re.ASCII)


def is_id(text: str) -> bool:
    """True for text that may be an id: no separator of paths, no space, no control character."""
    return _PATTERN.fullmatch(text) is not None
