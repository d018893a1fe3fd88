"""Tests of the folder layouts of UDM10 and VideoLQ, and errors if they are incomplete."""

from pathlib import Path

import pytest

from dcvsr.data.layouts import require_udm10, require_videolq, udm10
from dcvsr.runtime.errors import UserError


def make(folder: Path, frames: int) -> None:
    folder.mkdir(parents=True)
    for frame in range(frames):
        (folder / f"{frame:04d}.png").touch()


@pytest.mark.parametrize("layout", ["{clip}/truth", "GT/{clip}"])
def test_udm10_is_found_in_either_layout(layout: str, tmp_path: Path) -> None:
    for clip in range(10):
        make(tmp_path / layout.format(clip=f"{clip:03d}"), 32)
    require_udm10(str(tmp_path))
    clips = udm10(str(tmp_path))
    assert sorted(clips) == [f"{clip:03d}" for clip in range(10)]
    (clips["004"] / "0031.png").unlink()
    with pytest.raises(UserError, match=r"clips with fewer than 32 frames: 004 \(31\)"):
        require_udm10(str(tmp_path))


def test_udm10_in_another_layout_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "000", 32)
    with pytest.raises(
        UserError, match=r"has none of 10 clips: give data.path=FOLDER that holds <clip>/truth"
    ):
        require_udm10(str(tmp_path))
    with pytest.raises(UserError, match="no such folder"):
        require_udm10(str(tmp_path / "nowhere"))


def test_videolq_has_fifty_clips_with_frames(tmp_path: Path) -> None:
    for clip in range(50):
        make(tmp_path / f"{clip:03d}", clip % 2 + 1)
    require_videolq(str(tmp_path))
    (tmp_path / "012/0000.png").unlink()
    with pytest.raises(UserError, match="without frames: 012"):
        require_videolq(str(tmp_path))
    (tmp_path / "012").rmdir()
    with pytest.raises(UserError, match=r"has 49 \(000, 001, 002, ...\) of 50 clips"):
        require_videolq(str(tmp_path))
