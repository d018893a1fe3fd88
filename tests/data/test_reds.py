"""Tests of linking REDS's unpacked zips: 270 clips of 100 frames, or an error that names what is missing."""

import os
from pathlib import Path

import pytest
from PIL import Image

from dcvsr.data.reds_layout import require


@pytest.fixture(params=["{part}", "{folder}/{part}"])
def unpacked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder of unpacked zips, in either layout; all frames are links to one file."""
    Image.new("RGB", (1280, 720)).save(tmp_path / "black.png")
    for part, clips in (("train_sharp", 240), ("val_sharp", 30)):
        for clip in range(clips):
            place = request.param.format(part=part, folder=part.partition("_")[0])
            folder = tmp_path / "zips" / place / f"{clip:03d}"
            folder.mkdir(parents=True)
            for frame in range(100):
                os.link(tmp_path / "black.png", folder / f"{frame:08d}.png")
    return tmp_path / "zips"


def test_every_clip_is_linked_under_its_number(run, unpacked, tmp_path):
    done = run("reds", "input=zips", "output=data/REDS")
    assert done.code == 0, done.err
    require(str(tmp_path / "data/REDS"))
    (unpacked / next(unpacked.rglob("val_sharp")).relative_to(unpacked) / "000/of_240").touch()
    assert (tmp_path / "data/REDS/240/of_240").exists()
    assert not Path(os.readlink(tmp_path / "data/REDS/000")).is_absolute()
    again = run("reds", "input=zips", "output=data/REDS")
    assert (again.code, again.err.count("\n")) == (2, 1)


def test_missing_frames_and_parts_are_errors_and_nothing_is_written(run, unpacked, tmp_path):
    (next(unpacked.rglob("train_sharp")) / "003/00000050.png").unlink()
    done = run("reds", "input=zips", "output=data/REDS")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "frames of 1 of 270 clips (003 has 99 of 100, not 00000050.png)" in done.err
    assert not (tmp_path / "data").exists()
    done = run("reds", f"input={tmp_path}/none", "output=data/REDS")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "train_sharp" in done.err


def test_frames_of_another_size_are_an_error(run, unpacked, tmp_path):
    frame = next(unpacked.rglob("val_sharp")) / "007/00000000.png"
    frame.unlink()
    Image.new("RGB", (320, 180)).save(frame)
    done = run("reds", "input=zips", "output=data/REDS")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "007/00000000.png is 320x180, but REDS frames are 1280x720" in done.err
    assert not (tmp_path / "data").exists()


def test_a_dry_run_only_checks(run, unpacked, tmp_path):
    assert run("reds", "input=zips", "output=data/REDS", "dry_run=true").code == 0
    assert not (tmp_path / "data").exists()
