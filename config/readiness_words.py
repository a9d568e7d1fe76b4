"""What the readiness checks say to an admin, in zh-CN and English: each code of a finding has its words."""

from __future__ import annotations

import string
from collections.abc import Mapping

import msgspec

from config.points import FieldValue
from config.readiness import BY_NUMBER, Finding, Levels, Result
from config.words import Language, message, translate

RESULTS = {
    Result.PASS: ("✓", message("pass")),
    Result.FAIL: ("✗", message("fail")),
    Result.UNKNOWN: ("?", message("unknown")),
}

FINDINGS: dict[str, str] = {
    "because": message("Unknown because check {check} failed."),
    "not_checked": message("Was not looked at."),
    "not_from_lan": message("An agent in the LAN cannot see this; one on the gateway can."),
    "needs_lan_agent": message("Only an agent in the LAN can see this; the one here stands on the gateway."),
    "needs_capability": message("Needs CAP_NET_RAW, which this process has not."),
    "needs_responder": message("Needs a responder that may send raw ICMPv6; none is set."),
    "wan_address": message("{address} on {interface}, duplicate address detection done."),
    "no_ipv6_in_kernel": message("IPv6 is switched off in this host's kernel."),
    "no_wan": message("No interface of a line is known; declare the line's interface."),
    "no_address": message("{interface} has no IPv6 address: the carrier gives none, or it is not asked for."),
    "not_global": message("{interface} has no global address, only {addresses}."),
    "duplicate": message("Another host uses {address}: duplicate address detection failed on {interface}."),
    "tentative": message("{address} is tentative: duplicate address detection is under way."),
    "route": message("Default route by {interface}; its next hop {next_hop} answers."),
    "no_route": message("There is no IPv6 default route by a line."),
    "next_hop_silent": message("Next hop {next_hop} on {interface} does not answer neighbour discovery."),
    "next_hop_not_asked": message("Next hop {next_hop} on {interface} was not heard of in time."),
    "no_next_hop": message("The default route by {interface} has no next hop to ask (point to point)."),
    "neighbours_unreadable": message("The kernel's neighbour table cannot be read."),
    "prefixes": message("{prefixes}, valid."),
    "no_lan": message("No LAN interface is known; name them in the setting lans."),
    "lan_without_prefix": message(
        "{interface} has no global prefix: the carrier delegates none, or the gateway does not use it."
    ),
    "no_delegation": message(
        "{interface} has no global prefix: the carrier's DHCPv6 server on {wan} delegates none; "
        "RFC 8415 18.3.9."
    ),
    "no_delegating_server": message(
        "{interface} has no global prefix, and no DHCPv6 server answers on {wan}: ask the carrier for a "
        "delegated prefix or a static one."
    ),
    "delegation_unused": message(
        "{interface} has no global prefix, although the carrier delegates {prefix} on {wan}: "
        "the gateway does not use it; RFC 7084 WPD-1, L-2."
    ),
    "lan_only_ula": message("{interface} has only unique local addresses ({addresses}): nobody gets out."),
    "prefix_too_long": message(
        "{prefix} on {interface} is longer than a /64: autoconfiguration needs 64 bits."
    ),
    "prefix_deprecated": message("{prefix} on {interface} is deprecated: its preferred lifetime has ended."),
    "advertised": message("{router} on {interface}: {prefix}, router lifetime {lifetime} s."),
    "advertised_no_way_out": message(
        "{router} on {interface} says router lifetime 0, rightly: the WAN has no default route; RFC 7084 G-4."
    ),
    "no_advertisement": message("No router advertisement on {interface} within {seconds} s after asking."),
    "lifetime_zero": message(
        "{router} on {interface}: router lifetime is 0 although the WAN has a default route: "
        "clients get no way out; RFC 7084 G-4, G-5."
    ),
    "lifetime_zero_lan": message(
        "{router} says router lifetime 0; whether the WAN has a default route is not seen from here."
    ),
    "lifetime_without_route": message(
        "{router} on {interface}: router lifetime is {lifetime} s although the WAN has no default route: "
        "clients wait for IPv6 in vain; RFC 7084 G-4."
    ),
    "no_prefix_advertised": message("{router} on {interface} announces no global prefix."),
    "not_on_link": message(
        "{prefix} on {interface} has L = 0: clients send even to neighbours by the router."
    ),
    "not_autonomous": message(
        "{prefix} on {interface} has A = 0 and no DHCPv6 is announced: clients get no address."
    ),
    "managed": message("{router} on {interface}: addresses by DHCPv6 (M = 1), router lifetime {lifetime} s."),
    "prefix_expired": message("{prefix} on {interface} has valid lifetime 0: clients drop the address."),
    "unexpected_router": message("{router} on {interface} is not an expected router; RFC 7084 L-6."),
    "rdnss": message("RDNSS {servers}, lifetime {lifetime} s."),
    "rdnss_short": message(
        "RDNSS lifetime {lifetime} s is below 3 x MaxRtrAdvInterval ({interval} s): "
        "one lost advertisement and clients have no DNS."
    ),
    "rdnss_zero": message("RDNSS has lifetime 0: clients drop the server."),
    "interval_unknown": message(
        "RDNSS lifetime is {lifetime} s; whether that is enough is known once MaxRtrAdvInterval is set."
    ),
    "dhcpv6_dns": message("DHCPv6 gives DNS {servers}."),
    "dhcpv6_silent": message(
        "The advertisement points to DHCPv6 for DNS, but no server answers on {interface}."
    ),
    "no_dns": message("Neither RDNSS nor DHCPv6 gives clients a DNS server on {interface}."),
    "dhcpv6_not_asked": message("DNS may come by DHCPv6, which could not be asked: {why}."),
    "client_address": message("{address} on {interface}, {seconds} s after asking."),
    "no_client_address": message("No global address on {interface} within {seconds} s."),
    "no_targets": message(
        "Fewer than {targets} targets in {networks} networks are set; name them in targets."
    ),
    "reached": message("{answered} of {tries} tries answered, {targets} targets in {networks} networks."),
    "not_reached": message("Only {answered} of {tries} tries answered; silent: {silent}."),
    "no_resolver": message("No resolver with an IPv6 address is known on this host."),
    "no_name": message("No name to ask for is set; name one in dns_name."),
    "resolved": message("{resolver} answers AAAA of {name}: {address}."),
    "no_aaaa": message("{resolver} answers over IPv6, but has no AAAA of {name} ({rcode})."),
    "resolver_silent": message("{resolver} does not answer over IPv6."),
    "path_mtu": message(
        "Packet Too Big comes through: path MTU {mtu}, an exchange of {bytes} bytes completes."
    ),
    "too_big_lost": message(
        "Packet Too Big does not come through: large packets vanish on narrower paths; RFC 4890 4.3.1."
    ),
    "exchange_lost": message("Packet Too Big comes through, but {bytes} bytes in fragments do not complete."),
    "icmpv6_passes": message("Echo both ways and {errors} kinds of errors pass."),
    "errors_lost": message("ICMPv6 errors that do not come through (type/code): {errors}; RFC 4890 4.3.1."),
    "echo_in_lost": message("Echo requests from outside get no reply; RFC 4890 4.3.1."),
    "inbound_open": message("{address} port {port} was reached from outside unasked: the LAN is open."),
    "inbound_closed": message("An unasked connection to {address} stays out, while ICMPv6 errors pass."),
    "far_end_silent": message("The responder did not say what came of its try."),
    "echo_only": message("Echo passes; errors towards here are known only with a responder."),
    "echo_lost": message(
        "No echo reply from {targets}, though TCP reaches them: ICMPv6 is dropped; RFC 4890."
    ),
    "no_dual_target": message("No target has both an IPv4 and an IPv6 address that answer."),
    "parity": message(
        "Median {ipv6_ms} ms against {ipv4_ms} ms over IPv4, loss {ipv6_loss} % against {ipv4_loss} %."
    ),
    "slower": message(
        "IPv6 is slower: median {ipv6_ms} ms against {ipv4_ms} ms over IPv4 (at most 1.1 times)."
    ),
    "lossier": message("IPv6 loses more: {ipv6_loss} % against {ipv4_loss} % over IPv4 (at most 1 point)."),
    "none_rogue": message("None in the {hours} h listened."),
    "listening": message("None in the {hours} h listened so far; {needed} h are asked for."),
    "rogue_at": message(
        "{mac} ({router}) on {interface}, behind {port}, advertises {prefix}: no expected router."
    ),
    "rogue": message("{mac} ({router}) on {interface} advertises {prefix}: no expected router."),
    "not_listening": message("Nobody listens: the probe router_advertisements is not set."),
    "no_platforms": message("No site or platform is set; name them in platforms."),
    "platforms": message("{sites} sites answer over IPv6 as over IPv4, {links} % of {tried} links."),
    "platforms_expiring": message(
        "{sites} sites answer over IPv6 as over IPv4; the certificate of {site} ends in {days} days."
    ),
    "site_no_aaaa": message("{site} has no AAAA record."),
    "site_refuses": message("{site} has AAAA {address}, but does not answer over IPv6: {why}."),
    "site_status": message("{site} answers {status} over IPv6 and {other} over IPv4."),
    "site_differs": message("{site} shows something else over IPv6 than over IPv4."),
    "site_name_servers": message("No name server of {site} has an IPv6 address."),
    "site_links": message("Of {tried} links of {site} only {links} % answer over IPv6."),
    "site_unknown": message("{site}: {why}."),
    "use": message(
        "{percent} % of what comes in is IPv6, {ipv6_hosts} of {hosts} active hosts speak it; "
        "at least {floor} % is asked for."
    ),
    "few_hosts": message(
        "Only {ipv6_hosts} of {hosts} active hosts speak IPv6; at least {floor} % is asked for."
    ),
    "no_hosts_seen": message("{percent} % of what comes in is IPv6; no active host is seen on the LANs."),
    "little_use": message("Only {percent} % of what comes in is IPv6; at least {floor} % is asked for."),
    "no_floor": message("No floor is set; name one in use_floor_percent."),
    "no_traffic_seen": message("Too little traffic was seen so far."),
}
"""A name in braces is a value of the finding."""


