"""The wall 大屏: the county on a screen in an office, read from five metres."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from collector.web.county_page import CountyPage
from collector.web.frame import Frame, shown
from collector.web.incident_view import incident_views
from collector.web.settings import WebSettings

WORST = 10
INCIDENTS = 4
CHANGES = 6
"""Both lists are one face: so much fits at letters that are read from afar."""


class WallPage:
    """Faces that follow one another: figures, map, schools to look at, changes."""

    def __init__(self, frame: Frame, county: CountyPage, settings: WebSettings) -> None:
        self.frame = frame
        self._county = county
        self._settings = settings

    @shown
    def show(self, request: Request) -> Response:
        """All faces at once; the page's script shows one at a time and asks for all again."""
        reader, county = self.frame.reader(request), self._county.county(request)
        face = self._county.face(dict(request.query_params), county, reader)
        present = [state.presence for state in county.schools.values() if state.presence is not None]
        watched = [each for each in present if each.state != "no_agent"]
        return self.frame.render(
            request,
            "wall.html",
            face=face,
            listing=self._county.listing(face, reader, WORST) if face is not None else None,
            changes=face.changes[:CHANGES] if face is not None else [],
            incidents=incident_views(
                county.incidents,
                {key: each.school for key, each in county.schools.items()},
                reader.language,
                self.frame.zone,
            ),
            most_incidents=INCIDENTS,
            schools=len(county.schools),
            heard=sum(each.state == "heard" for each in watched),
            watched=len(watched),
            at=f"{county.at.astimezone(self.frame.zone):%H:%M:%S}",
            age_seconds=round((reader.now - county.at).total_seconds(), 1),
            old_after=float(self._settings.old_after),
            turn=float(self._settings.turn),
        )
