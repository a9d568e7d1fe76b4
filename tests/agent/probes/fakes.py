"""A host made of files, and a run whose time only moves when somebody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from agent.probe import Run

NET_DEV_HEAD = (
    "Inter-|   Receive   |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|...\n"
)


class FakeClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * 10**9

    def wall_ns(self) -> int:
        return self.now_ns + 1_700_000_000 * 10**9

    def monotonic_ns(self) -> int:
        return self.now_ns


class FakeRun(Run):
    """Waiting moves the clock, then calls ``tick`` with the seconds since the start."""

    def __init__(self, clock: FakeClock, window_seconds: float, tick: Callable[[float], None]) -> None:
        self.clock: FakeClock = clock
        super().__init__(
            clock=clock, stop=threading.Event(), deadline_seconds=1e6, window_seconds=window_seconds
        )
        self._tick = tick

    def wait(self, seconds: float) -> bool:
        self.clock.now_ns += max(0, round(seconds * 1e9))
        self._tick((self.clock.now_ns - 1_000 * 10**9) / 1e9)
        return True


class FakeHost:
    """A /proc and a /sys below one directory."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.sys = root / "sys"
        (self.proc / "net/dev_snmp6").mkdir(parents=True)
        (self.sys / "class/net").mkdir(parents=True)

    def net_dev(self, rows: dict[str, tuple[int, int, int, int]]) -> None:
        """Interface → received octets and packets, sent octets and packets."""
        lines = [
            f"{name:>6}: {rx} {rx_packets} 0 0 0 0 0 0 {tx} {tx_packets} 0 0 0 0 0 0\n"
            for name, (rx, rx_packets, tx, tx_packets) in rows.items()
        ]
        (self.proc / "net/dev").write_text(NET_DEV_HEAD + "".join(lines), encoding="ascii")

    def ipv6_octets(self, name: str, octets: int) -> None:
        text = f"ifIndex                         \t2\nIp6InOctets                     \t{octets}\n"
        (self.proc / "net/dev_snmp6" / name).write_text(text, encoding="ascii")

    def pppoe(self, *devices: str) -> None:
        """Sessions over these ports, as the kernel's pppoe.c prints them."""
        rows = "".join(
            f"{n:08X} 00:11:22:33:44:55 {device:>8}\n" for n, device in enumerate(devices, start=1)
        )
        (self.proc / "net/pppoe").write_text(
            "Id       Address              Device\n" + rows, encoding="ascii"
        )

    def ipv4_default(self, *interfaces: str) -> None:
        """Default routes by 172.16.0.1, .2, … in the order given, the first one preferred."""
        text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        rows = [
            f"{name}\t00000000\t{place:02X}0010AC\t0003\t0\t0\t{place}00\t00000000\t0\t0\t0\n"
            for place, name in enumerate(interfaces, start=1)
        ]
        (self.proc / "net/route").write_text(text + "".join(rows), encoding="ascii")

    def interface(
        self,
        name: str,
        *,
        index: int,
        kind: int = 1,
        hardware: bool = False,
        lower: tuple[str, ...] = (),
        **files: str,
    ) -> None:
        """One directory of /sys/class/net with the files given."""
        directory = self.sys / "class/net" / name
        directory.mkdir(exist_ok=True)
        files = {"ifindex": str(index), "type": str(kind), "operstate": "up", **files}
        for file, text in files.items():
            (directory / file).write_text(f"{text}\n", encoding="ascii")
        for below in (["device"] if hardware else []) + [f"lower_{each}" for each in lower]:
            (directory / below).mkdir(exist_ok=True)