def finding_text(finding: Finding, language: Language) -> str:
    """A finding in words. A code or a value that is not known here is shown as it is, never an error: points
    come from agents of other versions.
    """
    template = FINDINGS.get(finding.code)
    if template is None:
        return finding.code.replace("_", " ")
    translated = translate(template, language)
    places = {name for _, name, _, _ in string.Formatter().parse(translated) if name}
    missing = dict.fromkeys(places - finding.values.keys(), "?")
    return translated.format(
        **missing, **{name: finding.values[name] for name in places & finding.values.keys()}
    )


def check_title(number: int, language: Language) -> str:
    """The name of a check."""
    return translate(BY_NUMBER[number].title, language)


def result_text(result: Result, language: Language) -> tuple[str, str]:
    """Symbol and word of a result."""
    symbol, word = RESULTS[result]
    return symbol, translate(word, language)


def finding_fields(finding: Finding) -> dict[str, FieldValue]:
    """Fields of the point of one finding."""
    fields: dict[str, FieldValue] = {
        "result": finding.result.value,
        "code": finding.code,
        "values": msgspec.json.encode(finding.values).decode(),
        "finding": finding_text(finding, "en"),
    }
    if finding.because is not None:
        fields["because"] = finding.because
    return fields


def finding_of(number: int, fields: Mapping[str, FieldValue]) -> Finding:
    """A point of one finding back as the finding; a value that cannot be read is unknown, never a pass."""
    try:
        result = Result(fields.get("result"))
    except ValueError:
        result = Result.UNKNOWN
    try:
        values = msgspec.json.decode(str(fields.get("values") or "{}"), type=dict[str, str | int | float])
    except msgspec.DecodeError:
        values = {}
    because = fields.get("because")
    return Finding(
        number,
        result,
        str(fields.get("code") or "not_checked"),
        values,
        because if isinstance(because, int) and not isinstance(because, bool) else None,
    )


def levels_text(levels: Levels, language: Language) -> str:
    """The level, or the span it lies in, in words."""
    names = [translate(LEVELS[level], language) for level in levels]
    if levels.at_least == levels.at_most:
        return translate("Level {level}: {name}", language, level=levels.at_least, name=names[0])
    text = message("At least level {least} ({shown}), at most level {most} ({allowed})")
    least, most = levels
    return translate(text, language, least=least, most=most, shown=names[0], allowed=names[1])


LEVELS = (
    message("no IPv6"),
    message("WAN"),
    message("LAN"),
    message("works end to end"),
    message("good and used"),
)
