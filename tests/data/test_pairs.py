"""Pairs: HR and LR of one scene, matched by name and never trimmed to fit."""

from pathlib import Path

import pytest
import torch
from einops import rearrange

from dcvsr.data.folders import folder_of_clips
from dcvsr.data.pairs import Pair, pairs, unpaired
from dcvsr.data.synthetic import Wallpaper
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import write_frames


def clip(frames: int, height: int, width: int) -> Wallpaper:
    return Wallpaper(seed=0, frames=frames, height=height, width=width, dx=1, dy=0, period=24)


def write(folder: Path, clip: Wallpaper) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_frames(folder, rearrange(clip.read(0, len(clip)), "f c h w -> f h w c").contiguous().numpy(), [])


def test_clips_are_matched_by_name_and_the_lr_set_decides_which(tmp_path: Path) -> None:
    lr, hr = clip(3, 16, 20), clip(3, 64, 80)
    [(name, pair)] = pairs({"b": clip(9, 16, 16), "a": hr}, {"a": lr}).items()
    assert (name, pair.hr, pair.lr) == ("a", hr, lr)


def test_an_lr_set_is_a_folder_with_a_manifest(tmp_path: Path) -> None:
    lr = clip(3, 16, 20)
    write(tmp_path / "lr" / "a", lr)
    (tmp_path / "lr" / "manifest.json").write_text("{}")
    [pair] = pairs({"a": clip(3, 64, 80)}, folder_of_clips(tmp_path / "lr", tmp_path)).values()
    assert torch.equal(pair.lr.read(0, 3), lr.read(0, 3))


@pytest.mark.parametrize("hr", [clip(2, 64, 80), clip(3, 60, 80), clip(3, 64, 84)])
def test_hr_of_other_frames_or_size_is_refused(hr: Wallpaper) -> None:
    told = (
        f"LR clip wallpaper-0 is 3 frames of 20x16, its HR {len(hr)} frames of {hr.width}x{hr.height}, "
        "where 3 frames of 80x64 are expected"
    )
    with pytest.raises(UserError, match=told):
        Pair(hr, clip(3, 16, 20))


def test_lr_without_hr_is_named() -> None:
    with pytest.raises(UserError, match="LR clip a has no HR clip of its name; there are b"):
        pairs({"b": clip(3, 64, 64)}, {"a": clip(3, 16, 16)})


def test_video_without_truth_has_no_hr() -> None:
    lr = clip(3, 16, 16)
    assert unpaired({"old": lr})["old"].hr is None
