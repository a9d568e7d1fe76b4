"""Links without offloads, and what is done to them: rates, losses, MTU, up and down; counted on the wire.

A line is the cable from the gateway's port to the carrier's access node. All is set at the access node:
down is what leaves by its ``port``, up what comes in there and leaves by its ``core``.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import msgspec

from tests.lab.netns import Lab, LabError, Namespace, run
from tests.lab.relay import CABLE, Cable

OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation", "tx-gso-list")
ETHERNET_HEADER_BYTES = 14
LOSS_SCALE = 10_000_000
RELAY = Path(__file__).with_name("relay.py")
RELAY_QUEUE_FRAMES = 20_000
"""What waits for the relay to read: no frame is lost because its program had to wait for 30 ms."""
_RELAY_READY_SECONDS = 10.0


class WireCount(msgspec.Struct, frozen=True):
    """One direction of a line as nftables counted it at the access node, and as the gateway's port did."""

    seen: int
    dropped: int
    oversize: int


class WireReport(msgspec.Struct, frozen=True):
    """What ``verify_wire`` found of one direction; ``problems`` is empty when the wire is what was set."""

    line: str
    direction: str
    set_loss: float
    seen: int
    dropped: int
    problems: tuple[str, ...]


def cable(near: tuple[Namespace, str], far: tuple[Namespace, str], mtu: int) -> None:
    """A veth pair between two namespaces, both ends up, without offloads."""
    run(["ip", "link", "add", "name", near[1], "netns", near[0].name, "mtu", str(mtu),
         "type", "veth", "peer", "name", far[1], "netns", far[0].name, "mtu", str(mtu)])  # fmt: skip
    for where, port in (near, far):
        finish_port(where, port, mtu)


def relayed_cable(
    lab: Lab, near: tuple[Namespace, str], far: tuple[Namespace, str], mtu: int, cable: Cable
) -> Path:
    """A cable that a relay carries. Gives the file that says what it does to frames."""
    name = f"relay-{near[0].name}-{near[1]}"
    file = lab.directory / f"{name}.cable"
    file.write_bytes(cable.packed())
    argv = [sys.executable, "-I", "-S", str(RELAY),
            str(near[0].path), near[1], str(far[0].path), far[1], str(file)]  # fmt: skip
    relay = lab.start(near[0], argv, log=name)
    log = lab.directory / f"{name}.log"
    deadline = time.monotonic() + _RELAY_READY_SECONDS
    while b"ready" not in log.read_bytes():
        if relay.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"the relay of {near[0].name} did not start: {log.read_text(errors='replace')}")
        time.sleep(0.01)
    for where, port in (near, far):
        where.ip([f"link set dev {port} txqueuelen {RELAY_QUEUE_FRAMES}"])
        finish_port(where, port, mtu)
    return file


def change_cable(file: Path, **changes: float) -> None:
    """Change some of what a relayed cable does; frames on the way keep what they have."""
    with file.open("r+b") as opened:
        cable = Cable(*CABLE.unpack(opened.read(CABLE.size)))
        opened.seek(0)
        opened.write(cable._replace(**changes).packed())


def finish_port(where: Namespace, port: str, mtu: int) -> None:
    """Offloads off, MTU, up."""
    where.run("ethtool", "-K", port, *(word for offload in OFFLOADS for word in (offload, "off")))
    where.ip([f"link set dev {port} mtu {mtu}", f"link set dev {port} up"])


def set_port_speed(where: Namespace, port: str, bits_per_second: int, connector: str) -> None:
    """What the port says it has negotiated (TAP ports only: a veth always says 10 Gbit/s, copper)."""
    megabits = str(bits_per_second // 1_000_000)
    where.run("ethtool", "-s", port, "speed", megabits, "duplex", "full", "port", connector)


def set_rate(where: Namespace, port: str, bits_per_second: int, queue_seconds: float) -> None:
    """Shape what leaves by ``port`` to a rate at the IP layer: the Ethernet header is taken off by stab."""
    burst = max(4 * 1600, round(bits_per_second / 8 * 0.002))
    where.tc(
        f"qdisc replace dev {port} root stab overhead {-ETHERNET_HEADER_BYTES} linklayer ethernet "
        f"tbf rate {bits_per_second}bit burst {burst} latency {round(queue_seconds * 1e6)}us"
    )


def watch_wire(access: Namespace, mtu: int, loss: float) -> None:
    """Count every packet of a line in each direction, and drop the set share of them."""
    access.nft(
        f"""
table netdev wire {{
  counter up_seen {{}}
  counter up_dropped {{}}
  counter up_oversize {{}}
  counter down_seen {{}}
  counter down_dropped {{}}
  counter down_oversize {{}}
  chain up {{
    type filter hook ingress device "port" priority 0;
    counter name up_seen
    meta length > {mtu} counter name up_oversize
    jump up_loss
  }}
  chain down {{
    type filter hook egress device "port" priority 0;
    counter name down_seen
    meta length > {mtu + ETHERNET_HEADER_BYTES} counter name down_oversize
    jump down_loss
  }}
  chain up_loss {{}}
  chain down_loss {{}}
}}
"""
    )
    set_loss(access, loss)


def set_loss(access: Namespace, loss: float) -> None:
    """Drop this share of the packets of each direction from now on; the counters begin again."""
    lines = []
    for way in ("up", "down"):
        lines.append(f"flush chain netdev wire {way}_loss")
        if loss:
            share = f"numgen random mod {LOSS_SCALE} < {round(loss * LOSS_SCALE)}"
            lines.append(f"add rule netdev wire {way}_loss {share} counter name {way}_dropped drop")
    access.nft("\n".join([*lines, "reset counters table netdev wire"]) + "\n")


def count_wire(access: Namespace) -> dict[str, WireCount]:
    """The counters since the loss was last set: ``{"up": …, "down": …}``."""
    listed = json.loads(access.run("nft", "-j", "list", "counters", "table", "netdev", "wire"))
    packets = {
        entry["counter"]["name"]: int(entry["counter"]["packets"])
        for entry in listed["nftables"]
        if "counter" in entry
    }
    return {
        way: WireCount(packets[f"{way}_seen"], packets[f"{way}_dropped"], packets[f"{way}_oversize"])
        for way in ("up", "down")
    }


def judge_wire(line: str, direction: str, count: WireCount, set_loss_share: float) -> WireReport:
    """Packets at most the MTU, and dropped as many as set: within 4 standard deviations of the binomial."""
    problems = []
    if count.oversize:
        problems.append(f"{count.oversize} of {count.seen} packets are larger than the MTU")
    expected = count.seen * set_loss_share
    allowed = 4 * math.sqrt(expected * (1 - set_loss_share))
    if abs(count.dropped - expected) > allowed:
        problems.append(f"{count.dropped} packets dropped, {expected:.0f} ± {allowed:.0f} expected")
    return WireReport(line, direction, set_loss_share, count.seen, count.dropped, tuple(problems))
