"""The county's page: how every school stands on the target chosen."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.web import county_view
from collector.web.board import Board, County
from collector.web.changes import ChangeView, change_views
from collector.web.county_map import CountyMap, MapView
from collector.web.county_view import Asked, Listing, Reader, Share, Standing
from collector.web.frame import Frame, shown, who_reads
from config.plan import Plan
from config.words import message, translate

COLUMNS = (
    ("name", message("School")),
    ("verdict", message("Verdict")),
    ("measured", message("Measured against needed")),
    ("classes", message("Classes")),
    ("availability", message("Availability this month")),
    ("ipv6", message("IPv6 level")),
    ("incidents", message("Open incidents")),
    ("heard", message("Last heard")),
)


class Column(NamedTuple):
    """A heading that sorts: where it leads, and how the list is sorted now."""

    name: str
    title: str
    href: str
    direction: str


class Face(NamedTuple):
    """The county on one target: what the page and the wall show of it."""

    plan: Plan
    asked: Asked
    shares: list[Share]
    share: Share
    standings: list[Standing]
    map: MapView
    changes: list[ChangeView]


class CountyPage:
    """The page, and what of it others show."""

    def __init__(self, frame: Frame, board: Board, county_map: CountyMap, rows: int) -> None:
        self.frame = frame
        self._board = board
        self._map = county_map
        self._rows = rows

    @shown
    def show(self, request: Request) -> Response:
        """Counts, map, changes and the schools that fit."""
        reader, county = self.frame.reader(request), self.county(request)
        params = dict(request.query_params)
        face = self.face(params, county, reader)
        carriers, townships = county_view.choices(county, reader.today)
        context: dict[str, Any] = {
            "schools": len(county.schools),
            "county_at": county.at,
            "carriers": carriers,
            "townships": townships,
            "plans": list(self.frame.rooms.verdicts.plans.values()),
        }
        if face is None:
            return self.frame.render(request, "county.html", face=None, **context)
        found = self.listing(face, reader)
        return self.frame.render(
            request,
            "county.html",
            face=face,
            listing=found,
            columns=_columns(face.asked, reader),
            pages=[(number, _href(face.asked, page=number)) for number in range(1, found.pages + 1)],
            **context,
        )

    def county(self, request: Request) -> County:
        """The county as far as the reader may see it."""
        county = self._board.county()
        return msgspec.structs.replace(county, schools=who_reads(request).narrow(county.schools))

    def face(self, params: dict[str, str], county: County, reader: Reader) -> Face | None:
        """The county on the target that is asked for; None where no plan is judged."""
        verdicts = self.frame.rooms.verdicts
        asked = county_view.asked_of(params, verdicts.plans, county)
        plan = verdicts.plans.get(asked.plan)
        if plan is None:
            return None
        shares = county_view.shares(plan, county, reader.language)
        standings = county_view.standings(county, asked.plan, asked.target)
        schools = {key: state.school for key, state in county.schools.items()}
        return Face(
            plan=plan,
            asked=asked,
            shares=shares,
            share=next(share for share in shares if share.target == asked.target),
            standings=standings,
            map=self._map.view(standings, reader.language),
            changes=change_views(county.changes.get(plan.id, ()), schools, reader.language, self.frame.zone),
        )

    def listing(self, face: Face, reader: Reader, rows: int | None = None) -> Listing:
        """The schools that fit, a page of them."""
        return county_view.listing(face.standings, face.asked, rows or self._rows, reader)


def _columns(asked: Asked, reader: Reader) -> list[Column]:
    found = []
    for name, text in COLUMNS:
        is_sorted = asked.sort == name
        direction = ("descending" if asked.descending else "ascending") if is_sorted else "none"
        href = _href(asked, sort=name, descending=is_sorted and not asked.descending, page=1)
        found.append(Column(name, translate(text, reader.language), href, direction))
    return found


def _href(asked: Asked, **changes: object) -> str:
    """This page as it was asked for, but for what is changed."""
    wanted = {**msgspec.structs.asdict(asked), **changes}
    query = {
        "plan": wanted["plan"], "target": wanted["target"], "answer": wanted["answer"],
        "carrier": wanted["carrier"], "township": wanted["township"], "q": wanted["search"],
        "sort": wanted["sort"], "down": "1" if wanted["descending"] else "",
        "page": "" if wanted["page"] == 1 else wanted["page"],
    }  # fmt: skip
    return "?" + urlencode({name: value for name, value in query.items() if value})
