"""Forms of the pages: read within bounds, and only from our own pages."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from collector.bodies import TooLong, body_of

MAX_BODY_BYTES = 16 * 1024
MAX_FIELDS = 50
TYPE = "application/x-www-form-urlencoded"


class BadForm(Exception):
    """A body that is no form of ours."""


class Form:
    """The fields of a form."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """One field, without space around it; empty when it is not there."""
        return self.secret(name).strip()

    def secret(self, name: str) -> str:
        """One field as it was typed."""
        return self._fields.get(name, [""])[0]

    def firsts(self) -> dict[str, str]:
        """The first value of each field, as it was typed."""
        return {name: values[0] for name, values in self._fields.items()}

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return self._fields.get(name, [])


async def form_of(request: Request, most_bytes: int = MAX_BODY_BYTES) -> Form:
    """The form that a request carries. Raises BadForm for one too long or of another kind."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
        raise BadForm
    try:
        body = await body_of(request, most_bytes)
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (TooLong, TimeoutError, ValueError):
        raise BadForm from None
    if any("\0" in value for values in fields.values() for value in values):
        raise BadForm  # PostgreSQL keeps no such text
    return Form(fields)


def page_after(wanted: str) -> str:
    """Where to go after a login: a page of ours, whatever the address says."""
    if not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or not wanted.isprintable():
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc or "\\" in wanted or len(wanted) > 1000 else wanted
