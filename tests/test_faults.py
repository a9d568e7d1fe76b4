"""Every fault we promise to survive has a test, and the page says which."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAKER = ROOT / "docs/make_faults.py"


def test_every_row_has_a_test_and_the_pages_say_which() -> None:
    done = subprocess.run(
        [sys.executable, str(MAKER), "--check"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_row_without_a_test_is_named() -> None:
    spec = importlib.util.spec_from_file_location("make_faults", MAKER)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = maker
    spec.loader.exec_module(maker)
    shown = maker.tests_of_faults()
    assert maker.rows_without_tests({1: {}, 26: {}}, shown) == [26]
    assert maker.Test("tests/test_outage.py", shown[13][-1].name) in shown[13]
