"""Drives chromium through its debugging pipe, for the tests of a page."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def path():
    """The program of a browser on this machine, or None."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page of a browser that has no window."""

    def __init__(self, folder):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={folder}"]
        # The browser reads from descriptor 3 and writes to descriptor 4.
        shell = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, path() or "", *options, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._count, self._session = b"", 0, None
        self.events = []
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in pages if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """The result of a command; what the page reports meanwhile is an event."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == self._count:
                assert "error" not in found, found
                return found["result"]
            self.events.append(found)

    def evaluate(self, code):
        """The value of an expression in the page."""
        found = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, file, width=1280, height=900, *, dark=False):
        """Opens a file, and waits until the page is ready."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=f"file://{file}")
        self.wait("document.documentElement?.dataset.ready === 'yes'")

    def wait(self, code, seconds=30):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(code):
            assert time.monotonic() < end, f"never true: {code}"
            time.sleep(0.02)

    def press(self, key):
        """Presses and releases a key where the focus is."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        codes = {"Enter": 13, " ": 32, "ArrowRight": 39, "ArrowLeft": 37, "End": 35}
        codes["Tab"] = 9
        about = {"key": key, "windowsVirtualKeyCode": codes[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def mouse(self, kind, x, y):
        """Moves the mouse, or presses or releases its button."""
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, code):
        """Clicks with the mouse on the middle of an element."""
        x, y = self.place(code)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def place(self, code):
        """The middle of an element, after it was scrolled into view."""
        return self.evaluate(
            f"(() => {{ const e = {code}; e.scrollIntoView({{ block: 'center' }});"
            " const r = e.getBoundingClientRect();"
            " return [r.left + r.width / 2, r.top + r.height / 2]; })()"
        )

    def picture(self, file):
        """Stores a picture of the complete page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        found = self.call(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "scale": 1}
            | {name: size[name] for name in ("width", "height")},
        )
        file.write_bytes(base64.b64decode(found["data"]))

    def pdf(self):
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def of(self, method):
        """The parameters of all events of one kind."""
        return [one["params"] for one in self.events if one.get("method") == method]

    def complaints(self):
        """What the page has reported as an error or a warning."""
        said = [one["entry"]["text"] for one in self.of("Log.entryAdded")]
        said += [
            one["exceptionDetails"]["exception"]["description"]
            for one in self.of(_THROWN)
        ]
        return said + [str(one["args"]) for one in self.of("Runtime.consoleAPICalled")]

    def requests(self):
        """The addresses that the page has asked for."""
        return [one["request"]["url"] for one in self.of("Network.requestWillBeSent")]

    def close(self):
        """Ends the browser."""
        with contextlib.suppress(OSError):
            self.call("Browser.close")
        os.close(self._out)
        os.close(self._in)
        self._process.wait(30)

    def _read(self):
        while b"\0" not in self._rest:
            found = os.read(self._in, 1 << 20)
            if not found:
                raise OSError("the browser has ended")
            self._rest += found
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)


_THROWN = "Runtime.exceptionThrown"
