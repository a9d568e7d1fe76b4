"""A real Chromium without a screen: the page as it is drawn, and its document once scripts have run."""

from __future__ import annotations

import subprocess
from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
SECONDS = 60
SETTLE_MS = 4000
"""Of the page's own time, after which it is looked at."""


def dumped(url: str, profile: Path, *flags: str) -> str:
    """The document after its scripts ran, as HTML."""
    return _run(url, profile, "--dump-dom", *flags)


def pictured(url: str, profile: Path, file: Path, width: int, height: int, *flags: str) -> None:
    """A screenshot as PNG."""
    _run(url, profile, f"--screenshot={file}", f"--window-size={width},{height}", *flags)


def _run(url: str, profile: Path, *flags: str) -> str:
    command = [
        "chromium",
        *FLAGS,
        f"--user-data-dir={profile}",
        f"--virtual-time-budget={SETTLE_MS}",
        *flags,
        url,
    ]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    return done.stdout.decode("utf-8")
