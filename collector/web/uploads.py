"""A file from a form, read within bounds. Source: RFC 7578, as WHATWG HTML encodes it."""

from __future__ import annotations

import re
from typing import NamedTuple

from starlette.requests import Request

from collector.access.forms import BadForm
from collector.bodies import TooLong, body_of

SECONDS = 120.0
"""A spreadsheet over a slow line is whole within so long."""
MOST_BESIDE = 16 * 1024
"""Bytes of a form beside the file."""
_TYPE = re.compile(r"multipart/form-data\s*;\s*boundary=\"?([0-9A-Za-z'()+_,./:=?-]{1,70})\"?", re.IGNORECASE)
_NAMES = re.compile(rb'\bform-data; name="([^"]*)"(?:; filename="([^"]*)")?', re.IGNORECASE)


class Upload(NamedTuple):
    """A form with one file: its fields, the file's name as it was, and what it holds."""

    fields: dict[str, str]
    name: str
    content: bytes


async def upload_of(request: Request, most_bytes: int) -> Upload:
    """The form that a request carries. Raises BadForm, for a file longer than ``most_bytes`` too."""
    found = _TYPE.fullmatch(request.headers.get("content-type", "").strip())
    if found is None:
        raise BadForm
    try:
        body = await body_of(request, most_bytes + MOST_BESIDE, SECONDS)
        return parse(body, found[1].encode("ascii"))
    except (TooLong, TimeoutError, UnicodeDecodeError):
        raise BadForm from None


def parse(body: bytes, boundary: bytes) -> Upload:
    """The parts of a body. Raises BadForm, UnicodeDecodeError."""
    fields: dict[str, str] = {}
    name, content = "", b""
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if not parts or not parts[-1].startswith(b"--"):
        raise BadForm
    for part in parts[:-1]:
        head, end, value = part.partition(b"\r\n\r\n")
        names = _NAMES.search(head)
        if not end or names is None:
            raise BadForm
        if names[2] is None:
            fields[names[1].decode("utf-8")] = value.decode("utf-8")
        else:
            name, content = names[2].decode("utf-8"), value
    if "\0" in name:
        raise BadForm  # PostgreSQL keeps no such text
    return Upload(fields, name, content)
