"""What messages say, marked for the catalogue: the words of an incident's codes."""

from __future__ import annotations

from config.words import message

KINDS = {
    "below_target": message("below target"),
    "line_down": message("line down"),
    "school_silent": message("school silent"),
    "one_line_left": message("only one line left"),
    "ipv6_fell": message("IPv6 fell back"),
    "rogue_router": message("rogue router in the network"),
    "latency_under_load": message("latency under load"),
    "port_slower": message("port slower than before"),
    "clock_off": message("agent's clock is off"),
    "certificate_ends": message("certificate ends soon"),
    "data_gap": message("no data"),
    "carrier_down": message("carrier's outage"),
    "centre_down": message("the centre's own network is down"),
    "many_at_once": message("many schools at once"),
}
SEVERITIES = {
    "info": message("note"),
    "warning": message("warning"),
    "critical": message("critical"),
}
MANY = KINDS | {"unreached": message("line down or school silent")}
"""What many schools may have at once: a kind of incident, or any in which they are not reached."""
WHATS = {
    "opened": message("[{severity}]"),
    "escalated": message("[{severity}, nobody has taken it]"),
    "repeated": message("[{severity}, still open]"),
    "acknowledged": message("[taken]"),
    "resolved": message("[over]"),
    "children_changed": message("[{severity}]"),
    "noted": message("[{severity}]"),
    "accepted": message("[{severity}]"),
}
SUBJECTS = {
    "line": message("line {name}"),
    "agent": message("agent {name}"),
    "port": message("port {name}"),
    "service": message("service {name}"),
    "router": message("router {name}"),
    "target": "{name}",
    "carrier": message("carrier {name}"),
    "many": "{name}",
}
CAUSES = {
    "power": message("power at the school"),
    "agent": message("the agent itself, the network may be well"),
    "lan": message("the school's own network"),
    "line": message("the line or its modem"),
    "carrier": message("the carrier"),
    "centre": message("the centre's own network"),
    "capacity": message("too little capacity"),
    "port": message("the port or its cable"),
    "configuration": message("a setting"),
    "clock": message("the agent's clock"),
    "certificate": message("a certificate that nobody renewed"),
    "device": message("a device that somebody plugged in"),
    "unknown": message("not known yet"),
}
LOOKS_AT = {
    "capacity_test": message("run a capacity test outside lessons, then ask the carrier"),
    "port_speed": message("the port's setting and cable, then whether the line needs a faster port"),
    "line_and_modem": message("lights of the modem, the cable, then call the carrier"),
    "power_and_gateway": message("ask the school whether it has power and the gateway is on, then the line"),
    "other_line": message("get the dead line repaired, before the last one fails too"),
    "ipv6_checks": message("the school's IPv6 page: the first check that fails"),
    "rogue_device": message("find the port of that MAC address in the switches and unplug the device"),
    "queue_of_gateway": message("queue settings of the gateway, and who fills the line"),
    "cable_and_port": message("the cable and the port, whether it negotiates its old speed again"),
    "time_service": message("whether the gateway reaches a time server (NTP)"),
    "certificate": message("renew the certificate"),
    "agent_spool": message("whether the agent runs, reaches the collector and has room on its disk"),
    "carrier_hotline": message("the carrier's hotline: several schools of it are down"),
    "centre_network": message("the centre's own uplink and power"),
    "what_is_common": message("what these schools have in common"),
}
SOURCES = {
    "verdict": message("{measurement}, verdict {number}"),
    "outage": message("no ping was answered, outage {number}"),
    "presence": message("the last heartbeat"),
    "point": "{measurement}",
    "children": message("the schools' own incidents"),
}
POINTS = {
    "": message("the last data"),
    "ping": message("no ping was answered"),
    "interface": message("the port's state"),
    "router_advertisement": message("a router advertisement on the LAN"),
    "capacity": message("capacity test"),
    "service": message("a check of the service"),
    "ipv6_site": message("a check of the site"),
    "ipv6_readiness": message("the IPv6 checks"),
}
"""What a measured point is to people, by its measurement."""
VALUES = {
    "routers": message("routers"),
    "mac": message("MAC address"),
    "prefix": message("prefix"),
    "router": message("router"),
    "switch_port": message("switch port"),
    "address": message("address"),
    "interface": message("interface"),
    "direction": message("direction"),
    "service": message("service"),
    "failed": message("failed checks"),
}
"""Further facts that are worth a place on a phone; others are on the page."""

