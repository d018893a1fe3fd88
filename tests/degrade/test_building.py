"""Tests of making the LR of one clip: frames, hashes, and no files left after failures."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvsr.degradation.pipeline import Degradation, bicubic
from dcvsr.degradation.walk import Params
from dcvsr.degrade.building import Build
from dcvsr.degrade.hr_clips import ImageFolder
from dcvsr.degrade.parameters import DrawnParameters
from dcvsr.metrics.fidelity import CAP, PSNR
from dcvsr.runtime.errors import UserError
from tests.degradation.making import configured
from tests.degrade.making import digest_by_docstring, files, images, write_png


class DropsLastFrame:
    """A step that drops the last frame."""

    def draw(self, generator, shape) -> Params:
        return {}

    def apply(self, params, frames):
        *kept, _ = frames
        return iter(kept)


@pytest.fixture
def source(tmp_path: Path) -> ImageFolder:
    return ImageFolder(write_png(tmp_path / "hr", images(3, 32, 48)), "hr")


def build(source: ImageFolder, folder: Path, degradation: Degradation) -> Build:
    return Build(source, degradation, DrawnParameters(degradation, 0), lambda: {"psnr": PSNR()}, folder)


def test_frame_by_frame_lr_equals_degrading_the_whole_clip(source: ImageFolder, tmp_path: Path) -> None:
    degradation, ticks = configured("realbasicvsr"), []
    entry = build(source, tmp_path / "lr", degradation)(ticks.append)
    hr = torch.tensor(np.stack(images(3, 32, 48))).permute(0, 3, 1, 2) / 255
    lr = (degradation.apply(entry.parameters, hr) * 255).round().byte().permute(0, 2, 3, 1)
    for number, frame in enumerate(lr.numpy(), 1):
        assert np.array_equal(Image.open(tmp_path / f"lr/{number}.png"), frame)
    assert ticks == [1, 1, 1]


def test_both_hashes_match_the_files(source: ImageFolder, tmp_path: Path) -> None:
    entry = build(source, tmp_path / "lr", bicubic(4))(lambda _: None)
    assert entry.lr_sha256 == digest_by_docstring(tmp_path / "lr")
    assert entry.hr_sha256 == digest_by_docstring(tmp_path / "hr")


def test_files_of_an_earlier_attempt_are_removed(source: ImageFolder, tmp_path: Path) -> None:
    write_png(tmp_path / "lr", images(9, 8, 8))
    entry = build(source, tmp_path / "lr", bicubic(4))(lambda _: None)
    assert entry.lr_sha256 == digest_by_docstring(tmp_path / "lr")


def test_a_flat_clip_scores_the_highest_psnr(tmp_path: Path) -> None:
    grey = ImageFolder(write_png(tmp_path / "hr", [np.full((16, 16, 3), 99, np.uint8)]), "hr")
    entry = build(grey, tmp_path / "lr", bicubic(4))(lambda _: None)
    assert entry.fingerprint == {"psnr": CAP}


def test_the_source_of_a_symbolic_link_is_its_target(tmp_path: Path) -> None:
    write_png(tmp_path / "official/017", images(1, 16, 16))
    (tmp_path / "257").symlink_to(tmp_path / "official/017")
    entry = build(ImageFolder(tmp_path / "257", "257"), tmp_path / "lr", bicubic(4))(lambda _: None)
    assert entry.source == "017"


def test_an_interrupt_leaves_no_folder(source: ImageFolder, tmp_path: Path) -> None:
    def interrupt(frames: int) -> None:
        assert files(tmp_path / "lr")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "lr", bicubic(4))(interrupt)
    assert not (tmp_path / "lr").exists()


def test_a_full_disk_is_a_one_line_error(
    source: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match=r"cannot write .*lr \(No space left on device\); free disk space"):
        build(source, tmp_path / "lr", bicubic(4))(lambda _: None)
    assert not (tmp_path / "lr").exists()


def test_a_degradation_that_drops_frames_is_an_error(source: ImageFolder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 frames became 2"):
        build(
            source,
            tmp_path / "lr",
            Degradation(4, {"reduce": bicubic(4).steps["reduce"], "drop": DropsLastFrame()}),
        )(lambda _: None)
    assert not (tmp_path / "lr").exists()
