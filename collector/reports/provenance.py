"""What a report says of itself: of what it is, until when, made by what."""

from __future__ import annotations

from collections.abc import Iterable

from collector.reports.content import Content
from collector.reports.sheets import Reader
from config.words import message as _

STATUS = {
    "in_force": _("in force"),
    "ended": _("ended"),
    "lapsed": _("declared lapsed"),
}


def _status(content: Content) -> str:
    if content.plan.status != "in_force":
        return content.plan.status
    ends = content.plan.ends
    return "ended" if ends and ends < content.until.astimezone(content.zone).date() else "in_force"


def facts_of(reader: Reader) -> Iterable[tuple[str, str]]:
    """What the report is of, until when, made by what: its provenance, heading by heading."""
    content, say = reader.content, reader.say
    who = content.school.name or content.school.id if content.school else content.plan.county
    yield say(_("Plan")), f"《{content.plan.title}》 {content.plan.issuer}"
    yield say(_("Status of the plan")), say(STATUS[_status(content)])
    yield say(_("Of")), who or say(_("the county"))
    yield say(_("Month")), content.month
    yield say(_("Data until")), f"{reader.local(content.until):%Y-%m-%d %H:%M} ({content.zone})"
    yield say(_("Made")), f"{reader.local(content.made_at):%Y-%m-%d %H:%M} · xiaotong {content.version}"
