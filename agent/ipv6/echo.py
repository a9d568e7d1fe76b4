"""Check 10 as far as one end can see it: echo (ICMPv6 types 128 and 129) to the targets of check 7."""

from __future__ import annotations

import secrets
import select
import time
from collections.abc import Mapping

from agent.network.icmp import EchoSocket, NotPermitted, new_payload
from config.readiness import Finding, failed, unknown

TRIES = 3


def echo_to(targets: Mapping[str, str], timeout_seconds: float) -> dict[str, bool]:
    """Target → whether it answered one of a few echo requests. Raises NotPermitted or OSError."""
    asking = EchoSocket("ipv6")
    try:
        waiting = dict(targets)
        for _ in range(TRIES):
            _one_round(asking, waiting, timeout_seconds / TRIES)
        return {name: name not in waiting for name in targets}
    finally:
        asking.close()


def _one_round(asking: EchoSocket, waiting: dict[str, str], seconds: float) -> None:
    """Ask all that wait; who answers with its own token waits no longer."""
    sent = {}
    for name, address in waiting.items():
        sequence, payload = secrets.randbelow(65536), new_payload()
        if asking.send(address, sequence, payload):
            sent[sequence, payload] = name
    end = time.monotonic() + seconds
    while sent and (left := end - time.monotonic()) > 0:
        if not select.select([asking], [], [], left)[0]:
            return
        reply = asking.receive()
        if reply is not None:
            waiting.pop(sent.pop((reply.sequence, reply.payload), ""), None)


def icmpv6(targets: Mapping[str, str], timeout_seconds: float) -> Finding:
    """Echo lost to every target that TCP reaches fails; echo that passes shows but a part of the check."""
    if not targets:
        return unknown(10, "needs_responder")
    try:
        answered = echo_to(targets, timeout_seconds)
    except NotPermitted:
        return unknown(10, "needs_capability")
    except OSError:
        return unknown(10, "needs_responder")
    if not any(answered.values()):
        return failed(10, "echo_lost", targets=", ".join(sorted(answered)))
    return unknown(10, "echo_only")
