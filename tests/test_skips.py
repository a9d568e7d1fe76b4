"""A skip in CI must be allowed by name and with a reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import skip_allowed

LISTED = "# comment\ntests/lab/test_ten.py::  needs a kernel with netem\ntests/bare.py\n"


@pytest.mark.parametrize(
    ("nodeid", "allowed"),
    [
        ("tests/lab/test_ten.py::test_delay", True),
        ("tests/lab/test_eleven.py::test_delay", False),
        ("tests/bare.py::test_any", False),
        ("# comment", False),
    ],
)
def test_a_skip_is_allowed_by_prefix_and_reason(nodeid: str, allowed: bool) -> None:
    assert skip_allowed(nodeid, LISTED) is allowed


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_missing_program_fails_only_in_ci(tmp_path: Path, ci: str, status: int) -> None:
    (tmp_path / "conftest.py").write_text(Path("tests/conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "skips-allowed.txt").write_text("")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = needs(command): x\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.needs('no-such-program')\ndef test_it():\n    assert False\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"CI": ci}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stdout
    assert "needs no-such-program" in done.stdout or ci == ""
