"""The units as systemd reads them, without a systemd that runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SCORES = {"agent": 1.6, "collector": 1.2}
"""systemd's measure of what a service that was broken into could still do: 10 is everything."""


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(("name", "most"), SCORES.items())
def test_the_exposure_stays_low(name: str, most: float) -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / f"xiaotong-{name}.service"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert score is not None
    assert float(score[1]) <= most, said


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", SCORES)
def test_the_unit_verifies(name: str, tmp_path: Path) -> None:
    """In a root of its own, where the command that it names is there."""
    unit = f"xiaotong-{name}.service"
    text = (UNITS / unit).read_text()
    command = tmp_path / f"opt/xiaotong/{name}/bin/xiaotong-{name}"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    (tmp_path / unit).write_text(text.replace("/opt/xiaotong", f"{tmp_path}/opt/xiaotong"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SCORES)
def test_systemd_waits_for_signs_of_life(name: str) -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", (UNITS / f"xiaotong-{name}.service").read_text(), re.M))
    assert settings["Type"] == "notify"
    assert int(settings["WatchdogSec"]) >= 60
    assert settings["Restart"] == "always"
