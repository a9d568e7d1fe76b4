"""How uptime is judged."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.units import Seconds

Few = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class UptimeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How minutes, outages and silence are judged."""

    minute: Seconds = Seconds(60)
    """Length of a judged minute. A day must hold a whole number of them."""
    down_minutes: Few = 3
    """Minutes in a row that make an outage."""
    up_minutes: Few = 5
    """Minutes in a row that end one."""
    silent_after: Seconds = Seconds(15)
    """A school of which nothing was heard for so long is shown as silent; at least three heartbeats."""
    call_after: Seconds = Seconds(180)
    """Somebody is called for a school that is silent so long."""
    settle: Seconds = Seconds(60)
    """After its own start the collector waits so long for the schools before it calls any silent."""
    restart_grace: Seconds = Seconds(180)
    """How long an announced restart of an agent may take."""
    carrier_schools: Few = 3
    """Schools of one carrier that are down at once make it the carrier's outage."""
    centre_schools: Few = 3
    """Schools of several carriers that lose only the centre at once make it the centre's."""
    together: Seconds = Seconds(120)
    """Outages that begin within so long of each other are at once."""
    off_slack: Seconds = Seconds(600)
    """Power may go so much before and come so much after the hours in which it is expected off."""
    look_from_outside: bool = False
    """Ask the public addresses of silent schools' lines (``lines[].public_address``) by ICMP echo."""
    outside_every: Seconds = Seconds(10)
    """How often each such address is asked."""
    outside_addresses: Few = 64
    """How many addresses are asked at a time, at most."""
