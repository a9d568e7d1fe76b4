"""A real Chromium without a screen, driven through the DevTools protocol over a pipe: no port, no driver.

One process serves many tabs. What a page says on its console, what it throws and what it asks the network for
is kept with its tab.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 30.0
MOST_HEIGHT = 8000
"""Of a picture: no texture of a software renderer is higher than 16,384 pixels."""
# the browser reads commands from 3 and answers on 4; «os.dup2» makes both inheritable
_AT_3_AND_4 = (
    "import os, sys; r, w = (os.dup(int(a)) for a in sys.argv[1:3]);"
    "r, w = (os.dup(n) if n < 5 else n for n in (r, w)); r, w = (os.dup(n) if n < 5 else n for n in (r, w));"
    "os.dup2(r, 3); os.dup2(w, 4); os.execvp(sys.argv[3], sys.argv[3:])"
)


class BrowserFailed(Exception):
    """The browser refused a command, or did not answer in time."""


class Browser:
    """One Chromium. Use it in one thread."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        profile = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        )
        command_read, self._write = os.pipe()
        self._read, answer_write = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _AT_3_AND_4, str(command_read), str(answer_write), "chromium",
             *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(command_read, answer_write),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(command_read)
        os.close(answer_write)
        self._number = 0
        self._waiting = b""
        self._tabs: dict[str, Tab] = {}
        self._answers: dict[int, dict[str, Any]] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrowserFailed, OSError):
            self.ask("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait(10)
        os.close(self._read)
        os.close(self._write)
        self._stack.close()

    def ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send a command and give its result. Raises BrowserFailed."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._send(json.dumps(message).encode() + b"\0")
        self.listen_until(lambda: number in self._answers, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserFailed(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def listen_until(self, done: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Take what the browser says until ``done``. Raises BrowserFailed."""
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0 or not self._take(min(left, 0.2)):
                raise BrowserFailed(f"{what}: nothing in {seconds} s")

    def listen(self, seconds: float) -> None:
        """Take what it says for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._take(left)

    @contextlib.contextmanager
    def tab(self, width: int = 1280, height: int = 900, *, dark: bool = False) -> Iterator[Tab]:
        """A new tab of that size."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.ask(f"{domain}.enable")
        tab.resize(width, height)
        tab.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        try:
            yield tab
        finally:
            self.ask("Target.closeTarget", targetId=target)
            del self._tabs[session]

    def _send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._write, data) :]

    def _take(self, seconds: float) -> bool:
        """Read what is there within so long. False when the browser has ended."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        if not ready:
            return True
        piece = os.read(self._read, 1 << 20)
        *messages, self._waiting = (self._waiting + piece).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            elif (tab := self._tabs.get(message.get("sessionId", ""))) is not None:
                tab.hear(message["method"], message["params"])
        return bool(piece)


class Tab:
    """One page. ``faults``: what it logged as an error or threw; ``requests``: every URL it asked for."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._loaded = 0
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.finished_bytes = 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """A command to this page."""
        return self._browser.ask(method, self._session, **params)

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Take an event of this page."""
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.loadingFinished":
            self.finished_bytes += round(params["encodedDataLength"])
        elif method == "Runtime.exceptionThrown":
            self.faults.append(json.dumps(params["exceptionDetails"], ensure_ascii=False)[:500])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.faults.append(json.dumps(params["args"], ensure_ascii=False)[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.faults.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def open(self, url: str) -> Tab:
        """Go there and wait until it is loaded."""
        before = self._loaded
        self.ask("Page.navigate", url=url)
        self._browser.listen_until(lambda: self._loaded > before, url)
        return self

    def resize(self, width: int, height: int) -> None:
        """The size of what is seen, in CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def value(self, expression: str) -> Any:
        """What an expression comes to; a promise is awaited. Raises BrowserFailed when it throws."""
        answer = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(json.dumps(answer["exceptionDetails"])[:800])
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = SECONDS) -> None:
        """Until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise BrowserFailed(f"never true: {expression}")
            self._browser.listen(0.05)

    def listen(self, seconds: float) -> None:
        """Let it run for so long."""
        self._browser.listen(seconds)

    def html(self) -> str:
        """The document as it is now."""
        text: str = self.value("document.documentElement.outerHTML")
        return text

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """What is seen, or the whole page, as PNG."""
        answer = self.ask(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole)
        )
        file.write_bytes(base64.b64decode(answer["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        height = min(size["height"], MOST_HEIGHT)
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}}
