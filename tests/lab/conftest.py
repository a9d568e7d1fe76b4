"""What tests of the lab share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.capacity_lines import Lines, lab_lines


@pytest.fixture(scope="session")
def lines() -> Iterator[Lines]:
    """A near and a far line, each set by the test that takes it: it takes seconds to build them."""
    with lab_lines() as found:
        yield found
