"""Tests of the contact sheet: a row per clip, a column per step."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from dcvsr.degradation.pipeline import Degradation
from dcvsr.degradation.walk import Params
from dcvsr.degrade.building import Build
from dcvsr.degrade.contact_sheet import SIDE, Preview, SheetPicture, SheetRow, sheet
from dcvsr.degrade.hr_clips import ImageFolder
from dcvsr.degrade.parameters import DrawnParameters
from tests.degradation.making import configured
from tests.degrade.making import images, write_png


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return ImageFolder(write_png(tmp_path_factory.mktemp("sheet") / "a", images(3, 32, 32)), "a")


def row(source: ImageFolder, degradation: Degradation, seed: int) -> SheetRow:
    return Preview(source, degradation, DrawnParameters(degradation, seed))(lambda _: None)


def applied_steps(params: Params) -> list[str]:
    """Return the names of the steps that are applied; `last`, and `reduce` in it, contain others."""
    names = []
    for name, drawn in params.items():
        if drawn is not None:
            names += applied_steps(drawn) if name in ("last", "reduce") and "kernel" not in drawn else [name]
    return names


@pytest.mark.parametrize("name", ["realbasicvsr", "light", "bicubic"])
def test_each_applied_step_has_a_column(name: str, source: ImageFolder) -> None:
    degradation = configured(name)
    for seed in range(2):
        params = DrawnParameters(degradation, seed)("a", (3, 3, 32, 32))
        assert [picture.name for picture in row(source, degradation, seed).pictures] == (
            ["HR", *applied_steps(params), "LR"]
        )


def test_steps_with_the_same_name_show_their_own_parameters(source: ImageFolder) -> None:
    """degradation=light resizes by a factor, and again to LR."""
    degradation = configured("light")
    params = DrawnParameters(degradation, 0)("a", (3, 3, 32, 32))
    walk, last = (picture for picture in row(source, degradation, 0).pictures if picture.name == "resize")
    assert walk.numbers[0] == f"kernel {params['resize']['kernel']}"
    assert walk.numbers[1].startswith("scale ")
    assert last.numbers == (f"kernel {params['last']['reduce']['resize']['kernel']}", "8x8")


def test_parameters_are_those_of_the_frame_that_is_shown(tmp_path: Path) -> None:
    still = configured("light", "degradation.steps.jpeg.quality.step=0")
    clip = ImageFolder(write_png(tmp_path / "a", images(9, 32, 32)), "a")
    start = DrawnParameters(still, 0)("a", (9, 3, 32, 32))["jpeg"]["quality"]["start"]
    shown = {p.name: p.numbers for p in row(clip, still, 0).pictures}["jpeg"]
    walked = {p.name: p.numbers for p in row(clip, configured("light"), 0).pictures}["jpeg"]
    assert shown[0] == f"quality {start:.3g}"
    assert walked[0] != shown[0]
    assert abs(float(walked[0].split()[1]) - start) <= 4 * 3


def test_lr_equals_the_frame_of_the_set(source: ImageFolder, tmp_path: Path) -> None:
    for name in ("realbasicvsr", "light", "bicubic"):
        degradation = configured(name)
        Build(source, degradation, DrawnParameters(degradation, 0), dict, tmp_path / name)(lambda _: None)
        hr, *_, lr = row(source, degradation, 0).pictures
        for picture, path in ((hr, source.path / "2.png"), (lr, tmp_path / name / "2.png")):
            with Image.open(path) as frame:
                assert np.array_equal(picture.image, frame.resize((SIDE, SIDE), Image.Resampling.NEAREST))


def test_all_pictures_show_the_same_part_of_the_scene(tmp_path: Path) -> None:
    """A white square at the centre of a black frame stays at the centre."""
    image = np.zeros((256, 512, 3), np.uint8)
    image[96:160, 224:288] = 255
    clip = ImageFolder(write_png(tmp_path / "a", [image]), "a")
    pictures = row(clip, configured("bicubic"), 0).pictures
    assert len(pictures) > 1
    for picture in pictures:
        rows, columns = np.nonzero(np.asarray(picture.image)[..., 1] > 127)
        for places in (rows, columns):
            assert places.min() == pytest.approx(SIDE / 2 - 32, abs=4)
            assert places.max() == pytest.approx(SIDE / 2 + 31, abs=4)


def test_pictures_are_arranged_in_rows_and_columns() -> None:
    colours = [["#f00000", "#00f000", "#0000f0"], ["#f0f000", "#00f0f0"]]
    rows = [
        SheetRow(
            "", "", tuple(SheetPicture("", (), Image.new("RGB", (SIDE, SIDE), colour)) for colour in row)
        )
        for row in colours
    ]
    image = np.asarray(Image.open(io.BytesIO(sheet("", rows))))
    tops, lefts = [], []
    for colour in (colour for row in colours for colour in row):
        ys, xs = np.nonzero((image == ImageColor.getrgb(colour)).all(-1))
        assert (np.ptp(ys) + 1, np.ptp(xs) + 1, len(ys)) == (SIDE, SIDE, SIDE**2)  # not cropped or covered
        tops.append(ys.min())
        lefts.append(xs.min())
    assert tops[0] == tops[1] == tops[2] < tops[3] == tops[4]
    assert lefts[0] == lefts[3] < lefts[1] == lefts[4] < lefts[2]


@pytest.mark.parametrize("title", ["", "雪", "a, b (1)", "x" * 300])
def test_any_title_can_be_drawn(title: str) -> None:
    """The sheet is blank only if the title is empty."""
    picture = SheetPicture("", (), Image.new("RGB", (SIDE, SIDE), "#ffffff"))
    image = Image.open(io.BytesIO(sheet("", [SheetRow(title, "", (picture,))])))
    assert (image.getextrema() == ((255, 255),) * 3) == (title == "")
