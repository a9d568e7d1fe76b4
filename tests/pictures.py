"""Pictures of the pages for the READMEs, from the recorded county: ``make pictures``.

Needs chromium and a font with Chinese characters (Debian: chromium, fonts-wqy-microhei).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.collector.web.browser import pictured

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs/pictures"
PORT = 18498
PAGES = {"county": ("/", 760), "school": ("/schools/s1", 1500)}
SUFFIXES = {"en": "", "zh-CN": ".zh-CN"}
WAIT_SECONDS = 40.0
FILL_SECONDS = 15.0


def main() -> None:
    """Take them all anew."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.lab", "demo", "--recorded", "--port", str(PORT)]
    county = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _wait()
        for name, (path, height) in PAGES.items():
            for language, suffix in SUFFIXES.items():
                with tempfile.TemporaryDirectory() as profile:
                    url = f"http://127.0.0.1:{PORT}{path}?lang={language}"
                    pictured(url, Path(profile), PICTURES / f"{name}{suffix}.png", 1280, height)
    finally:
        county.terminate()
        county.wait(20)


def _wait() -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2):
                break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    time.sleep(FILL_SECONDS)


if __name__ == "__main__":
    main()
