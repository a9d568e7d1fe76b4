"""Moments as a browser's form gives them."""

from __future__ import annotations

from datetime import datetime, tzinfo

from collector.web.problems import bad_request


def moment_of(text: str, name: str, zone: tzinfo) -> datetime:
    """What a ``datetime-local`` field says; it has no offset: it is the county's. Raises Problem."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(f"{name}: allowed is like 2027-01-31T22:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
