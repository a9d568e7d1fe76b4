"""Network namespaces of one lab: made by name, used through ``ip``, and taken down whatever happens.

Every namespace is called ``xt-<lab>-<what>``. A lab holds a lock on ``/run/xiaotong-lab/<lab>`` for as long
as its process lives, so a later run knows which names belong to nobody any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

RECORDS = Path("/run/xiaotong-lab")
NAMES = Path("/run/netns")
ETC = Path("/etc/netns")
PREFIX = "xt"
_CLONE_NEWNET = 0x40000000
_STOP_SECONDS = 6.0

T = TypeVar("T")


class LabError(Exception):
    """The lab cannot be built or run; the text is one line that says why."""


def run(argv: Sequence[str], stdin: str | None = None) -> str:
    """Run a command of the distribution and give its standard output. Raises LabError with its own words."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    except FileNotFoundError:
        raise LabError(f"{argv[0]}: not installed; the lab needs it") from None
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise LabError(f"«{' '.join(argv)}» ended with {done.returncode}: {words}")
    return done.stdout


class Namespace:
    """One network namespace of a lab."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def path(self) -> Path:
        """The file that stands for the namespace."""
        return NAMES / self.name

    def argv(self, argv: Sequence[str]) -> list[str]:
        """``argv`` as it runs inside; the program dies with the process that started it."""
        return ["ip", "netns", "exec", self.name, "setpriv", "--pdeathsig", "KILL", "--", *argv]

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run one command inside and give its standard output. Raises LabError."""
        return run(self.argv(argv), stdin)

    def ip(self, lines: Iterable[str]) -> None:
        """Carry out many ``ip`` commands in one go."""
        run(["ip", "-n", self.name, "-batch", "-"], "\n".join(lines) + "\n")

    def tc(self, line: str) -> None:
        """Carry out one ``tc`` command inside."""
        run(["tc", "-n", self.name, *line.split()])

    def nft(self, rules: str) -> None:
        """Load nftables rules inside."""
        self.run("nft", "-f", "-", stdin=rules)

    def sysctl(self, *settings: str) -> None:
        """Set kernel settings of this namespace."""
        self.run("sysctl", "-q", "-w", *settings)

    def start(
        self,
        argv: Sequence[str],
        *,
        output: IO[bytes] | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; its output goes to ``output`` (or nowhere)."""
        sink = output if output is not None else subprocess.DEVNULL
        return subprocess.Popen(
            self.argv(argv), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip

    def connect(self, host: str, port: int, timeout_seconds: float) -> socket.socket:
        """A TCP connection made inside this namespace, used from outside. Raises OSError."""
        return self.call(lambda: socket.create_connection((host, port), timeout_seconds))

    def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread that stands inside this namespace."""
        results: list[T] = []
        errors: list[Exception] = []

        def inside() -> None:
            try:
                enter(self.path)
                results.append(work())
            except Exception as error:  # noqa: BLE001 carried to the caller below
                errors.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


def enter(path: Path) -> None:
    """Move the calling thread into the namespace at ``path`` (os.setns came with Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(descriptor)


class Lab:
    """A set of namespaces and programs with one name; a context manager that leaves nothing behind."""

    def __init__(self, identifier: str | None = None) -> None:
        self.id = identifier or secrets.token_hex(2)
        self._programs: list[subprocess.Popen[bytes]] = []
        self._lock: IO[bytes] | None = None
        self._servers = contextlib.ExitStack()
        self.directory = Path()

    def __enter__(self) -> Lab:
        require_namespaces()
        RECORDS.mkdir(mode=0o700, exist_ok=True)
        with _alone():
            _sweep()
            self._lock = _locked(RECORDS / self.id)
        if self._lock is None:
            raise LabError(f"a lab {self.id} is already standing; take another name")
        self.directory = Path(tempfile.mkdtemp(prefix=f"xiaotong-lab-{self.id}-"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_all(self._programs)
        self._servers.close()
        remove_namespaces(self.id)
        shutil.rmtree(self.directory, ignore_errors=True)
        (RECORDS / self.id).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def namespace(self, what: str) -> Namespace:
        """Make the namespace ``xt-<lab>-<what>``, its loopback up, no packet ever leaving by itself."""
        name = f"{PREFIX}-{self.id}-{what}"
        run(["ip", "netns", "add", name])
        return Namespace(name)

    def start(
        self, where: Namespace, argv: Sequence[str], *, log: str, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program that ends with the lab; its output is kept in ``<directory>/<log>.log``."""
        with (self.directory / f"{log}.log").open("ab") as output:
            program = where.start(argv, output=output, environment=environment)
        self._programs.append(program)
        return program

    def serve(self, where: Namespace, open_servers: Callable[[contextlib.ExitStack], T]) -> T:
        """Servers of this process that listen in ``where``: entered on a stack that ends with the lab."""
        return where.call(lambda: open_servers(self._servers))

    def resolver(self, where: Namespace, *servers: str) -> None:
        """Name servers that programs started in ``where`` will use."""
        folder = ETC / where.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text("".join(f"nameserver {server}\n" for server in servers))


def require_namespaces() -> None:
    """Raises LabError, one line, where this machine does not let us make network namespaces."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes network namespaces (ip netns add)")
    probe = f"{PREFIX}-probe-{os.getpid()}"
    try:
        run(["ip", "netns", "add", probe])
    except LabError as error:
        raise LabError(f"this machine does not allow network namespaces: {error}") from None
    run(["ip", "netns", "del", probe])
    if not Path("/dev/net/tun").exists():
        raise LabError("the lab needs /dev/net/tun for delays and port speeds")


def sweep() -> list[str]:
    """Remove what labs left behind whose process is gone. Gives their ids."""
    if not RECORDS.is_dir():
        return []
    with _alone():
        return _sweep()


def _sweep() -> list[str]:
    gone = []
    for record in sorted(RECORDS.glob("*")):
        lock = _locked(record)
        if lock is None:
            continue
        with lock:
            remove_namespaces(record.name)
            for folder in Path(tempfile.gettempdir()).glob(f"xiaotong-lab-{record.name}-*"):
                shutil.rmtree(folder, ignore_errors=True)
            record.unlink(missing_ok=True)
        gone.append(record.name)
    return gone


def remove_namespaces(lab: str) -> None:
    """End what still runs inside the namespaces of ``lab`` and remove them by name."""
    for path in sorted(NAMES.glob(f"{PREFIX}-{lab}-*")):
        for pid in run(["ip", "netns", "pids", path.name]).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run(["ip", "netns", "del", path.name])
        shutil.rmtree(ETC / path.name, ignore_errors=True)


def stop_all(programs: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask every program to end, and end those that do not within a few seconds."""
    for program in programs:
        if program.poll() is None:
            program.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for program in programs:
        try:
            program.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else looks at the records meanwhile: one that is made but not yet locked belongs to somebody."""
    descriptor = os.open(RECORDS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path) -> IO[bytes] | None:
    record = path.open("ab")
    try:
        fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        record.close()
        return None
    return record
