"""The documentation says what the program is: every setting, command and measurement, and no more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector.running import running, settings_in

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_every_setting_and_command_is_documented() -> None:
    """The reference is made from the types; a key or an option without words fails here."""
    done = subprocess.run(
        [sys.executable, "docs/make_reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_metric_of_a_running_collector_is_documented(tmp_path: Path) -> None:
    documented = set(
        re.findall(r"^\| `(\w+)` ", (ROOT / "docs/metrics.md").read_text(encoding="utf-8"), re.M)
    )
    with running(settings_in(tmp_path)) as collector:
        told = collector.request("GET", "/metrics", agent=None).body.decode()
    found = set(re.findall(r"^# TYPE (\w+) ", told, re.M))
    assert found
    assert found <= documented


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_architecture_names_only_what_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:agent|collector|config|tests|docs|deploy)/[\w./*-]+)`", text):
        assert list(ROOT.glob(path.rstrip("/"))), f"ARCHITECTURE.md names {path}, which is not there"
