"""DOVER's views: sampled frames, fragments and levels."""

from collections.abc import Callable

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from dcvsr.metrics.dover_views import aesthetic_view, fragments, segments, technical_view
from dcvsr.runtime.errors import UserError

MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None, None]
STD = torch.tensor([58.395, 57.12, 57.375])[:, None, None, None]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clip(frames: int, height: int = 224, width: int = 224) -> Tensor:
    """Random clip of eight-bit levels in [0, 1]."""
    return torch.randint(256, (frames, 3, height, width), generator=generator(9)) / 255


def numbered(frames: int) -> Tensor:
    """Clip whose frames have their index as level."""
    return (torch.arange(frames) / 255)[:, None, None, None].expand(-1, 3, 64, 64)


def numbers(view: Tensor) -> Tensor:
    """Recover the frame indices of a view ``b c t h w`` of `numbered`."""
    return (view * STD + MEAN).mean((1, 3, 4)).round().int()


@given(
    frames=st.integers(1, 600),
    parts=st.sampled_from([(3, 32), (32, 1)]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100)
def test_segments_take_every_second_frame_of_equal_parts_and_wrap_around(
    frames: int, parts: tuple[int, int], seed: int
) -> None:
    count, length = parts
    seen = segments(frames, count, length, generator(seed))
    assert seen.shape == (count, length)
    assert ((seen[:, 1:] - seen[:, :-1]) % frames == 2 % frames).all()
    part = frames // count
    late = seen[:, 0] - part * torch.arange(count)
    assert ((late >= 0) & (late < max(part - 2 * length, 1))).all()


def test_segments_start_anywhere_that_fits_into_their_part() -> None:
    starts = torch.stack([segments(100, 32, 1, generator(seed))[:, 0] for seed in range(100)])
    assert (starts - 3 * torch.arange(32)).unique().tolist() == [0]
    starts = torch.stack([segments(210, 3, 32, generator(seed))[:, 0] for seed in range(100)])
    assert (starts - 70 * torch.arange(3)).unique().tolist() == [0, 1, 2, 3, 4, 5]


def test_the_technical_view_repeats_a_short_clip() -> None:
    seen = numbers(technical_view(numbered(14), generator()))
    assert seen.tolist() == [[(start + 2 * i) % 14 for i in range(32)] for start in (0, 4, 8)]


def test_the_aesthetic_view_has_all_of_32_frames_and_only_the_first_of_fewer() -> None:
    assert numbers(aesthetic_view(numbered(32), generator())).tolist() == [list(range(32))]
    assert numbers(aesthetic_view(numbered(31), generator())).tolist() == [[0] * 32]


def test_frames_of_224_pixels_are_not_resampled() -> None:
    frames = clip(1)
    expected = (frames[0][:, None] * 255 - MEAN) / STD
    for view, shape in ((technical_view, (3, 3, 32, 224, 224)), (aesthetic_view, (1, 3, 32, 224, 224))):
        seen = view(frames, generator())
        assert seen.shape == shape
        assert torch.allclose(seen, expected.expand_as(seen), atol=1e-5)


@given(height=st.integers(224, 700), width=st.integers(224, 700), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_each_fragment_is_a_square_inside_its_cell(height: int, width: int, seed: int) -> None:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([y % 256, x % 256, 16 * (y // 256) + x // 256]).to(torch.uint8)
    mosaic = fragments(torch.stack([place, 255 - place]), generator(seed)).int()
    assert torch.equal(mosaic[1], 255 - mosaic[0])
    y, x = mosaic[0, 0] + 256 * (mosaic[0, 2] // 16), mosaic[0, 1] + 256 * (mosaic[0, 2] % 16)
    for along, size, axis in ((y, height, 0), (x, width, 1)):
        squares = rearrange(along, "(i y) (j x) -> i j y x", i=7, j=7)
        corner = squares[..., :1, :1]
        steps = torch.arange(32).reshape((32, 1) if axis == 0 else (1, 32))
        assert torch.equal(squares, (corner + steps).expand_as(squares))
        cell = torch.arange(7).reshape((7, 1) if axis == 0 else (1, 7)) * (size // 7)
        offset = corner[..., 0, 0] - cell
        assert ((offset >= 0) & (offset <= size // 7 - 32)).all()


def test_fragments_are_drawn_independently() -> None:
    y = torch.arange(1000, dtype=torch.float).div(4).to(torch.uint8)[:, None].expand(1000, 1000)
    mosaic = fragments(y.expand(1, 3, -1, -1), generator())
    assert (mosaic[0, 0, ::32, ::32].int().amax(1) > mosaic[0, 0, ::32, ::32].int().amin(1)).all()


@pytest.mark.parametrize(("height", "width"), [(112, 112), (40, 224), (160, 300)])
def test_smaller_frames_are_upsampled_but_cut_at_the_cells_of_the_original(height: int, width: int) -> None:
    frames = (clip(2, height, width) * 255).round().to(torch.uint8)
    scale = 224 / min(height, width)
    upsampled = (F.interpolate(frames.double(), scale_factor=scale, mode="bilinear") + 1e-6).floor()
    mosaic = fragments(frames, generator())
    for i in range(7):
        top = min(height // 7 * i, height - 32)
        jitter = width // 7 - 32
        for j in range(7):
            left = min(width // 7 * j, width - 32)
            square = mosaic[..., 32 * i : 32 * i + 32, 32 * j : 32 * j + 32]
            places = [
                upsampled[..., top : top + 32, left + dx : left + dx + 32] for dx in range(max(jitter, 1))
            ]
            assert any(torch.equal(square.double(), place) for place in places)


def test_frames_smaller_than_a_fragment_are_rejected() -> None:
    with pytest.raises(UserError, match="DOVER needs 32x32 pixels, got frames of 40x31"):
        technical_view(clip(4, 31, 40), generator())


@pytest.mark.parametrize("level", [0, 77, 255])
@pytest.mark.parametrize("size", [(40, 64), (300, 240)])
def test_flat_frames_stay_flat(level: int, size: tuple[int, int]) -> None:
    frames = torch.full((4, 3, *size), level / 255)
    expected = (level - MEAN) / STD
    for view in (technical_view, aesthetic_view):
        seen = view(frames, generator())
        assert torch.allclose(seen, expected.expand_as(seen), atol=1e-5)


def test_the_aesthetic_view_is_bilinear_without_antialiasing() -> None:
    """Without antialiasing, a pixel at a quarter of the height averages only the middle rows of its block."""
    levels = (clip(1, 896, 448) * 255).double()
    tiles = rearrange(levels, "1 c (h i) (w j) -> c h w i j", i=4, j=2)[..., 1:3, :]
    expected = (tiles.mean((-2, -1))[:, None] - MEAN) / STD
    seen = aesthetic_view(clip(1, 896, 448), generator())[0]
    assert ((seen - expected).abs() * STD).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    ("view", "frames"), [(technical_view, clip(9, 240, 300)), (aesthetic_view, clip(130, 16, 16))]
)
def test_the_same_seed_gives_the_same_view(view: Callable[..., Tensor], frames: Tensor) -> None:
    once, again, other = (view(frames, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_views_round_to_eight_bits() -> None:
    frames = clip(3, 64, 64)
    assert torch.equal(
        technical_view(frames + 0.4 / 255, generator()), technical_view(frames.clamp(0, 1), generator())
    )
