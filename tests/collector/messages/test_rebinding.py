"""A webhook whose name leads outside when it is looked up, and inside the next time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector.messages.rebinding import INSIDE, NAME_SERVER, PORT
from tests.collector.messages.sinks import secret_file


@pytest.mark.needs_root
@pytest.mark.fault(16)
def test_a_name_that_rebinds_reaches_nothing_inside(tmp_path: Path) -> None:
    """Whatever the name server says and when: not one request arrives inside, and those outside do."""
    (tmp_path / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\n")
    secret_file(tmp_path, "url", f"http://hook.county.example:{PORT}/sms")
    secret_file(tmp_path, "secret", "hook-secret")
    command = [
        "unshare", "--net", "--mount", sys.executable, "-m", "tests.collector.messages.rebinding",
        str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["inside"] == 0
    assert found["asked"] >= 8, "each letter looks the name up"
    assert found["said"].count("taken") == found["outside"] >= 2
    refused = [each for each in found["said"] if each != "taken"]
    assert len(refused) >= 2
    assert all(f"the name leads to {INSIDE}, which is not of the public internet" in each for each in refused)
