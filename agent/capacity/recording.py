"""Handing the points of a test that a person ran to the collector, as any client of its write API does."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from agent.link import Link, LinkError
from agent.probe import ProbeFailed, Site
from agent.settings import Secret
from config.points import Point, encode

PATH = "/api/v2/write?org=xiaotong&bucket=raw&precision=ns"
TIMEOUT_SECONDS = 10.0
HEADERS = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}


def record(site: Site, points: Sequence[Point]) -> None:
    """Give them to the site's collector, which acknowledges what is on its disk. Raises ProbeFailed."""
    body = gzip.compress("\n".join(map(encode, points)).encode())
    link = Link(site.collector_url or "", Secret(site.token() or ""), TIMEOUT_SECONDS, site.collector_ca_file)
    try:
        answer = link.post(PATH, body, HEADERS)
    except LinkError as error:
        raise ProbeFailed(f"measured but not recorded: {error}") from None
    finally:
        link.close()
    set_aside = answer.headers.get("x-xiaotong-set-aside", "0")
    if answer.status != 204:
        raise ProbeFailed(f"measured but not recorded: the collector answers {answer.status}")
    if set_aside != "0":
        raise ProbeFailed(f"measured, but the collector set {set_aside} of {len(points)} points aside")
