"""The short form of ``python -m tests.collector.messages.torture 200``: each step once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collector.messages.torture import STEPS, torture


@pytest.mark.fault(14)
def test_no_message_is_lost_whenever_the_collector_dies(tmp_path: Path) -> None:
    outcome = torture(len(STEPS), tmp_path)
    assert outcome.killed >= len(STEPS) - 1
    assert len(outcome.written) >= len(STEPS) - 1
    assert (outcome.lost, outcome.invented) == (set(), set())
    assert outcome.repeats <= outcome.killed
