"""Messages as they were received, to the letter but for times and numbers; and the golden files of them."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.collector.messages.everyone import Received

GOLDEN = Path(__file__).with_name("golden")
_MAC = r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"
_OTHERWISE_EACH_TIME = (
    (r"\d\d-\d\d \d\d:\d\d", "MM-DD hh:mm"),
    (r"(?<=\()\d+ (?:s|min)(?=\))|(?<=已 )\d+ (?:秒|分钟)", "N min"),
    (r"(?<=/incidents/)\d+", "N"),
    (r"(?<=verdict )\d+|(?<=outage )\d+|(?<=判定 )\d+|(?<=中断记录 )\d+", "N"),
    (_MAC, "MAC"),
    (r"fe80::[0-9a-f:]+", "fe80::N"),
)
"""What differs between two runs of one scenario, and what stands for it."""


def shown(received: Mapping[str, Sequence[Received]]) -> str:
    """All letters, in one order; channels that brought the same stand together."""
    channels: dict[str, list[str]] = defaultdict(list)
    for channel, letters in received.items():
        channels["\n\n".join(sorted(map(_normalised, letters)))].append(channel)
    return "\n\n".join(f"== {', '.join(names)}\n{text}" for text, names in channels.items()) + "\n"


def differences(name: str, text: str, golden: Path = GOLDEN) -> Iterator[str]:
    """How the letters of a scenario differ from its golden file; one that is missing is written."""
    file = golden / f"{name}.txt"
    if not file.exists():
        file.write_text(text, encoding="utf-8")
        yield f"its messages are now in {file}: read them, and run it again"
        return
    wanted = file.read_text(encoding="utf-8").splitlines()
    for line in difflib.unified_diff(wanted, text.splitlines(), "golden", "received", lineterm=""):
        yield f"message: {line}"


def _normalised(letter: Received) -> str:
    whole = f"{letter.title}\n{letter.text}"
    for pattern, instead in _OTHERWISE_EACH_TIME:
        whole = re.sub(pattern, instead, whole)
    return whole
