"""A strict reader of InfluxDB line protocol, fast on plain lines.

Source: InfluxDB v2 line protocol reference. Stricter than InfluxDB where that protects: no NaN, no
infinity, no
``1_0``, no control characters, no field or tag twice. A string never carries a line break into a second
point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from config.points import INT64_MAX, INT64_MIN, FieldValue

MAX_LINE_CHARACTERS = 64 * 1024
UINT64_MAX = 2**64 - 1
PRECISIONS = {
    "ns": 1, "n": 1, "us": 10**3, "u": 10**3, "µ": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
    "h": 3600 * 10**9,
}  # fmt: skip

_BOOLEANS: dict[str, bool] = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}
_NAME = r"((?:[^,= \\]++|\\[,= ]|\\(?![,= ]))++)"
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_HEAD = re.compile(r" *((?:[^ \\]++|\\[,= ]|\\(?![,= ]))++) +")
_MEASUREMENT = re.compile(r"((?:[^, \\]++|\\[, ]|\\(?![, ]))++)")
_TAG = re.compile(rf",{_NAME}={_NAME}(?=[, ]|\Z)")
_FIELD = re.compile(rf'{_NAME}=({_STRING}|[^,\s"]++)(,|(?= |\Z))', re.DOTALL)
_OPEN_STRING = re.compile(
    rf'{_HEAD.pattern}(?:{_NAME}=(?:{_STRING}|[^,\s"]++),)*+{_NAME}="(?:[^"\\]++|\\.)*+\\?\Z', re.DOTALL
)
_CLOSING = re.compile(r'(?:[^"\\]++|\\.)*+"')
_OPENING = re.compile(rf',(?:{_NAME}=(?:{_STRING}|[^,\s"]++),)*+{_NAME}="(?:[^"\\]++|\\.)*+\\?\Z', re.DOTALL)
_PLAIN_NUMBERS = re.compile(  # short enough that float() and int() cannot leave their range
    r"(?:[^,= \\\"]++=-?(?:[0-9]{1,18}i|[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[-+]?[0-9]{1,2})?)(?:,(?!\Z)|\Z))++"
)
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_PLAIN_BODY = re.compile(r"[\n\x20-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x1f\ud800-\udfff]")  # surrogates stand for bytes that are not UTF-8
_ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")
_ESCAPED_IN_NAME = re.compile(r"\\([,= ])")
_ESCAPED_IN_STRING = re.compile(r'\\(["\\])')


class LineError(ValueError):
    """A line that is not line protocol. The text says why, in one line."""


class Line(NamedTuple):
    """One line, its head (measurement and tags) still as written. ``time`` is in the body's precision."""

    number: int
    head: str
    fields: dict[str, FieldValue]
    time: int | None


class BadLine(NamedTuple):
    """A line that was refused, and why. ``number`` counts from 1."""

    number: int
    text: str
    reason: str


def _none(_number: int, _line: str) -> bool:
    return False


def read_lines(
    text: str, taken: Callable[[int, str], bool] = _none, first: int = 1
) -> Iterator[Line | BadLine]:
    """Read a body line by line; empty lines and comments are passed over, bad ones are told.

    ``taken`` is asked first, with the line's number: True for a line that it has dealt with.
    """
    plain = _PLAIN_BODY.fullmatch(text) is not None
    lines = text.split("\n")
    resume = 0
    for index, raw in enumerate(lines):
        if index < resume or taken(index + first, raw) or not raw or raw[0] == "#" or raw.isspace():
            continue
        try:
            yield _read(index + first, raw.removesuffix("\r"), plain)
        except LineError as error:
            span = _lines_of_open_string(lines, index)
            resume = index + span
            reason = "a string holds a line break" if span > 1 else str(error)
            yield BadLine(index + first, "\n".join(lines[index:resume]), reason)


def parse_head(head: str) -> tuple[str, dict[str, str]]:
    """«cpu,host=a» → («cpu», {«host»: «a»}). Raises LineError."""
    match = _MEASUREMENT.match(head)
    if match is None:
        raise LineError("the measurement is missing")
    measurement = _name(match[1], _ESCAPED_IN_MEASUREMENT, "measurement")
    tags: dict[str, str] = {}
    end = match.end()
    while end < len(head):
        match = _TAG.match(head, end)
        if match is None:
            raise LineError(f"tag expected as key=value at {head[end : end + 20]!r}")
        key = _name(match[1], _ESCAPED_IN_NAME, "tag key")
        if key in tags:
            raise LineError(f"tag {key} is given twice")
        tags[key] = _name(match[2], _ESCAPED_IN_NAME, f"tag {key}")
        end = match.end()
    return measurement, tags


