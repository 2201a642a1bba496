"""Headless Chromium over its debugging pipe (file descriptors 3 and 4, messages of JSON that end in NUL).

The pipe needs no port and no web socket. Only what the tests ask for is here: load a page under a colour scheme and a
width, evaluate, take a picture, and hear of every console message, exception and request.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

# Elements that stick out of the page at the sides; what scrolls by itself may.
TOO_WIDE = """
    [...document.querySelectorAll('body *')].filter((one) => {
      if (one.closest('.scroll, .unseen, .skip, svg, [hidden]')) return false;
      const box = one.getBoundingClientRect();
      return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
    }).map((one) => one.tagName + '.' + one.className)
"""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-pipe", "--hide-scrollbars", "about:blank",
)  # fmt: skip
PATIENCE = 60  # seconds for one answer


def chromium() -> str | None:
    """The browser's path, or None where none is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One browser with one page; `events` holds what it told of itself since the last `open`."""

    def __init__(self, profile: Path) -> None:
        path = chromium()
        assert path is not None
        self.events: list[dict[str, Any]] = []
        self._buffer = b""
        self._number = 0
        to_browser, self._out = _pipe()
        self._in, from_browser = _pipe()

        def place_pipe() -> None:
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        # close_fds=False: every other descriptor of Python is closed by exec anyway, and 3 and 4 must live
        self._process = subprocess.Popen(
            [path, *FLAGS, f"--user-data-dir={profile}"], preexec_fn=place_pipe, close_fds=False,
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next((target for target in targets if target["type"] == "page"), None)
        target = page["targetId"] if page else self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._until(lambda answer: answer.get("id") == self._number)

    def open(self, url: str, scheme: str, width: int, height: int = 900) -> None:
        """Load a page as a screen of this size and colour scheme sees it, and wait until it has loaded."""
        self._go("about:blank")  # else another fragment of the same page would not be loaded anew
        self.events.clear()
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._go(url)
        self.evaluate("document.fonts.ready.then(() => 1)")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited when it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, path: Path | None = None, whole: bool = True) -> bytes:
        """A PNG of the page, or of what is in view."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        image = base64.b64decode(answer["data"])
        if path:
            path.write_bytes(image)
        return image

    def colours(self, image: bytes, boxes: list[dict[str, float]]) -> list[int]:
        """How many colours there are in each box of a PNG; leaves the page, whose policy would forbid to load it."""
        self._go("about:blank")
        data, where = base64.b64encode(image).decode(), json.dumps(boxes)
        return self.evaluate(f"""(async () => {{
            const bytes = Uint8Array.from(atob("{data}"), (letter) => letter.charCodeAt(0));
            const image = await createImageBitmap(new Blob([bytes], {{type: "image/png"}}));
            const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
            context.drawImage(image, 0, 0);
            return {where}.map((box) => {{
                const pixels = context.getImageData(box.x, box.y, box.width, box.height).data;
                return new Set(new Uint32Array(pixels.buffer)).size;
            }});
        }})()""")

    def complaints(self) -> list[str]:
        """Console errors and warnings, exceptions, log entries (blocked loads among them)."""
        told = []
        for event in self.events:
            method, params = event["method"], event["params"]
            if method == "Runtime.exceptionThrown" or (
                method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert")
            ):
                told.append(json.dumps(params))
            if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                told.append(json.dumps(params))
        return told

    def requests(self) -> list[str]:
        """Every URL that was asked for since `open`."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def close(self) -> None:
        self._session = None
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _go(self, url: str) -> None:
        before = sum(event["method"] == "Page.loadEventFired" for event in self.events)
        self.call("Page.navigate", url=url)
        if sum(event["method"] == "Page.loadEventFired" for event in self.events) == before:
            self._until(lambda event: event.get("method") == "Page.loadEventFired")

    def _until(self, wanted: Any) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while True:
            message = self._read(end)
            if "method" in message:
                self.events.append(message)
            if wanted(message):
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message.get("result", message)

    def _read(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser did not answer")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise ConnectionError("the browser has gone")
            self._buffer += part
        raw, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(raw)


def _pipe() -> tuple[int, int]:
    """Both ends above 9, so that they cannot collide with the 3 and 4 that the browser reads."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high
