"""Alertmanager, API v2: ``POST /api/v2/alerts``.

An open alert is told again before its ``endsAt``, as Prometheus does; a resolved one ends at once.
Source: github.com/prometheus/alertmanager, api/v2/openapi.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from collector.messages.channels import Letter, Limit, one_line
from collector.messages.channels.robots import refuse_status, url_of
from collector.messages.channels.web import Web, place_of
from collector.messages.settings import AlertmanagerSettings

LIVES = 4
"""An alert lives so many repeats without being told again."""


class Alertmanager:
    """Posts the alert of each letter's incident; letters without one, like a digest, are not for it."""

    limits: tuple[Limit, ...] = (Limit(600, 60.0),)
    max_bytes = 16_000

    def __init__(
        self, settings: AlertmanagerSettings, web: Web, wall_seconds: Callable[[], float], key: str
    ) -> None:
        self.repeat_seconds = float(settings.repeat)
        self._url = url_of(settings.url_file, f"{key}.url_file")
        self._web, self._wall_seconds = web, wall_seconds

    def plain(self, text: str) -> str:
        return one_line(text)

    def send(self, letter: Letter) -> None:
        """Raises NotDelivered."""
        self.post([letter])

    def post(self, letters: Sequence[Letter]) -> None:
        """All alerts at once. Raises NotDelivered."""
        alerts = [self._alert(facts) for each in letters for facts in _incidents(each)]
        if not alerts:
            return
        url = self._url.rstrip("/") + "/api/v2/alerts"
        refuse_status(self._web.post(url, msgspec.json.encode(alerts)), place_of(url))

    def _alert(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        until = facts["resolved_at"] or _time(self._wall_seconds() + LIVES * self.repeat_seconds)
        labels = {
            "alertname": facts["kind"], "job": "xiaotong", "incident": str(facts["incident"]),
            "severity": facts["severity"], "subject": facts["subject"],
            "school": facts["schools"][0] if len(facts["schools"]) == 1 else "",
        }  # fmt: skip
        notes = {"summary": facts["title"], "description": facts["text"], "key": facts["key"]}
        return {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": notes,
            "startsAt": facts["started_at"],
            "endsAt": until,
            "generatorURL": facts["link"],
        }


def _incidents(letter: Letter) -> list[Mapping[str, Any]]:
    """The facts of each incident that a letter speaks of."""
    every = letter.facts.get("merged", [letter.facts])
    return [facts for facts in every if facts.get("type") == "incident"]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
