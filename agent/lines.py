"""Which interface is which line of the school."""

from __future__ import annotations

from collections.abc import Sequence

from agent.network.routes import DefaultRoute, default_routes
from agent.probe import Site
from config.school import School


def line_interfaces(site: Site) -> dict[str, str]:
    """Interface → id of its line, as declared and as the default routes stand now."""
    routes = default_routes(site.proc) if site.stands_on == "gateway" else []
    return match_lines(site.school, routes)


def match_lines(school: School, routes: Sequence[DefaultRoute]) -> dict[str, str]:
    """Interface → id of its line.

    Declared interfaces first. When exactly one line declares none, it leaves by the preferred default route
    (IPv4's, else IPv6's) unless that interface is another line's already. Two lines without an interface are
    not guessed at. A box in the LAN has no routes to give: its own port is no line of the school.
    """
    found = {line.interface: line.id for line in school.lines if line.interface is not None}
    undeclared = [line.id for line in school.lines if line.interface is None]
    if len(undeclared) == 1 and routes and routes[0].interface not in found:
        found[routes[0].interface] = undeclared[0]
    return found


def remember(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """What is known now, and what was known of lines that are not found now: a line that lost its route is
    still that line.
    """
    found = set(now.values())
    kept = {name: line for name, line in before.items() if line not in found and name not in now}
    return kept | now
