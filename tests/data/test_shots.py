"""Tests of shot detection and its cache."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dcvsr.data.clips import FrameFolder, VideoClip
from dcvsr.data.packaged import packaged
from dcvsr.data.shots import Detected, OneShot
from dcvsr.data.synthetic import Spiral, Translation
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import write_frames


@dataclass
class Film:
    """Synthetic clips one after another; counts its reads."""

    parts: Sequence[Translation | Spiral]
    digest: str = "film"
    name: str = "film"
    reads: int = field(default=0)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def read(self, start: int, count: int) -> Tensor:
        self.reads += 1
        return torch.cat([part.read(0, len(part)) for part in self.parts])[start : start + count]


@pytest.fixture(scope="module")
def parts() -> list[Translation | Spiral]:
    return [
        Translation(seed=1, frames=9, height=48, width=64, dx=0.4, dy=-0.2),
        Spiral(seed=2, frames=5, height=48, width=64, degrees=0.3, zoom=1.02),
        Translation(seed=3, frames=2, height=48, width=64, dx=0, dy=0),
        Translation(seed=4, frames=8, height=48, width=64, dx=-0.5, dy=0),
    ]


def test_cuts_are_found_and_motion_is_not_a_cut(parts: list[Translation | Spiral], tmp_path: Path) -> None:
    assert Detected(tmp_path, 27)(Film(parts)) == [
        range(9),
        range(9, 14),
        range(14, 16),
        range(16, 24),
    ]


def test_shots_are_detected_once_per_digest_and_threshold(
    parts: list[Translation | Spiral], tmp_path: Path
) -> None:
    film = Film(parts)
    first = Detected(tmp_path, 27)(film)
    reads = film.reads
    assert Detected(tmp_path, 27)(film) == first
    assert film.reads == reads
    Detected(tmp_path, 20)(film)
    assert film.reads == 2 * reads
    film.digest = "another"
    Detected(tmp_path, 27)(film)
    assert film.reads == 3 * reads


def test_a_clip_without_cuts_is_one_shot(parts: list[Translation | Spiral], tmp_path: Path) -> None:
    assert Detected(tmp_path, 27)(Film(parts[:1])) == [range(9)]
    assert OneShot()(Film(parts)) == [range(24)]


def test_a_cache_that_is_a_file_is_an_error_that_names_it(
    parts: list[Translation | Spiral], tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match=r"cannot store the cuts of film in .*taken .*; name another folder"):
        Detected(tmp_path / "taken", 27)(Film(parts[:1]))


def test_the_cuts_of_a_real_video_are_found(tmp_path: Path) -> None:
    """bikes has six shots, found by eye."""
    clip = VideoClip(packaged("bikes"), tmp_path, shots=Detected(tmp_path, 27))
    assert [shot.start for shot in clip.shots] == [0, 30, 76, 137, 187, 242]
    part = VideoClip(packaged("bikes"), tmp_path, start=40, stop=100, shots=Detected(tmp_path, 27))
    assert part.shots == [range(36), range(36, 60)]


def test_a_changed_frame_folder_is_detected_again(parts: list[Translation | Spiral], tmp_path: Path) -> None:
    def images(parts: Sequence[Translation | Spiral]) -> Tensor:
        return Film(parts).read(0, 99).permute(0, 2, 3, 1).contiguous()

    write_frames(tmp_path / "film", images(parts[:2]).numpy(), [])
    detected = Detected(tmp_path / "cache", 27)
    assert FrameFolder(tmp_path / "film", shots=detected).shots == [range(9), range(9, 14)]
    (tmp_path / "film" / "00000013.png").unlink()
    assert FrameFolder(tmp_path / "film", shots=detected).shots == [range(9), range(9, 13)]
