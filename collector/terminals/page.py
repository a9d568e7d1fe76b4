"""What the page /speed is made of: the words of its script, and the doors of each address family."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from collector.terminals import codes
from collector.terminals.room import TerminalRoom
from collector.terminals.whereabouts import Caller
from collector.web.rendering import language_wished
from config.bounds import DEFAULT_RULES
from config.units import format_rate
from config.words import Language, message, translate

WORDS = {
    "idle": message("Measuring the round trip …"),
    "down": message("Measuring the download …"),
    "up": message("Measuring the upload …"),
    "done": message("Done."),
    "again": message("Test again"),
    "reached": message("This terminal reaches what the plan asks for."),
    "not_reached": message(
        "This terminal did not reach it now. That alone does not show a slow line: the device, the browser "
        "or the wireless may be what limits it. Try again by cable, with nothing else running."
    ),
    "unknown": message("The test was too short to say how fast the download is."),
    "failed": message("The test broke off: the connection to the collector was lost. Nothing was recorded."),
    "recorded": message("Recorded for {school}, over {family}."),
    "grade": message("latency under load {grade}"),
    "no_school": message("Which school is this? Type the code from the school's notice."),
    "wrong_code": message("No school has this code."),
    "school_busy": message(
        "Another terminal of the school is testing: two at once would measure each other."
    ),
    "busy": message("Too many tests are running: try again in a moment."),
    "too_many": message("Too many tests: try again later."),
    "disabled": message("The speed test is turned off here."),
    "wrong_family": message("This address was not reached over the family that it stands for."),
    "not_kept": message("The result could not be kept: the collector's disk is full."),
    "ended": message("The test's time is over. Nothing was recorded."),
    "address": message("The collector does not see your address."),
    "bad_request": message("The browser asked for something that the collector does not know."),
    "no_streams": message("This browser cannot measure: it is too old."),
}
FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}


def context_of(
    room: TerminalRoom, request: Request, caller: Caller | None, school: str | None
) -> dict[str, Any]:
    """The template's context. ``school`` is the name of the school that the address tells."""
    language = language_wished(request)
    target = room.target()
    rate = target[0] if target else None
    code = codes.normal(request.query_params.get("code", ""))[: codes.CHARACTERS]
    facts = {
        "words": {name: translate(text, language) for name, text in WORDS.items()},
        "target_bits_per_second": rate and round(rate * DEFAULT_RULES.met_share),
    }
    return {
        "enabled": room.settings.enabled,
        "school": school,
        "code": code,
        "family": FAMILIES[caller.family] if caller else "",
        "address": str(caller.address) if caller else "",
        "doors": list(_doors(room, code)),
        "target": format_rate(rate) if rate else "",
        "quote": target[1] if target else "",
        "facts": facts,
        "seconds": _whole(2 * room.settings.load, language),
    }


def _doors(room: TerminalRoom, code: str) -> list[tuple[str, str]]:
    """Each family's own address: the browser goes there, so it is that family which is tested."""
    urls = (("IPv4", room.settings.ipv4_url), ("IPv6", room.settings.ipv6_url))
    query = f"?code={quote(code)}" if code else ""
    return [(family, f"{url.rstrip('/')}/speed{query}") for family, url in urls if url]


def _whole(seconds: float, language: Language) -> str:
    return translate("about {n} s", language, n=round(seconds) + 3)
