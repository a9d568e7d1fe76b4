"""What every test shares: markers that skip, golden files, and skips that are failures in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

SKIPS_ALLOWED = Path(__file__).with_name("skips-allowed.txt")

Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_configure() -> None:
    """`make test` draws the same cases each time, to tell of changes, not luck; `make fuzz` draws anew."""
    hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
    hypothesis.settings.register_profile("anew", max_examples=2000, deadline=None)
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = missing_need(item)
    if reason:
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, pytest.TestReport]:
    """With CI=true a skip is a failure, unless tests/skips-allowed.txt names it with a reason."""
    report: pytest.TestReport = yield
    silent = report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true"
    if silent and not skip_allowed(item.nodeid, SKIPS_ALLOWED.read_text(encoding="utf-8")):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped and {SKIPS_ALLOWED.name} does not allow it: {call.excinfo}"
        )
    return report


def missing_need(item: pytest.Item) -> str | None:
    """What a test needs and this machine lacks, in words; None when it can run."""
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        return "needs root"
    for marker in item.iter_markers("needs"):
        lacking = [command for command in marker.args if not shutil.which(command)]
        if lacking:
            return f"needs {', '.join(lacking)}"
    return None


def skip_allowed(nodeid: str, listed: str) -> bool:
    """True when a line of ``listed`` («node-id-prefix  reason») covers ``nodeid``, with its reason."""
    for line in listed.splitlines():
        prefix, _, reason = line.strip().partition(" ")
        if prefix and not prefix.startswith("#") and reason.strip() and nodeid.startswith(prefix):
            return True
    return False


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with a golden file; ``pytest --update-golden`` writes the file anew."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
