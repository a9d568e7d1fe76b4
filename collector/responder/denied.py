"""Why there is no ticket."""

from __future__ import annotations


class Denied(Exception):
    """No ticket: ``status`` 409 (never so), 429 or 503 (ask again after ``retry_after_seconds``)."""

    def __init__(self, status: int, reason: str, retry_after_seconds: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
