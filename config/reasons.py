"""The words of the judge's codes: why a verdict is what it is, and what would settle an unknown one.

A name in braces is a value of the reason. «between» knows one end or both, and has words for each case.
"""

from __future__ import annotations

from config.words import message

RATES = frozenset({"lower", "upper", "threshold", "needed", "contracted", "rate"})
"""Values that are rates in bit/s."""
PHRASES = frozenset({"places", "value"})
"""Values that are words of ours, with commas between them."""

REASONS: dict[str, str] = {
    "reaches": message("At least {lower} is shown; it counts from {threshold} on."),
    "falls_short": message("At most {upper} is possible; it counts from {threshold} on."),
    "between": message("Known so far: between {lower} and {upper}; it counts from {threshold} on."),
    "between_lower": message("Known so far: at least {lower}; it counts from {threshold} on."),
    "between_upper": message("Known so far: at most {upper}; it counts from {threshold} on."),
    "no_evidence": message("Nothing has been measured yet."),
    "contradiction": message("Measurements of the same time contradict each other."),
    "no_line_declared": message("No line is declared."),
    "one_line_declared": message("Only one line is declared."),
    "classes_unknown": message("The number of classes is not declared; each needs {rate}."),
    "no_trunk_port_declared": message("No trunk port of the campus backbone is declared."),
    "no_switch_declared": message("No switch that serves terminals is declared."),
    "ports_unseen": message("{ports} ports were not seen."),
    "terminals_tested": message(
        "{reached} of {tests} browsers' tests reached {threshold}; they show their own terminal only."
    ),
    "two_networks": message("{first} and {second} are up at once, by different next hops."),
    "same_next_hop": message("Both lines leave by the same next hop, {next_hop}."),
    "not_fibre": message("Line {line} is not on fibre."),
    "uplinks_unseen": message(
        "It is not known of both lines whether they are up, on fibre, and by which hop."
    ),
    "access_points": message("{online} of {installed} access points are online."),
    "no_controller_seen": message("No wireless controller that is declared was seen."),
    "no_wired_port_seen": message("No wired port was seen."),
    "wired_ports": message("{ports} wired ports are in use."),
    "no_survey": message("There is no survey of what the network covers."),
    "survey_lacks": message("The survey of {declared_on} ({declared_by}) does not show: {places}."),
    "ipv6_level": message("IPv6 is at least at level {at_least}, at most at {at_most}; asked is {asked}."),
    "ipv6_checks_failed": message("IPv6 checks that fail: {checks}."),
    "ipv6_checks_unknown": message("IPv6 checks that are not known: {checks}."),
    "only_declared": message("Can only be declared: {value}, said by {declared_by} on {declared_on}."),
    "not_declared": message("Can only be declared, and nobody has."),
    "judge_failed": message("Judging failed; the log of the collector says why."),
    "tolerance": message(
        "{needed} counts as reached from {percent} % of it on, {threshold} at the IP layer."
    ),
    "classes": message("{classes} classes, {rate} each."),
    "contract_below_target": message("The contracts come to {contracted}, below the {needed} needed."),
    "verify_failed_once": message("One verify test of line {line} failed; it takes two at different times."),
    "expired": message("{items} measurements are too old to count."),
    "shared_exit": message("Measured to the county's shared exit."),
    "uplink_down": message("Line {line} is down."),
    "fibre_declared": message("That line {line} is on fibre is declared, not seen."),
    "survey": message("Survey of {declared_on} by {declared_by}."),
}

SETTLES: dict[str, str] = {
    "verify": message("a verify test of the line"),
    "search": message("a capacity test of the line"),
    "read_port_speed": message("reading the speed of the port"),
    "observe_uplinks": message("seeing both uplinks up at once"),
    "poll_switches": message("polling the switches by SNMP"),
    "poll_controller": message("polling the wireless controller by SNMP"),
    "check_ipv6": message("the IPv6 readiness checks"),
    "declare_classes": message("declaring the number of classes"),
    "declare_lines": message("declaring the lines"),
    "declare_trunk_ports": message("declaring the trunk ports"),
    "declare_switches": message("declaring the switches"),
    "declare_survey": message("declaring a survey of the coverage"),
    "declare_fact": message("declaring it, with a date and a name"),
}

DECLARED: dict[str, str] = {
    "contracted_rate": message("contracted rate"),
    "coverage_survey": message("survey of the coverage"),
    "network_standard_a": message("network standard A"),
    "real_name_login": message("login by real name"),
    "security_equipment": message("network security equipment"),
    "pilot_5g": message("5G pilot"),
}

SENTENCES = (
    message("the path left by no declared line"),
    message("the line's own counter moved by less than 90 % of the bytes"),
    message("the line is not declared"),
    message("the responder does not lie beyond this line"),
    message("the peak spans less than 10 s or 3 refreshes of the counter"),
    message("something other than the line limited the test"),
    message("yes"),
    message("no"),
    message("teaching"),
    message("office"),
    message("indoors"),
    message("outdoors"),
    message("wired teaching"),
    message("wired office"),
    message("wired indoors"),
    message("wired outdoors"),
    message("wireless teaching"),
    message("wireless office"),
    message("wireless indoors"),
    message("wireless outdoors"),
)
"""What evidence and reasons say in English text, word for word."""
