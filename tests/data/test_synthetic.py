"""Tests of synthetic clips: flow and visibility match the pixels; seeds and random access."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from dcvsr.data.synthetic import Occlusion, Return, Spiral, SyntheticClip, Text, Translation, Wallpaper
from dcvsr.runtime.errors import UserError

SIZE = {"frames": 9, "height": 64, "width": 80}
CLIPS = [
    Translation(seed=0, **SIZE, dx=1.3, dy=-0.6),
    Wallpaper(seed=1, **SIZE, dx=0.7, dy=0.4, period=24),
    Spiral(seed=2, **SIZE, degrees=2.5, zoom=1.3),
    Occlusion(seed=3, **SIZE, dx=1.25, dy=0.5, front_dx=-1.7, front_dy=0.3),
    Return(seed=4, **SIZE, reach=1.25),
    Text(seed=5, **SIZE, dx=0.8, dy=-0.5, front_dx=-1.2, front_dy=0.4),
]
every_kind = pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a.float() - b.float()).div(255).square().mean().log10())


def warp(frame: Tensor, flow: Tensor) -> Tensor:
    """Warp ``frame`` backward by ``flow`` with torch's bicubic sampling."""
    _, height, width = frame.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([(2 * (x + flow[0]) + 1) / width - 1, (2 * (y + flow[1]) + 1) / height - 1], dim=-1)
    return F.grid_sample(frame[None].float(), grid[None], mode="bicubic", align_corners=False)[0]


def well_inside(visible: Tensor) -> Tensor:
    """Return the mask of pixels for which all bicubic sampling points are visible."""
    return ~F.max_pool2d((~F.pad(visible, [3] * 4)).float()[None], 7, stride=1)[0].bool()


@every_kind
def test_random_access_equals_reading_in_order(clip: SyntheticClip) -> None:
    everything = clip.read(0, len(clip))
    assert everything.shape == (9, 3, 64, 80)
    assert everything.dtype == torch.uint8
    for start, count in [(7, 2), (0, 1), (3, 4)]:
        assert torch.equal(clip.read(start, count), everything[start : start + count])


@every_kind
def test_reading_a_part_equals_cropping_the_whole(clip: SyntheticClip) -> None:
    part = clip.read(2, 3, slice(10, 42), slice(5, 69))
    assert torch.equal(part, clip.read(2, 3)[:, :, 10:42, 5:69])


@every_kind
def test_warping_the_next_frame_by_the_flow_gives_the_current_frame(clip: SyntheticClip) -> None:
    for index in (0, 3, 7):
        this, following = clip.read(index, 2)
        kept = well_inside(clip.visible(index))
        assert kept.float().mean() > (0.2 if isinstance(clip, Text) else 0.4)  # edges of letters are mixed
        explained = psnr(warp(following, clip.flow(index))[:, kept], this[:, kept])
        assert explained > 40
        assert explained > psnr(following[:, kept], this[:, kept]) + 15


@given(dx=st.floats(-8, 8), dy=st.floats(-8, 8), index=st.integers(0, 7))
@settings(max_examples=20)
def test_a_translation_moves_every_pixel_by_its_velocity(dx: float, dy: float, index: int) -> None:
    flow = Translation(seed=0, frames=9, height=16, width=24, dx=dx, dy=dy).flow(index)
    torch.testing.assert_close(
        flow, torch.tensor([dx, dy])[:, None, None].expand(2, 16, 24), atol=1e-5, rtol=0
    )


def test_two_half_pixel_shifts_equal_a_shift_by_one() -> None:
    first, _, third = Translation(seed=0, frames=3, height=32, width=32, dx=0.5, dy=0).read(0, 3)
    assert (third[..., 1:].int() - first[..., :-1].int()).abs().max() <= 1


def test_a_spiral_without_rotation_and_zoom_is_static() -> None:
    clip = Spiral(seed=0, **SIZE, degrees=0, zoom=1)
    assert torch.equal(clip.read(0, 1), clip.read(8, 1))
    torch.testing.assert_close(clip.flow(4), torch.zeros(2, 64, 80))


