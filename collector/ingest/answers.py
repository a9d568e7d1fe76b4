"""InfluxDB's answers in JSON: {"code", "message"}. Source: InfluxDB v2 API reference, «Error»."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Answer(Exception):
    """A refusal: HTTP status, InfluxDB's code for it, the reason in one line, and when to try again."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        retry_after_seconds: float | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.line = line

    def response(self) -> Response:
        """The answer as it is sent. ``error`` is the name that clients of 1.x read."""
        body: dict[str, str | int] = {"code": self.code, "message": self.message, "error": self.message}
        if self.line is not None:
            body["line"] = self.line
        headers = {"X-Platform-Error-Code": self.code}
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_seconds)))
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Token realm="xiaotong"'
        if self.status in {408, 413}:
            headers["Connection"] = "close"
        return JSONResponse(body, self.status, headers)


async def answer_refusal(_: Request, refusal: Exception) -> Response:
    """The exception handler for Answer."""
    assert isinstance(refusal, Answer)
    return refusal.response()
