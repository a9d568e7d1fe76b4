"""What a person at a gateway needs: the line to type, and sheets of them to print."""

from __future__ import annotations

import csv
import html
import io
import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from collector.enrolment.invitations import Invitation
from collector.enrolment.routes import authority_of
from collector.settings import CollectorSettings
from config.school import School
from config.words import Language, html_language, message, translate

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class Address(NamedTuple):
    """Where agents reach the collector; ``pin`` empty where every system trusts its certificate."""

    url: str
    pin: str
    is_private: bool


def address_of(settings: CollectorSettings) -> Address:
    """Where the settings say that agents reach this collector. Raises SettingsError for its CA file."""
    url = settings.address
    is_secure = url.startswith("https://")
    authority = authority_of(settings) if is_secure else None
    pin = ""
    if authority is not None:
        from collector.enrolment.certificates import pin_in  # noqa: PLC0415 (cryptography, for this alone)

        pin = pin_in(authority)
    loopback = "127.0.0.1" in url or "localhost" in url or "[::1]" in url
    return Address(url, pin, is_secure or loopback)


def line_to_type(invitation: Invitation, address: Address) -> str:
    """The command that exchanges the code, as one line."""
    words = ["xiaotong-agent", "enrol", "--collector", address.url, "--code", invitation.code]
    if address.pin:
        words += ["--pin", address.pin]
    return shlex.join(words) + ("" if address.is_private else " --in-the-clear")


def local_time(moment: datetime, zone: ZoneInfo) -> str:
    """A moment as the county's clocks show it, with their distance from UTC."""
    return moment.astimezone(zone).isoformat(" ", timespec="minutes")


def csv_sheet(
    invitations: Iterable[Invitation], schools: Mapping[str, School], address: Address, zone: ZoneInfo
) -> str:
    """One row a code; no cell is a formula."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["school", "name", "agent", "code", "valid until", "line to type"])
    for each in invitations:
        cells = (
            each.school, schools[each.school].name, each.agent, each.code,
            local_time(each.expires_at, zone), line_to_type(each, address),
        )  # fmt: skip
        rows.writerow(f"'{cell}" if cell.startswith(_FORMULAS) else cell for cell in cells)
    return text.getvalue()


def html_sheet(
    invitations: Iterable[Invitation],
    schools: Mapping[str, School],
    address: Address,
    zone: ZoneInfo,
    language: Language,
) -> str:
    """Cards to print on A4 and cut apart, each with its line as text and as a QR code."""
    cards = "\n".join(_card(each, schools[each.school], address, zone, language) for each in invitations)
    title = html.escape(translate(message("Codes to enrol agents"), language))
    return _PAGE.format(language=html_language(language), title=title, cards=cards)


def _card(
    invitation: Invitation, school: School, address: Address, zone: ZoneInfo, language: Language
) -> str:
    import segno  # noqa: PLC0415

    line = line_to_type(invitation, address)
    until = translate(
        message("Valid once, until {time}"), language, time=local_time(invitation.expires_at, zone)
    )
    how = translate(message("Type this at the school's gateway:"), language)
    picture = segno.make(line, error="m", micro=False).svg_inline(scale=2)
    return _CARD.format(
        name=html.escape(school.name or school.id),
        school=html.escape(school.id),
        code=html.escape(invitation.code),
        until=html.escape(until),
        how=html.escape(how),
        line=html.escape(line),
        picture=picture,
    )


_CARD = """\
<section><h2>{name} <small>{school}</small></h2><div class="qr">{picture}</div>
<p class="code">{code}</p><p>{until}</p><p>{how}</p><pre>{line}</pre></section>"""

_PAGE = """\
<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title><style>
@page {{ size: A4; margin: 10mm }}
body {{ font: 10pt/1.4 sans-serif; margin: 0 }}
section {{ break-inside: avoid; border-bottom: 1px dashed #555; padding: 5mm 0; min-height: 45mm }}
h2 {{ font-size: 13pt; margin: 0 }}
small {{ font-weight: normal; color: #555 }}
p {{ margin: 1mm 0 }}
.code {{ font: bold 16pt monospace; letter-spacing: 1px }}
.qr {{ float: right; margin-left: 5mm }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: 8.5pt; margin: 0 }}
</style></head><body>
{cards}
</body></html>
"""
