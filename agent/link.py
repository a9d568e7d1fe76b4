"""One kept-alive connection to the collector: requests in, answers out, a time limit on everything."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.settings import Secret

MAX_ANSWER_BYTES = 64 * 1024


class LinkError(Exception):
    """The collector could not be asked; one line, without secrets."""


class Answer(msgspec.Struct, frozen=True):
    """What the collector said. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after_seconds(self) -> float | None:
        """The pause it asks for; None when it asks for none in whole seconds (RFC 9110, 10.2.3)."""
        text = self.headers.get("retry-after", "").strip()
        return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class Link:
    """A connection that is opened when needed. For one thread; ``close`` may come from any."""

    def __init__(self, url: str, token: Secret, timeout_seconds: float, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._authorization = Secret(f"Token {token}")
        self._timeout = timeout_seconds
        self._ca_file = ca_file
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request and read the answer within the time-out. Raises LinkError.

        A connection that the other side closed meanwhile is opened once more: what we send may arrive twice.
        """
        reused = self._connection is not None
        try:
            return self._exchange(path, body, headers)
        except (ConnectionError, http.client.BadStatusLine) as error:
            self.close()
            if not reused:
                raise LinkError(_told(error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise LinkError(_told(error)) from None
        try:
            return self._exchange(path, body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise LinkError(_told(error)) from None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._opened()
        connection = self._connection
        with _limited(connection, self._timeout):
            connection.request(
                "POST", self._prefix + path, body, {"Authorization": self._authorization, **headers}
            )
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
        if not response.isclosed() or response.will_close:
            self.close()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, content)

    def _opened(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)


@contextmanager
def _limited(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Cut a connection whose exchange takes longer in all: a socket's time-out restarts at each byte."""
    cut = threading.Event()

    def shut() -> None:
        cut.set()
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(2)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if cut.is_set():
            raise TimeoutError(f"no whole answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
