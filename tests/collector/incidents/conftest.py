"""Counties that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.school import School
from tests.collector.incidents.county import Watched

Made = Callable[..., Watched]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """A county of schools, its collector up for a while already."""
    counties: list[Watched] = []

    def make(*schools: School, **options: Any) -> Watched:
        county = Watched(tmp_path, schools, **options)
        counties.append(county)
        county.go(90, step=15)
        return county

    yield make
    for county in counties:
        county.close()
