"""Log lines on standard error, structured, and no line twice within a while."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict

from agent.settings import LogSettings

MAX_REMEMBERED = 512
_LINE = "time=%(asctime)s.%(msecs)03dZ level=%(levelname)s logger=%(name)s msg=%(message)s"


class RepeatFilter(logging.Filter):
    """Lets a message pass once each ``seconds`` for each place and first argument that it comes from; the
    next one that passes says how many did not.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._seen: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what was said just now."""
        first = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        key = (record.pathname, record.lineno, first if isinstance(first, str) else "")
        now = time.monotonic()
        since, hidden = self._seen.get(key, (float("-inf"), 0))
        if now - since < self._seconds:
            self._seen[key] = (since, hidden + 1)
            return False
        self._seen[key] = (now, 0)
        while len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        if hidden:
            record.msg = f"{record.getMessage()} repeats_hidden={hidden}"
            record.args = ()
        return True


def set_up(settings: LogSettings) -> None:
    """Send the log to standard error."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter(_LINE, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(RepeatFilter(settings.repeat))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