def _lines_of_open_string(lines: list[str], start: int) -> int:
    """How many lines a point spans whose string is not closed on its first line.

    1 when it holds no open string or nothing closes it within MAX_LINE_CHARACTERS: what follows is then read.
    """
    text = lines[start]
    if '"' not in text or not _OPEN_STRING.match(text[:MAX_LINE_CHARACTERS]):
        return 1
    length = len(text)
    for end in range(start + 1, len(lines)):
        length += 1 + len(lines[end])
        if length > MAX_LINE_CHARACTERS:
            return 1
        if '"' in lines[end] and not _leaves_string_open(lines[end]):
            return end - start + 1
    return 1


def _leaves_string_open(line: str) -> bool:
    """Whether a line that begins inside a string ends inside one: inside that, or another that it opens."""
    closing = _CLOSING.match(line)
    return closing is None or _OPENING.match(line, closing.end()) is not None


def _read(number: int, line: str, plain: bool) -> Line:
    if len(line) > MAX_LINE_CHARACTERS:
        raise LineError(f"the line is longer than {MAX_LINE_CHARACTERS} characters")
    if '"' not in line and "\\" not in line:
        parts = line.split(" ")
        if 2 <= len(parts) <= 3 and parts[0] and parts[-1]:
            time = _time(parts[2]) if len(parts) == 3 else None
            return Line(number, parts[0], _plain_fields(parts[1], plain), time)
    return _read_any(number, line)


def _plain_fields(text: str, plain: bool) -> dict[str, FieldValue]:
    """Fields without strings or escapes."""
    items = text.split(",")
    fields: dict[str, FieldValue] = {}
    value_of = _number if _PLAIN_NUMBERS.fullmatch(text) else _value
    for item in items:
        key, _, value = item.partition("=")
        fields[key] = value_of(value)
    if len(fields) != len(items):
        raise LineError("a field is given twice")
    if not plain or "" in fields:
        for key in fields:
            _printable(key, "field key")
    return fields


def _number(text: str) -> FieldValue:
    return int(text[:-1]) if text[-1] == "i" else float(text)


def _read_any(number: int, line: str) -> Line:
    """A line with escapes, strings, or more than one space between its parts."""
    match = _HEAD.match(line)
    if match is None:
        raise LineError("fields are missing")
    head, end = match[1], match.end()
    fields: dict[str, FieldValue] = {}
    more = ","
    while more == ",":
        match = _FIELD.match(line, end)
        if match is None:
            raise LineError(f"field expected as key=value at {line[end : end + 20]!r}")
        key = _name(match[1], _ESCAPED_IN_NAME, "field key")
        if key in fields:
            raise LineError("a field is given twice")
        fields[key] = _value(match[2])
        more, end = match[3], match.end()
    rest = line[end:].strip(" ")
    return Line(number, head, fields, _time(rest) if rest else None)


def _value(text: str) -> FieldValue:
    last = text[-1:]
    if last == '"' and len(text) > 1 and text[0] == '"':
        return _string(text[1:-1])
    if last == "i":
        return _integer(text[:-1], INT64_MIN, INT64_MAX)
    if last == "u":
        return _integer(text[:-1], 0, UINT64_MAX)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value
        raise LineError(f"{text[:40]} is beyond the range of a float")
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    raise LineError(f"{text[:40]!r} is not a value" if text else "a field has no value")


def _integer(digits: str, least: int, greatest: int) -> int:
    if not _INTEGER.fullmatch(digits) or len(digits) > 40:
        raise LineError(f"{digits[:40]!r} is not an integer")
    value = int(digits)
    if not least <= value <= greatest:
        raise LineError(f"{digits} is beyond the range {least} to {greatest}")
    return value


def _string(text: str) -> str:
    if _CONTROL.search(text):
        raise LineError("a string holds a control character")
    return _ESCAPED_IN_STRING.sub(r"\1", text) if "\\" in text else text


def _time(text: str) -> int:
    if not _INTEGER.fullmatch(text) or len(text) > 20:
        raise LineError(f"{text[:40]!r} is not a time")
    return int(text)


def _name(text: str, escapes: re.Pattern[str], what: str) -> str:
    name = escapes.sub(r"\1", text) if "\\" in text else text
    _printable(name, what)
    return name


def _printable(name: str, what: str) -> None:
    if not name:
        raise LineError(f"a {what} is empty")
    if not name.isprintable():
        raise LineError(f"a {what} holds a control character")
    if name.endswith("\\"):
        raise LineError(f"a {what} ends in a backslash")
