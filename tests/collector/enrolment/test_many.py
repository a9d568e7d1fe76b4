"""Agents enrolled by a script over TLS against a real process, while somebody guesses. The long form:
``python -m tests.collector.enrolment.many``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collector.enrolment.many import play


@pytest.mark.lab
@pytest.mark.fault(20)
@pytest.mark.fault(24)
def test_agents_enrol_undisturbed_by_who_guesses_and_no_secret_is_seen(tmp_path: Path) -> None:
    result = play(tmp_path, agents=2, guesses=40)
    assert result.enrolled == 2
    assert (
        result.second_use
        == "error: the collector refuses: the code was used already; ask the county for a new one"
    )
    assert (
        result.expired
        == "error: the collector refuses: the code is no longer valid; ask the county for a new one"
    )
    assert sum(result.guesses.values()) == 40
    assert result.guesses.keys() <= {403, 429}
    assert result.guesses[403] < 20
    for secret in result.secrets:
        assert secret not in result.everything
        assert secret not in result.command_lines