def test_a_spiral_rotates_about_the_centre_by_its_angle() -> None:
    flow = Spiral(seed=0, frames=5, height=65, width=65, degrees=90, zoom=1).flow(0)
    torch.testing.assert_close(flow[:, 32, 32], torch.zeros(2))
    torch.testing.assert_close(flow[:, 32, 42], torch.tensor([-10.0, 10.0]))  # from the right to the bottom


def test_each_pixel_of_an_occlusion_moves_with_one_of_the_two_layers() -> None:
    flow = CLIPS[3].flow(2)
    back, front = (torch.tensor(velocity)[:, None, None] for velocity in ([1.25, 0.5], [-1.7, 0.3]))
    with_back, with_front = ((flow - layer).abs().amax(0) < 1e-4 for layer in (back, front))
    assert (with_back ^ with_front).all()
    assert 0.1 < with_front.float().mean() < 0.6


def test_pixels_masked_as_hidden_do_not_match_the_next_frame() -> None:
    clip = CLIPS[3]
    this, following = clip.read(2, 2)
    hidden = ~clip.visible(2)
    hidden[:4], hidden[-4:], hidden[:, :4], hidden[:, -4:] = False, False, False, False
    assert hidden.any()
    assert psnr(warp(following, clip.flow(2))[:, hidden], this[:, hidden]) < 25


def correlation(patch: Tensor, frame: Tensor) -> Tensor:
    """Return the correlation of ``patch`` with every position of ``frame``."""
    places = F.unfold(frame[None].float(), patch.shape[-2:])[0]
    a, b = (x - x.mean(0) for x in (patch.float().reshape(-1, 1), places))
    return F.cosine_similarity(a, b, dim=0)


def test_the_first_view_of_return_disappears_and_comes_back() -> None:
    clip = Return(seed=4, frames=41, height=48, width=64, reach=1.25)
    patch = clip.read(0, 1)[0][:, 12:36, 20:44]
    assert correlation(patch, clip.read(1, 1)[0]).max() > 0.95
    assert max(correlation(patch, frame).max() for frame in clip.read(18, 5)) < 0.6
    assert torch.equal(clip.read(40, 1), clip.read(0, 1))


def test_wallpaper_repeats_in_both_directions() -> None:
    frame = CLIPS[1].read(5, 1)[0].int()
    assert (frame[:, 24:] - frame[:, :-24]).abs().max() <= 1
    assert (frame[:, :, 48:] - frame[:, :, :-48]).abs().max() <= 1
    assert psnr(frame[:, 12:], frame[:, :-12]) < 20


@every_kind
def test_pixels_depend_on_the_seed_alone(clip: SyntheticClip) -> None:
    def fresh(seed: int) -> Tensor:
        numbers = {key: getattr(clip, key) for key in clip.__dataclass_fields__}
        return type(clip)(**numbers | {"seed": seed}).read(0, 1)

    assert torch.equal(fresh(clip.seed), clip.read(0, 1))
    assert psnr(fresh(clip.seed + 1), clip.read(0, 1)) < 20


def test_a_pickled_clip_has_the_same_pixels() -> None:
    for clip in CLIPS:
        assert torch.equal(pickle.loads(pickle.dumps(clip)).read(4, 1), clip.read(4, 1))


def test_frames_that_do_not_exist_are_errors() -> None:
    for start, count in [(-1, 1), (8, 2), (0, 0)]:
        with pytest.raises(ValueError, match="has 9 frames"):
            CLIPS[0].read(start, count)
    with pytest.raises(ValueError, match="has 9 frames"):
        CLIPS[0].flow(8)


def test_a_clip_too_small_for_a_texture_is_an_error() -> None:
    with pytest.raises(UserError, match="translation-0: 80x8x9 is too small"):
        Translation(seed=0, frames=9, height=8, width=80, dx=0, dy=0)
    with pytest.raises(UserError, match="wallpaper-0: period=8 is too small"):
        Wallpaper(seed=0, **SIZE, dx=0, dy=0, period=8)
