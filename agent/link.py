"""One kept-alive connection to the collector: requests in, answers out, a time limit on everything."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.network.names import Names
from agent.settings import Secret

MAX_ANSWER_BYTES = 64 * 1024
_FAILURES = (OSError, http.client.HTTPException, ValueError)
_CLOSED_MEANWHILE = (ConnectionError, http.client.BadStatusLine)


class LinkError(Exception):
    """The collector could not be asked; one line, without secrets. ``may_have_come``: it may have been asked,
    and only its answer did not come.
    """

    def __init__(self, why: str, *, may_have_come: bool = False) -> None:
        super().__init__(why)
        self.may_have_come = may_have_come


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

    def __init__(
        self,
        url: str,
        token: Secret | Callable[[], Secret] | None,
        timeout_seconds: float,
        ca_file: Path | None = None,
        names: Names | None = None,
        *,
        verify: bool = True,
    ) -> None:
        """``token`` may be a function that gives the one of the moment; None sends no authorization.

        ``verify`` False believes whoever answers: only for what is checked by its hash.
        """
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._token = token
        self._timeout = timeout_seconds
        self._ca_file = ca_file
        self._verify = verify
        self._names = names or Names()
        self._trust: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request and read the answer within the time-out. Raises LinkError.

        A connection that the other side closed meanwhile is opened once more: what we send may arrive twice.
        """
        return self._asked("POST", path, body, headers)

    def get(self, path: str, headers: Mapping[str, str], max_bytes: int = MAX_ANSWER_BYTES) -> Answer:
        """Ask for something of at most ``max_bytes``; what is longer comes cut. Raises LinkError."""
        return self._asked("GET", path, None, headers, max_bytes)

    @contextmanager
    def reading(
        self, path: str, headers: Mapping[str, str], seconds: float
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer that is read piece by piece, all of it within ``seconds``, on a connection of its own.

        Raises LinkError; OSError when the connection breaks within the block.
        """
        try:
            connection = self._opened()
        except _FAILURES as error:
            raise self._failed(error) from None
        try:
            with _limited(connection, seconds):
                connection.request("GET", self._prefix + path, None, {**self._authorization(), **headers})
                yield connection.getresponse()
        except http.client.HTTPException as error:
            raise self._failed(error) from None
        finally:
            connection.close()

    def _asked(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        reused = self._connection is not None
        try:
            return self._exchange(method, path, body, headers, max_bytes=max_bytes)
        except _FAILURES as error:
            failure = self._failed(error)
            if not (reused and isinstance(error, _CLOSED_MEANWHILE)):
                raise failure from None
        try:
            return self._exchange(method, path, body, headers, max_bytes=max_bytes)
        except _FAILURES as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, max_bytes: int
    ) -> Answer:
        connection = self._connection
        if connection is None:
            connection = self._opened()
            self._connection = connection
        with _limited(connection, self._timeout):
            connection.request(method, self._prefix + path, body, {**self._authorization(), **headers})
            response = connection.getresponse()
            content = response.read(max_bytes)
        if not response.isclosed() or response.will_close:
            self.close()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, content)

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            return {}
        token = self._token() if callable(self._token) else self._token
        return {"Authorization": Secret(f"Token {token}")}

    def _failed(self, error: Exception) -> LinkError:
        """Forget the connection, and what certificates are trusted: the file may be mended meanwhile."""
        was_open = self._connection is not None
        self.close()
        self._trust = None
        return LinkError(_told(error), may_have_come=was_open)

    def _opened(self) -> http.client.HTTPConnection:
        """A connection whose socket is open. http.client would ask a silent name server for minutes."""
        if not self._secure:
            plain = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
            plain.sock = self._connected(plain.port)
            return plain
        trust = self._trust = self._trust or self._trusted()
        secure = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=trust)
        secure.sock = self._connected(secure.port)
        with _limited(secure, self._timeout):
            secure.sock = trust.wrap_socket(secure.sock, server_hostname=self._host)
        return secure

    def _trusted(self) -> ssl.SSLContext:
        if not self._verify:
            return ssl._create_unverified_context()  # noqa: S323
        return ssl.create_default_context(cafile=self._ca_file)

    def _connected(self, port: int) -> socket.socket:
        """The first of the host's addresses that takes a connection, all within the time-out.

        What was known of a name stays good while its name server is silent.
        """
        deadline = time.monotonic() + self._timeout
        self._names.refresh([self._host], self._timeout / 2)
        addresses = list(self._names.addresses(self._host).values())
        failed: OSError = OSError(f"no address of {self._host} is known")
        for number, address in enumerate(addresses):
            share = (deadline - time.monotonic()) / (len(addresses) - number)
            try:
                return _open(address, port, max(0.1, share), self._timeout)
            except OSError as error:
                failed = error
        raise failed


def _open(address: str, port: int, connect_seconds: float, timeout_seconds: float) -> socket.socket:
    opened = socket.create_connection((address, port), connect_seconds)
    opened.settimeout(timeout_seconds)
    with suppress(OSError):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


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
    """What went wrong, in one line; a certificate's fault without OpenSSL's place in its own source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the collector's certificate is refused: {' '.join(error.verify_message.split())}"[:200]
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
