"""The page of many runs, in headless Chromium, as a reader uses it: wipe, choose, step, play, read."""

import json
import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from dcvsr.report.__main__ import gather, render
from dcvsr.runtime.files import write_whole
from dcvsr.video.io import write_clip
from experiments.demo.look import END, HOME, RIGHT, Page, opened

MISSING = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}: Debian's chromium, chromium-driver")

OTHER = "upscaler_whose_name_is_longer_than_a_phone_is_wide"
ROWS = ("bicubic", "dcvsr", OTHER)
METRICS = ("psnr", "ssim", "musiq", "dover")
CLIPS = ("carphone", "foreman")
NAMED = {
    "pairs": {},
    "trainings": {},
    "settings": [],
    "reference": "dcvsr",
    "truth": None,
    "equal_evaluations": False,
    "media": 6,
    "crops": {"count": 2, "side": 16},
    "crf": 12,
}
STILL = [{"name": "prefers-reduced-motion", "value": "reduce"}]
SETTLED = """
    const videos = [...document.querySelectorAll("video.left, video.right")];
    const settled = () => videos.every((video) => video.readyState >= 2 && !video.seeking);
    return new Promise((resolve) => {
        const poll = () => settled() ? resolve(true) : setTimeout(poll, 20);
        requestAnimationFrame(poll);
    });
"""
MOVED = """
    const [clip, before] = arguments;
    const videos = [...document.querySelectorAll(".pair")[clip].querySelectorAll("video.left, video.right")];
    const moved = () => videos.every((video) => !video.paused && video.currentTime !== before);
    return new Promise((resolve) => {
        const poll = () => moved() ? resolve(true) : setTimeout(poll, 20);
        poll();
    });
"""
SHOWN = """
    return [...document.querySelectorAll(".pair")].map((pair) => {
        const of = (side) => {
            const video = pair.querySelector("video." + side);
            return [video.dataset.label, Math.floor(video.currentTime * pair.dataset.rate) + 1];
        };
        return [of("left"), of("right"), Number(pair.querySelector(".frame").value)];
    });
"""
WIPED = """
    return [...document.querySelectorAll("video.left")].map((video) => {
        const cut = getComputedStyle(video).clipPath.match(/calc\\(100% - ([\\d.]+)%\\)|([\\d.]+)%/);
        return cut[1] === undefined ? 100 - Number(cut[2]) : Number(cut[1]);
    });
"""
LAID_OUT = """
    const paper = getComputedStyle(document.body).backgroundColor;
    const [left, right] = ["left", "right"].map(
        (side) => document.querySelector(`select[data-side=${side}]`).getBoundingClientRect());
    const light = Number(paper.match(/\\d+/)[0]) > 128;
    return [document.documentElement.scrollWidth, light, right.left - left.right];
"""
PLOTS = """
    return [...document.querySelectorAll("figure > svg")].map((svg) => {
        const frame = svg.getBoundingClientRect();
        const texts = [...svg.querySelectorAll("text")].map((text) => {
            const box = text.getBoundingClientRect();
            const { left, top } = frame;
            return [box.left - left, box.top - top, box.right - left, box.bottom - top];
        });
        const colour = (element) => getComputedStyle(element).fill;
        return [frame.width, frame.height, texts, colour(svg.querySelector("g > use:has(title)")),
                colour(svg.querySelector("text"))];
    });
"""
CELLS = """
    return [...document.querySelectorAll(arguments[0])].map(
        (table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim())));
"""


def score(row: str, clip: str) -> float:
    return 20.0 + 3 * ROWS.index(row) + CLIPS.index(clip)


def make_runs(folder: Path) -> Path:
    """Each row's videos are of one level of grey with a square that runs, in a place of its own."""
    for number, row in enumerate(ROWS):
        (folder / row / "videos").mkdir(parents=True)
        for clip in CLIPS:
            frames = torch.full((4, 3, 48, 64), 0.2 + 0.3 * number)
            for i in range(4):
                frames[i, :, 16 * number : 16 * number + 16, 8 * i : 8 * i + 16] = 0.9
            write_clip(folder / row / f"videos/{clip}.mp4", frames, Fraction(5), crf=12)
        summary = {
            "dataset": "tiny",
            "upscaler": row,
            "seed": 0,
            "metrics": {metric: {"mean": 0.0, "higher_is_better": True} for metric in METRICS},
            "clips": {clip: dict.fromkeys(METRICS, score(row, clip)) for clip in CLIPS},
            "cost": {"evaluations": 48 * number, "seconds": 2.5},
            "overrides": [],
        }
        write_whole(folder / row / "summary.json", json.dumps(summary))
    return folder