SINCE = message("Since {when} ({how_long}).")
FROM_TO = message("From {when} to {until}, {how_long}.")
SCHOOLS = message("Schools ({count}): {names}")
AND_MORE = message("{names} and {count} more")
MEASURED = message("Measured {measured}, needed {target}.")
LEFT = message("{measured} left.")
MEASURED_ALONE = message("Measured at most {measured}.")
TARGET_ALONE = message("Needed {target}.")
AT_BEST = message("Measured at most {measured}, needed {target}.")
BEFORE = message("Now {measured}, before {target}.")
OFF = message("Off by {measured}, allowed {target}.")
ADDED = message("{measured} of delay added under load, allowed {target}.")
ENDED = message("It ended {how_long} ago.")
DEADLINE = message("{target}, by {deadline}")
QUOTE = message("The plan «{title}» says: {quote}")
LINES = message("Lines: {lines}")
NO_LINK = message("Its port has no link.")
STILL_UP = message("Still up: {lines}.")
ONE_LEFT = message("Down: {down}. Left: {left}.")
GATEWAY = {
    1: message("Its gateway answers the centre's ping."),
    0: message("Its gateway does not answer the centre's ping."),
}
EVIDENCE = message("Evidence: {source}, {when}.")
CAUSE = message("Likely cause: {cause}.")
FIRST = message("Look first: {what}.")
FLAPPING = message("It comes and goes.")
DOUBT = message("Nothing is known of it now: this is how it was last known.")
BLIND = message("How the schools are is not known until it is back; they are not told of one by one.")
TICKET = message("The carrier's ticket: {ticket}.")
ACCEPTED_BY = message("{who} has accepted it as it is now: the new normal.")
TAKEN_BY = message("{who} has taken it.")
AGAINST = {
    "below_target": AT_BEST,
    "ipv6_fell": BEFORE,
    "port_slower": BEFORE,
    "latency_under_load": ADDED,
    "clock_off": OFF,
    "certificate_ends": LEFT,
}
"""How measured and target are put to each other."""
NOTE = message("Note: {note}")

MERGED = message("[{count} messages in one]")
MERGED_REST = message("… and {count} more.")
DIGEST = message("[Digest] {day}")
DIGEST_WELL = message("All is well: nothing is open.")
DIGEST_OPEN = message("Open: {count}")
DIGEST_RESOLVED = message("Over within a day: {count}")
DIGEST_UNKNOWN = message("Unknown: {targets} targets of {schools} schools.")
DIGEST_NONE_UNKNOWN = message("Nothing is unknown.")
DIGEST_UNDELIVERED = message("Messages that could not be delivered: {count}.")
TRIAL = message("[Test] xiaotong reaches you")
TRIAL_TEXT = message("This is a test of the channel {channel}. Nothing is wrong.")

DURATIONS = (
    (86400, 3600, message("{n} d"), message("{n} h")),
    (3600, 60, message("{n} h"), message("{n} min")),
    (60, 60, message("{n} min"), ""),
    (1, 1, message("{n} s"), ""),
)
UNITS = {
    "s": message("{n} s"),
    "ms": message("{n} ms"),
    "d": message("{n} d"),
    "level": message("level {n}"),
    "": "{n}",
}

STATES = {
    "waiting": message("waiting"),
    "sending": message("being sent"),
    "sent": message("sent"),
    "given_up": message("given up"),
    "dropped": message("dropped"),
}
