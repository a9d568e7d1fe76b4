"""Pictures of county, school and wall for the READMEs, from the recorded county: ``make pictures``.

Needs chromium and a font with Chinese characters (Debian: chromium, fonts-wqy-microhei).
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.collector.web.browser import Browser

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs/pictures"
PORT = 18498
PAGES = {"wall": ("/wall", 1280, 720), "county": ("/", 1280, 860), "school": ("/schools/s1", 1200, 860)}
SUFFIXES = {"en": "", "zh-CN": ".zh-CN"}
WAIT_SECONDS = 40.0
FILL_SECONDS = 20.0
DRAW_SECONDS = 2.0
MOST_BYTES = 200 * 1024


def main() -> None:
    """Take them all anew."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.lab", "demo", "--recorded", "--port", str(PORT)]
    county = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _wait()
        take(PORT)
    finally:
        county.terminate()
        county.wait(20)


def take(port: int) -> None:
    """Of whatever is served there."""
    with Browser() as browser:
        for name, (path, width, height) in PAGES.items():
            for language, suffix in SUFFIXES.items():
                with browser.tab(width, height) as tab:
                    tab.open(f"http://127.0.0.1:{port}{path}?lang={language}")
                    tab.listen(DRAW_SECONDS)
                    file = PICTURES / f"{name}{suffix}.png"
                    tab.picture(file)
                    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")
                    assert file.stat().st_size <= MOST_BYTES


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
