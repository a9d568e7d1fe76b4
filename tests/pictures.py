"""Pictures of the pages for the README: ``python -m tests.pictures ADDRESS`` beside a running ``make run``.

Needs chromium and a font with Chinese characters.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.collector.web.browser import pictured

PICTURES = Path(__file__).parent.parent / "docs/pictures"


def main(address: str = "http://127.0.0.1:8080") -> None:
    """Take them all anew."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        url = f"{address}/schools/sample?lang=zh-CN"
        pictured(url, Path(profile), PICTURES / "school.png", 1280, 1680)


if __name__ == "__main__":
    main(*sys.argv[1:2])
