"""Tests of random and centre crops: position, distribution, seeds, shots, pairs and errors."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from dcvsr.data.clips import ALL
from dcvsr.data.crops import CentreCrops, RandomCrops
from dcvsr.data.pairs import Pair
from dcvsr.runtime.errors import UserError


@dataclass(frozen=True)
class Chart:
    """A clip whose pixels encode their position: (10 number + frame, y, x)."""

    number: int
    frames: int
    size: tuple[int, int]

    rate = None

    @property
    def name(self) -> str:
        return f"chart-{self.number}"

    @property
    def shots(self) -> list[range]:
        return [range(self.frames)]

    def __len__(self) -> int:
        return self.frames

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        assert 0 <= start <= self.frames - count
        axes = torch.arange(start, start + count) + 10 * self.number, *(torch.arange(s) for s in self.size)
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=1).byte()[:, :, rows, columns]


CLIPS = {"long": Chart(1, 10, (20, 24)), "short": Chart(2, 4, (40, 16))}
CROPS = RandomCrops(CLIPS, frames=3, crop=12, count=400, seed=0, epoch=1)
SAMPLES = [CROPS[index]["hr"] for index in range(len(CROPS))]


def test_a_crop_has_one_position_in_consecutive_frames_of_one_clip() -> None:
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


def test_first_frames_are_uniform_over_all_clips() -> None:
    starts = Counter(int(hr[0, 0, 0, 0]) for hr in SAMPLES)
    assert sorted(starts) == [*range(10, 18), 20, 21]
    assert all(20 < count < 65 for count in starts.values())


def test_crops_reach_every_border() -> None:
    places = {(int(hr[0, 0, 0, 0]) // 10, int(hr[0, 1, 0, 0]), int(hr[0, 2, 0].min())) for hr in SAMPLES}
    for number, (height, width) in [(1, (20, 24)), (2, (40, 16))]:
        tops, lefts = ({place[axis] for place in places if place[0] == number} for axis in (1, 2))
        assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, height - 12, 0, width - 12)


def test_a_sample_depends_on_seed_epoch_and_number_alone() -> None:
    fewer = RandomCrops(CLIPS, frames=3, crop=12, count=5, seed=0, epoch=1)
    assert all(torch.equal(fewer[index]["hr"], SAMPLES[index]) for index in (4, 0, 2))
    assert [(fewer[index]["epoch"], fewer[index]["number"]) for index in (4, 0)] == [(1, 4), (1, 0)]
    for seed, epoch in ((1, 1), (0, 2)):
        other = RandomCrops(CLIPS, frames=3, crop=12, count=5, seed=seed, epoch=epoch)
        assert not all(torch.equal(other[index]["hr"], SAMPLES[index]) for index in range(5))


def constructors(clips: Any, frames: int, crop: int) -> list[Callable[[], object]]:
    """Return functions that construct both datasets."""
    return [lambda: RandomCrops(clips, frames, crop, 1, 0, 0), lambda: CentreCrops(clips, frames, crop)]


@dataclass(frozen=True)
class Film(Chart):
    """A chart with several shots."""

    cuts: tuple[int, ...]

    @property
    def shots(self) -> list[range]:
        return [range(*ends) for ends in pairwise([0, *self.cuts, self.frames])]


def test_random_crops_lie_within_one_shot_and_use_every_start() -> None:
    film = Film(0, 10, (16, 16), cuts=(4, 6))
    crops = RandomCrops({"film": film}, frames=3, crop=12, count=100, seed=0, epoch=1)
    starts = {int(crops[index]["hr"][0, 0, 0, 0]) for index in range(100)}
    assert starts == {0, 1, 6, 7}


def test_centre_crops_use_the_first_shot_that_is_long_enough() -> None:
    film = Film(0, 10, (16, 16), cuts=(2, 4))
    assert CentreCrops({"film": film}, frames=3, crop=12)[0]["hr"][0, :, 0, 0, 0].tolist() == [4, 5, 6]


def test_a_clip_of_short_shots_is_an_error_that_names_the_longest() -> None:
    film = {"film": Film(0, 10, (16, 16), cuts=(4, 6))}
    for make in constructors(film, frames=5, crop=12):
        with pytest.raises(UserError, match="film is 16x16, 10 frames, its longest shot 4: too small"):
            make()


def test_hr_and_lr_of_a_pair_are_cropped_at_the_same_position() -> None:
    pair = Pair(lr=Chart(0, 10, (5, 6)), hr=Chart(0, 10, (20, 24)))
    crops = RandomCrops({"pair": pair}, frames=3, crop=12, count=50, seed=0, epoch=0)
    for sample in [crops[index] for index in range(50)] + [CentreCrops({"pair": pair}, 3, 12)[0]]:
        hr, lr = (sample[part].reshape(3, 3, *sample[part].shape[-2:]) for part in ("hr", "lr"))
        assert lr.shape == (3, 3, 3, 3)
        assert torch.equal(lr[:, 0], hr[:, 0, ::4, ::4])
        places = hr[:, 1:, ::4, ::4], hr[:, 1:, 3::4, 3::4]
        assert torch.equal(torch.minimum(*places) // 4, lr[:, 1:])


def test_cropping_video_without_hr_is_an_error() -> None:
    for make in constructors({"old": Pair(None, Chart(0, 10, (16, 16)))}, frames=3, crop=12):
        with pytest.raises(UserError, match="clip old has no HR"):
            make()


def test_the_crop_of_a_pair_must_be_a_multiple_of_the_factor() -> None:
    pair = {"pair": Pair(hr=Chart(0, 10, (20, 24)), lr=Chart(0, 10, (5, 6)))}
    for make in constructors(pair, frames=3, crop=10):
        with pytest.raises(
            UserError, match="crop must be a multiple of 4, because clip pair has its own LR; got 10"
        ):
            make()


def test_centre_crops_are_the_centre_of_the_first_frames() -> None:
    crops = CentreCrops(CLIPS, frames=3, crop=12)
    assert [crops[index]["name"] for index in range(len(crops))] == ["long", "short"]
    hr = crops[0]["hr"]
    assert hr.shape == (1, 3, 3, 12, 12)
    assert hr[0, 0, :, 0, 0].tolist() == [10, 4, 6]
    assert torch.equal(hr, crops[0]["hr"])


@pytest.mark.parametrize(("frames", "crop"), [(5, 12), (3, 17)])
def test_a_clip_too_small_for_the_crops_is_an_error_that_gives_its_size(frames: int, crop: int) -> None:
    for make in constructors(CLIPS, frames, crop):
        with pytest.raises(UserError, match=f"short is 16x40, 4 frames: .* {crop}x{crop}, {frames} frames"):
            make()


def test_cropping_no_clips_is_an_error() -> None:
    for make in constructors({}, frames=1, crop=8):
        with pytest.raises(UserError, match="no clips"):
            make()
