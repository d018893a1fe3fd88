"""Tests of pairs: HR and LR are matched by name, and must match in shape."""

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


def test_clips_are_paired_by_the_names_of_the_lr_clips(tmp_path: Path) -> None:
    lr, hr = clip(3, 16, 20), clip(3, 64, 80)
    [(name, pair)] = pairs({"b": clip(9, 16, 16), "a": hr}, {"a": lr}).items()
    assert (name, pair.hr, pair.lr) == ("a", hr, lr)


def test_an_lr_set_is_read_as_a_folder_of_clips(tmp_path: Path) -> None:
    lr = clip(3, 16, 20)
    write(tmp_path / "lr" / "a", lr)
    (tmp_path / "lr" / "manifest.json").write_text("{}")
    [pair] = pairs({"a": clip(3, 64, 80)}, folder_of_clips(tmp_path / "lr", tmp_path)).values()
    assert torch.equal(pair.lr.read(0, 3), lr.read(0, 3))


@pytest.mark.parametrize("hr", [clip(2, 64, 80), clip(3, 60, 80), clip(3, 64, 84)])
def test_hr_with_another_length_or_size_is_an_error(hr: Wallpaper) -> None:
    message = (
        f"LR clip wallpaper-0 is 3 frames of 20x16, its HR is {len(hr)} frames of {hr.width}x{hr.height}, "
        "but 3 frames of 80x64 are expected"
    )
    with pytest.raises(UserError, match=message):
        Pair(hr, clip(3, 16, 20))


def test_lr_without_hr_is_an_error_that_names_it() -> None:
    with pytest.raises(UserError, match="LR clip a has no HR clip of the same name; HR has b"):
        pairs({"b": clip(3, 64, 64)}, {"a": clip(3, 16, 16)})


def test_unpaired_video_has_no_hr() -> None:
    lr = clip(3, 16, 16)
    assert unpaired({"old": lr})["old"].hr is None