def overlap(one: list[float], other: list[float]) -> bool:
    """Tell if two boxes of text overlap by more than the room for accents and descenders."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 0 and down > 0.4 * (one[3] - one[1])


def lightness(colour: str) -> float:
    """The mean of the channels of ``rgb(r, g, b)``, from 0 to 255."""
    return fmean(map(float, re.findall(r"[0-9.]+", colour)[:3]))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("chromium")
    write_whole(folder / "page.html", render(gather(NAMED | {"runs": str(make_runs(folder / "runs"))})))
    with opened(folder / "page.html") as page:
        devtools(page, "Emulation.setEmulatedMedia", features=STILL)
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    browser.ask("POST", "/refresh")
    assert browser.run(SETTLED)
    return browser


def devtools(page: Page, cmd: str, **params: Any) -> None:
    page.ask("POST", "/goog/cdp/execute", cmd=cmd, params=params)


def element(page: Page, selector: str, number: int = 0) -> Any:
    return page.run("return document.querySelectorAll(arguments[0])[arguments[1]]", selector, number)


def test_one_slider_wipes_every_clip(page: Page) -> None:
    assert page.run(WIPED) == [50, 50]
    page.press(element(page, ".wipe"), END)
    assert page.run(WIPED) == [100, 100]
    page.press(element(page, ".wipe", 1), HOME)
    assert page.run(WIPED) == [0, 0]
    wipe = element(page, ".wipe")
    page.drag(wipe, -page.run("return arguments[0].clientWidth", wipe) // 4)
    assert page.run(WIPED) == pytest.approx([25, 25], abs=1)
    values = page.run("return [...document.querySelectorAll('.wipe')].map((wipe) => wipe.valueAsNumber)")
    assert values == pytest.approx([25, 25], abs=1)


def test_a_wipe_shows_the_left_video_on_the_left(page: Page) -> None:
    wipe, stage = element(page, ".wipe"), element(page, ".stage")
    page.press(wipe, HOME)
    all_right = page.picture(stage)
    page.press(wipe, END)
    all_left = page.picture(stage)
    width, height = all_left.size
    probe = (width // 2, height - 30)
    (left, *_), (right, *_) = all_left.getpixel(probe), all_right.getpixel(probe)
    assert left == pytest.approx(0.2 * 255, abs=12), "bicubic"
    assert right == pytest.approx(0.5 * 255, abs=12), "dcvsr"


def test_a_choice_of_videos_holds_for_every_clip(page: Page) -> None:
    assert [sides[:2] for sides in page.run(SHOWN)] == [[["bicubic", 1], ["dcvsr", 1]]] * 2
    page.press(element(page, "select[data-side=left]"), OTHER)
    assert page.run(SETTLED)
    assert [sides[:2] for sides in page.run(SHOWN)] == [[[OTHER, 1], ["dcvsr", 1]]] * 2
    chosen = page.run("return [...document.querySelectorAll('select')].map((select) => select.value)")
    assert chosen == [OTHER, "dcvsr"] * 2


def test_choosing_what_the_other_side_shows_swaps_them(page: Page) -> None:
    page.press(element(page, "select[data-side=right]", 1), "bicubic")
    assert page.run(SETTLED)
    assert [sides[:2] for sides in page.run(SHOWN)] == [[["dcvsr", 1], ["bicubic", 1]]] * 2


def test_a_step_moves_both_videos_of_its_clip_alone_and_survives_a_choice(page: Page) -> None:
    page.press(element(page, ".time"), RIGHT + RIGHT)
    assert page.run(SETTLED)
    assert page.run(SHOWN) == [[["bicubic", 3], ["dcvsr", 3], 3], [["bicubic", 1], ["dcvsr", 1], 1]]
    page.press(element(page, "select[data-side=left]"), OTHER)
    assert page.run(SETTLED)
    assert page.run(SHOWN)[0] == [[OTHER, 3], ["dcvsr", 3], 3]


def test_videos_play_when_asked_to_and_stand_again(page: Page) -> None:
    before = page.run("return document.querySelector('video.right').currentTime")
    button = element(page, ".play")
    page.press(button, " ")
    assert page.run(MOVED, 0, before)
    assert page.run("return arguments[0].textContent", button) == "Pause"
    page.press(button, " ")
    assert page.run(SETTLED)
    assert page.run("return [...document.querySelectorAll('video')].every((video) => video.paused)")


def test_the_table_says_what_the_summaries_say(page: Page) -> None:
    [table] = page.run(CELLS, "table:not(.deltas)")
    assert table[0] == ["", *(f"{metric.upper()} ↑" for metric in METRICS)]
    means = {row[0]: [cell.split()[0] for cell in row[1:]] for row in table[1:]}
    assert means == {row: [f"{sum(score(row, clip) for clip in CLIPS) / 2:.2f}"] * 4 for row in ROWS}


def test_each_clip_s_differences_are_there_and_coloured(page: Page) -> None:
    table, *_ = page.run(CELLS, "table.deltas")
    assert table == [
        ["", "bicubic", OTHER],
        *([clip, "+3.00", "-3.00"] for clip in CLIPS),
        ["better on", "2 of 2", "0 of 2"],
    ]
    colours = page.run(
        "return [...document.querySelectorAll('.deltas tbody td')].map((one) => getComputedStyle(one).color)"
    )
    ink = page.run("return getComputedStyle(document.body).color")
    assert len({*colours[:2], ink}) == 3
    assert colours == colours[:2] * 8


def test_every_row_shows_its_crops_upsampled_and_its_line_over_time(page: Page) -> None:
    pictures = page.run(
        "return [...document.images].map((image) => [image.alt, image.naturalWidth, image.width, "
        "getComputedStyle(image).imageRendering])"
    )
    crops = [picture for picture in pictures if picture[0] in ROWS]
    assert crops == [[row, 16, 32, "pixelated"] for row in ROWS] * 4, "two places in two clips"
    lines = [picture for picture in pictures if "over time" in picture[0]]
    assert [(natural, rendering) for _, natural, _, rendering in lines] == [(64, "pixelated")] * 6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_only_downwards(page: Page, scheme: str) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    devtools(page, "Emulation.setDeviceMetricsOverride", **phone)
    colours = [{"name": "prefers-color-scheme", "value": scheme}, *STILL]
    devtools(page, "Emulation.setEmulatedMedia", features=colours)
    try:
        page.press(element(page, "select[data-side=left]"), OTHER)
        width, light, gap = page.run(LAID_OUT)
    finally:
        devtools(page, "Emulation.clearDeviceMetricsOverride")
        devtools(page, "Emulation.setEmulatedMedia", features=STILL)
    assert (width, gap > 0) == (360, True)
    assert light == (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_the_texts_of_plots_are_large_enough_apart_and_inside(page: Page, width: int, scheme: str) -> None:
    window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    devtools(page, "Emulation.setDeviceMetricsOverride", **window)
    colours = [{"name": "prefers-color-scheme", "value": scheme}, *STILL]
    devtools(page, "Emulation.setEmulatedMedia", features=colours)
    try:
        plots = page.run(PLOTS)
        paper = page.run("return getComputedStyle(document.body).backgroundColor")
    finally:
        devtools(page, "Emulation.clearDeviceMetricsOverride")
        devtools(page, "Emulation.setEmulatedMedia", features=STILL)
    assert len(plots) == len(METRICS)
    for across, down, texts, marker, text in plots:
        assert len(texts) > len(ROWS)
        for left, top, right, bottom in texts:
            assert left >= -1 <= top
            assert right <= across + 1
            assert bottom <= down + 1
            assert bottom - top >= 9, "pixels"
        assert not [pair for pair in combinations(texts, 2) if overlap(*pair)]
        assert min(abs(lightness(colour) - lightness(paper)) for colour in (marker, text)) > 100


def test_nothing_is_logged_and_nothing_is_fetched(page: Page) -> None:
    assert page.ask("POST", "/se/log", type="browser") == []
    fetched = page.run(
        "return performance.getEntriesByType('resource').map((entry) => entry.name.slice(0, 5))"
    )
    assert {*fetched} <= {"data:"}
