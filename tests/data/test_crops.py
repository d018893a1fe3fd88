"""Crops: each is one place of one clip, drawn by seed and index alone."""

from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from dcvsr.data.clips import ALL
from dcvsr.data.crops import CentreCrops, RandomCrops
from dcvsr.errors import UserError


@dataclass(frozen=True)
class Chart:
    """A clip whose pixels say where they are: (10 number + frame, y, x)."""

    number: int
    frames: int
    size: tuple[int, int]

    @property
    def name(self) -> str:
        return f"chart-{self.number}"

    def __len__(self) -> int:
        return self.frames

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        assert 0 <= start <= self.frames - count
        axes = torch.arange(start, start + count) + 10 * self.number, *(torch.arange(s) for s in self.size)
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=1).byte()[:, :, rows, columns]


CLIPS = {"long": Chart(1, 10, (20, 24)), "short": Chart(2, 4, (40, 16))}
CROPS = RandomCrops(CLIPS, frames=3, crop=12, count=400, seed=0)
SAMPLES = [CROPS[index]["hr"] for index in range(len(CROPS))]


def test_a_crop_is_one_place_of_one_clip_in_consecutive_frames() -> None:
    for hr in SAMPLES:
        assert hr.shape == (3, 3, 12, 12)
        time, y, x = (plane.int() for plane in hr.unbind(1))
        assert (time.diff(dim=0) == 1).all()
        assert (time == time[:, :1, :1]).all()
        assert (y.diff(dim=1) == 1).all()
        assert (x.diff(dim=2) == 1).all() or (x.diff(dim=2) == -1).all()


def test_half_of_the_crops_are_mirrored() -> None:
    mirrored = sum(bool(hr[0, 2, 0, 0] > hr[0, 2, 0, 1]) for hr in SAMPLES)
    assert 160 < mirrored < 240


def test_every_start_of_every_clip_is_drawn_alike() -> None:
    starts = Counter(int(hr[0, 0, 0, 0]) for hr in SAMPLES)
    assert sorted(starts) == [*range(10, 18), 20, 21]
    assert all(20 < count < 65 for count in starts.values())


def test_crops_reach_every_border() -> None:
    places = {(int(hr[0, 0, 0, 0]) // 10, int(hr[0, 1, 0, 0]), int(hr[0, 2, 0].min())) for hr in SAMPLES}
    for number, (height, width) in [(1, (20, 24)), (2, (40, 16))]:
        tops, lefts = ({place[axis] for place in places if place[0] == number} for axis in (1, 2))
        assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, height - 12, 0, width - 12)


def test_a_sample_is_a_function_of_seed_and_index_alone() -> None:
    fewer = RandomCrops(CLIPS, frames=3, crop=12, count=5, seed=0)
    assert all(torch.equal(fewer[index]["hr"], SAMPLES[index]) for index in (4, 0, 2))
    other = RandomCrops(CLIPS, frames=3, crop=12, count=5, seed=1)
    assert not all(torch.equal(other[index]["hr"], SAMPLES[index]) for index in range(5))


def test_centre_crops_are_the_middle_of_the_first_frames() -> None:
    crops = CentreCrops(CLIPS, frames=3, crop=12)
    assert [crops[index]["name"] for index in range(len(crops))] == ["long", "short"]
    hr = crops[0]["hr"]
    assert hr.shape == (1, 3, 3, 12, 12)
    assert hr[0, 0, :, 0, 0].tolist() == [10, 4, 6]
    assert torch.equal(hr, crops[0]["hr"])


@pytest.mark.parametrize(("frames", "crop"), [(5, 12), (3, 17)])
def test_a_clip_too_small_for_the_crops_is_named_with_its_size(frames: int, crop: int) -> None:
    for make in (lambda: RandomCrops(CLIPS, frames, crop, 1, 0), lambda: CentreCrops(CLIPS, frames, crop)):
        with pytest.raises(UserError, match=f"short is 16x40, 4 frames: .* {crop}x{crop}, {frames} frames"):
            make()


def test_no_clips_at_all_are_refused() -> None:
    with pytest.raises(UserError, match="no clips"):
        CentreCrops({}, frames=1, crop=8)
