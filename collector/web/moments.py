"""Moments as a browser's form gives them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from collector.web.problems import bad_request


def moment_of(text: str, name: str, zone: tzinfo) -> datetime:
    """What a ``datetime-local`` field says; it has no offset: it is the county's. Raises Problem."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        moment.astimezone(UTC)  # the first and the last day of the calendar may lie beyond it there
    except (ValueError, OverflowError):
        raise bad_request(f"{name}: allowed is like 2027-01-31T22:00") from None
    return moment
