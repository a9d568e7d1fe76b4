"""The short form of ``make torture``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.fault(9)
@pytest.mark.fault(11)
def test_thirty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.collector.ingest.torture", "30", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.startswith("30 kills, ")
    assert " 0 lost, 0 counted twice" in done.stdout
