"""Starts the helper that asks DHCPv6, a process that lives for one question: scapy stays out of the agent."""

from __future__ import annotations

import subprocess

import msgspec

from agent.ipv6.lan import DhcpAnswer
from agent.launcher import interpreter

START_SECONDS = 8.0
"""Loading scapy on a small router takes seconds."""


class Question(msgspec.Struct, frozen=True):
    """One line to the helper's standard input. ``information`` asks a LAN's server for DNS servers (RFC 8415
    18.2.6), ``delegation`` asks the carrier's for a prefix, without taking it (18.2.1).
    """

    kind: str
    interface: str
    seconds: float


class Reply(msgspec.Struct, frozen=True):
    """One line of the helper: addresses or prefixes, or why it could not ask."""

    found: tuple[str, ...] = ()
    servers: int = 0
    error: str = ""


def ask(question: Question) -> Reply:
    """Ask. Never raises: a helper that fails is a reply with an error."""
    try:
        done = subprocess.run(
            interpreter("from agent.ipv6.raw import main; main()"),
            input=msgspec.json.encode(question) + b"\n",
            capture_output=True,
            timeout=question.seconds + START_SECONDS,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=Reply)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        return Reply(error=f"the helper failed: {type(error).__name__}")


def ask_dhcp(interface: str, seconds: float) -> DhcpAnswer:
    """The DNS servers that DHCPv6 gives on a LAN."""
    reply = ask(Question("information", interface, seconds))
    return DhcpAnswer(servers=reply.found, why_not=reply.error)


def ask_delegation(interface: str, seconds: float) -> Reply:
    """The prefixes that a carrier's DHCPv6 server offers on a line; none is taken."""
    return ask(Question("delegation", interface, seconds))
