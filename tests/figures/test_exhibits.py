"""Tests of exhibits: columns, guide, frame rate and errors."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch

from dcvsr.data.synthetic import Translation
from dcvsr.figures.exhibits import exhibits
from dcvsr.imaging import to_unit, upsample
from dcvsr.runtime.errors import UserError


def clip(seed: int, frames: int = 3, height: int = 32, width: int = 48) -> Translation:
    return Translation(seed=seed, frames=frames, height=height, width=width, dx=0.5, dy=0.2)


LR, HR, OURS, THEIRS = (
    {"a": clip(0, 3, 16, 16)},
    {"a": clip(1, 3, 64, 64)},
    clip(2, 3, 64, 64),
    clip(3, 3, 64, 64),
)
RESULTS = {"theirs": {"a": THEIRS}, "ours": {"a": OURS, "b": OURS}}


def test_lr_is_the_first_column_and_hr_the_last() -> None:
    [shown] = exhibits(RESULTS, LR, HR)
    assert list(shown.columns) == ["LR", "theirs", "ours", "HR"]
    assert torch.equal(shown.columns["theirs"](1), to_unit(THEIRS.read(1, 1)[0]))
    assert torch.equal(shown.guide(2), to_unit(HR["a"].read(2, 1)[0]))


def test_lr_is_magnified_without_interpolation() -> None:
    [shown] = exhibits(RESULTS, LR)
    pixels, lr = shown.columns["LR"](1), to_unit(LR["a"].read(1, 1)[0])
    assert all(torch.equal(pixels[:, y::4, x::4], lr) for y in range(4) for x in range(4))


def test_without_hr_the_guide_is_upsampled_lr() -> None:
    [shown] = exhibits(RESULTS, LR)
    assert list(shown.columns) == ["LR", "theirs", "ours"]
    assert torch.equal(shown.guide(0), upsample(to_unit(LR["a"].read(0, 1)))[0])


def test_without_lr_all_clips_of_the_first_are_shown() -> None:
    assert [shown.name for shown in exhibits({"ours": RESULTS["ours"]})] == ["a", "b"]


@dataclass(frozen=True)
class AtThirty(Translation):
    rate: Fraction = Fraction(30)


def test_the_rate_is_that_of_the_clip_if_it_has_one() -> None:
    hr = AtThirty(seed=0, frames=3, height=64, width=64, dx=0.5, dy=0.2)
    assert [exhibits(RESULTS, LR, {"a": truth})[0].rate for truth in (HR["a"], hr)] == [25, 30]


def test_a_result_without_a_clip_is_an_error_that_names_it() -> None:
    with pytest.raises(UserError, match="theirs has no clip b; it has a"):
        exhibits(RESULTS, {**LR, "b": LR["a"]}, HR)


@pytest.mark.parametrize("size", [(2, 64, 64), (3, 64, 60)])
def test_another_length_or_size_is_an_error(size: tuple[int, int, int]) -> None:
    with pytest.raises(
        UserError, match=r"theirs has a in \d frames of \d+x64, the others in 3 frames of 64x64"
    ):
        exhibits({**RESULTS, "theirs": {"a": clip(0, *size)}}, LR, HR)
