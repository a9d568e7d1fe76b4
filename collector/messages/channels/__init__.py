"""Ways to people: one file a channel. What all have in common stands here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol

import msgspec


class Failure(Enum):
    """Why a message was not taken, as far as it matters for what is done next."""

    THROTTLED = "throttled"
    """Too many: the channel is left alone for a while."""
    UNREACHABLE = "unreachable"
    """No answer, or its server is ill: tried again."""
    REFUSED = "refused"
    """The channel is set up wrongly, a token or a signature: tried again until somebody mends it."""
    CONTENT = "content"
    """This one message is not taken: others may be."""


class NotDelivered(Exception):
    """A channel did not take a message. The text is one line and holds no secret."""

    def __init__(self, failure: Failure, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.failure = failure
        self.wait_seconds = wait_seconds


class Limit(NamedTuple):
    """At most ``most`` messages within any ``seconds``."""

    most: int
    seconds: float


class Attachment(NamedTuple):
    """A file that goes with a letter."""

    name: str
    media_type: str
    data: bytes


class Letter(msgspec.Struct, frozen=True):
    """A message as it goes over a channel. ``key`` is the same when it is sent again.

    ``text`` is whole by itself, without the title; ``facts`` are for machines. Only e-mail carries
    ``attachments``.
    """

    key: str
    title: str
    text: str
    severity: str = "warning"
    facts: Mapping[str, Any] = {}
    attachments: tuple[Attachment, ...] = ()

    @property
    def whole(self) -> str:
        """Title and text, and the key at the end."""
        return f"{self.title}\n{self.text}\n[{self.key}]"


class Channel(Protocol):
    """One way to people. ``send`` gives nothing when the channel said that it took the letter."""

    limits: tuple[Limit, ...]
    max_bytes: int

    def plain(self, text: str) -> str:
        """A text from elsewhere, like a school's name, without what means something to this channel."""
        ...

    def send(self, letter: Letter) -> None:
        """Deliver. Raises NotDelivered."""
        ...


_ROBOT_MARKS = str.maketrans(
    {
        "@": "＠", "<": "＜", ">": "＞", "&": "＆", "[": "［", "]": "］", "*": "＊", "_": "＿", "`": "｀",
        "#": "＃", "~": "～", "|": "｜", "\\": "＼", "!": "！", "{": "｛", "}": "｝",
    }
)  # fmt: skip
MAX_NAME_CHARACTERS = 80


def one_line(text: str) -> str:
    """A text without line breaks, control characters and what turns the direction of writing; cut if long."""
    kept = "".join(" " if _breaks(each) else each for each in text)
    squeezed = " ".join(kept.split())
    is_long = len(squeezed) > MAX_NAME_CHARACTERS
    return squeezed[: MAX_NAME_CHARACTERS - 1] + "…" if is_long else squeezed


def plain_for_robots(text: str) -> str:
    """A name that mentions nobody, marks nothing up and is no link, whatever the robot makes of text.

    Sources: the robots' own pages: DingTalk (@手机号), WeCom (<@userid>), Feishu (<at user_id="all">).
    """
    return re.sub(r"://|(?<=\w)\.(?=\w{2,})", _without_link, one_line(text).translate(_ROBOT_MARKS))


def _without_link(found: re.Match[str]) -> str:
    return "：//" if found[0] == "://" else "．"


def _breaks(letter: str) -> bool:
    """Control, format (bidi marks, zero width), line and paragraph separators, surrogates, private use."""
    return unicodedata.category(letter) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}


def cut(text: str, max_bytes: int) -> str:
    """``text`` within ``max_bytes`` of UTF-8, never within a character."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max_bytes - 3].decode("utf-8", "ignore") + "…"
