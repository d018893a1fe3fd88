"""Drive a report in headless Chromium as a reader would, check what it does, and save a screenshot.

    python experiments/demo/look.py outputs/demo/report.html screenshot.png

Mouse and keys go through WebDriver: Debian's packages chromium and chromium-driver are all that it needs.
"""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from PIL import Image, ImageChops

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # Containers have a /dev/shm of 64 MB, which Chromium overflows.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1100,1200",
]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the WebDriver standard's name for a reference to an element
PATIENCE = 240  # seconds that a script in the page may wait; a busy machine needs more than WebDriver's 30
HOME, END, RIGHT = "\ue011", "\ue010", "\ue014"  # its names for keys

SETTLED = """
    const videos = [...document.querySelectorAll("video")];
    const settled = () => videos.every((video) => video.readyState >= 2 && !video.seeking);
    return new Promise((resolve) => {
        const poll = () => settled() ? resolve(true) : setTimeout(poll, 20);
        requestAnimationFrame(poll);
    });
"""
DRIFTS = """
    const [pair, left, right] = arguments, drifts = [];
    return new Promise((resolve) => {
        const sample = () => {
            const drift = Math.abs(left.currentTime - right.currentTime) * pair.dataset.rate;
            if (!right.paused) drifts.push(drift);
            drifts.length < 60 ? requestAnimationFrame(sample) : resolve(drifts.sort((a, b) => a - b));
        };
        sample();
    });
"""
SHOWN = """
    const [pair, number, ...videos] = arguments;
    const frame = (video) => Math.floor(video.currentTime * pair.dataset.rate) + 1;
    return new Promise(requestAnimationFrame).then(() => [Number(number.value), ...videos.map(frame)]);
"""

Element = dict[str, str]


@dataclass(frozen=True)
class Page:
    """A page in a browser, at the address of its WebDriver session."""

    session: str

    def ask(self, method: str, path: str = "", **body: Any) -> Any:
        content = json.dumps(body).encode() if method == "POST" else None
        request = Request(self.session + path, content, {"Content-Type": "application/json"}, method=method)
        with build_opener(ProxyHandler({})).open(request, timeout=PATIENCE + 30) as reply:
            return json.load(reply)["value"]

    def run(self, script: str, *arguments: Any) -> Any:
        return self.ask("POST", "/execute/sync", script=script, args=arguments)

    def press(self, element: Element, keys: str) -> None:
        self.ask("POST", f"/element/{element[ELEMENT]}/value", text=keys)

    def drag(self, element: Element, x: int) -> None:
        """Press the mouse in the middle of ``element`` and let go ``x`` pixels to the right."""
        middle = {"type": "pointerMove", "origin": element, "x": 0, "y": 0}
        press, release = ({"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp"))
        moves = [middle, press, middle | {"x": x}, release]
        self.ask("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": moves}])

    def picture(self, element: Element) -> Image.Image:
        shot = self.ask("GET", f"/element/{element[ELEMENT]}/screenshot")
        return Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB")


@contextmanager
def opened(report: Path) -> Iterator[Page]:
    """Show ``report`` in a Chromium that leaves no profile behind."""
    with (
        tempfile.TemporaryDirectory() as profile,
        subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as driver,
    ):
        try:
            assert driver.stdout
            port = next(
                found[1] for line in driver.stdout if (found := re.search(r"success.* port (\d+)", line))
            )
            sessions = Page(f"http://127.0.0.1:{port}/session")
            chromium = {"binary": shutil.which("chromium"), "args": [*FLAGS, f"--user-data-dir={profile}"]}
            wanted = {"goog:chromeOptions": chromium, "timeouts": {"script": 1000 * PATIENCE}}
            new = sessions.ask("POST", capabilities={"alwaysMatch": wanted})
            page = Page(f"{sessions.session}/{new['sessionId']}")
            try:
                page.ask("POST", "/url", url=report.resolve().as_uri())
                yield page
            finally:
                page.ask("DELETE")
        finally:
            driver.terminate()


def expect(fact: bool, claim: str) -> None:
    """Say that ``claim`` holds, or end with saying that it does not."""
    if not fact:
        sys.exit(f"look: not so: {claim}")
    print(f"look: {claim}")


def same(one: Image.Image, other: Image.Image, start: float, stop: float) -> bool:
    """Tell if two pictures are similar between two shares of their width, below the labels."""
    width, height = one.size
    box = (int(start * width), height // 5, int(stop * width), height)
    difference = ImageChops.difference(one.crop(box), other.crop(box))
    return not any(difference.convert("L").histogram()[12:])


def check_pair(page: Page, pair: Element) -> None:
    """Play, step and wipe one pair; leaves it on its third frame with the slider at a quarter."""
    stage, wipe, time, number, left, right = (
        page.run("return arguments[0].querySelector(arguments[1])", pair, name)
        for name in (".stage", ".wipe", ".time", ".frame", ".left", ".right")
    )
    drifts = page.run(DRIFTS, pair, left, right)
    print("look: the videos play")
    median, worst = drifts[len(drifts) // 2], drifts[-1]
    expect(median < 0.5, f"playing, half the time at most {median:.2f} frames apart, at worst {worst:.2f}")

    page.press(time, HOME + RIGHT + RIGHT)
    expect(page.run(SETTLED), "stepping by key ends on a picture")
    shown = page.run(SHOWN, pair, number, left, right)
    expect(shown == [3, 3, 3], "two steps from the first frame, number and both videos stand at the third")

    page.press(wipe, END)
    all_left = page.picture(stage)
    page.press(wipe, HOME)
    all_right = page.picture(stage)
    page.drag(wipe, -all_right.width // 4)
    wiped = page.picture(stage)
    expect(not same(all_left, all_right, 0.05, 0.95), "the two ends of the slider show different pictures")
    expect(
        same(wiped, all_left, 0.05, 0.2) and same(wiped, all_right, 0.3, 0.95),
        "dragged to a quarter, the left video fills it and the right one the rest",
    )


def look(report: Path, screenshot: Path) -> None:
    with opened(report) as page:
        expect(page.run(SETTLED), "every video has loaded")
        pairs = page.run("return [...document.querySelectorAll('.pair')]")
        expect(len(pairs) > 0, "there is a pair to compare")
        for pair in pairs:
            check_pair(page, pair)
        rows = page.run("return [...document.querySelectorAll('tbody tr')].map((row) => row.innerText)")
        expect(len(rows) > 0, "the table has rows: " + "; ".join(row.replace("\t", " ") for row in rows))
        height = page.run("return document.documentElement.scrollHeight + outerHeight - innerHeight")
        page.ask("POST", "/window/rect", width=1100, height=height)
        screenshot.write_bytes(base64.b64decode(page.ask("GET", "/screenshot")))
    print(f"look: {screenshot}")


if __name__ == "__main__":
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if missing:
        print(f"look: no {missing[0]}; apt-get install chromium chromium-driver", file=sys.stderr)
        sys.exit(2)
    look(*map(Path, sys.argv[1:]))
