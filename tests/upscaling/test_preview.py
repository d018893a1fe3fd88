"""A part of a video is upscaled with the noise of its place."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dcvsr.attention.propagation import NoPropagation
from dcvsr.baselines.interpolation import Upsampling
from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.clip_condition import LRClip
from dcvsr.models.latents import ResidualLatents
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.workspace import Memory
from dcvsr.tiling.grid import TileGrid
from dcvsr.upscaling.target_size import TargetSize
from dcvsr.upscaling.video_job import require_place
from dcvsr.video.io import read_video
from dcvsr.video.part import Part
from tests.comparing import apart
from tests.models.test_upscaler import LinearDenoiser, make
from tests.upscaling.making import make_upscaler
from tests.upscaling.making import run as run_job


def preview(upscaler: TiledUpscaler, lr, place, size, moved=0):
    """Upscale the part of a video at frame, row and column ``place``, as if ``moved`` frames later."""
    (f, y, x), (frames, height, width) = place, size
    part = lr[f : f + frames, :, y : y + height, x : x + width]
    clip = LRClip(lambda at: part[at.start : at.stop], frames, height, width, f + moved, y, x)
    return torch.cat([*upscaler.job(clip, Memory(), torch.device("cpu"))()])


def crop(video, place, size, margin=0):
    """Return a part of a video; its inner sides are moved inward by ``margin``."""
    (f, y, x), (frames, h, w) = place, size
    return video[f : f + frames, :, y + margin : y + h - margin, x + margin : x + w - margin]


VIDEO = torch.rand(7, 3, 19, 22, generator=torch.Generator().manual_seed(0))
BICUBIC = 2
"""LR pixels that a bicubic kernel reaches over a border."""


@st.composite
def parts(draw):
    """A place and a size in VIDEO, which leave something between two borders of ``BICUBIC``."""
    place, size = [], []
    for length, least in ((7, 1), (19, 2 * BICUBIC + 1), (22, 2 * BICUBIC + 1)):
        place.append(draw(st.integers(0, length - least)))
        size.append(draw(st.integers(least, length - place[-1])))
    return place, size


@settings(max_examples=15)
@given(parts(), st.sampled_from(["overlap", "shifted"]), st.sampled_from([0, 0.05]))
def test_a_part_looks_like_the_whole_away_from_its_borders(part, schedule, noise_augmentation):
    """With a pointwise denoiser, only upsampling can tell a part from the whole."""
    place, size = part
    upscaler = make(
        LinearDenoiser(),
        TileGrid(8, 4, 0.25, schedule),
        sampler=Sampler(2, 0.1, 10, 7),
        noise_augmentation=noise_augmentation,
    )
    if (schedule, noise_augmentation) not in WHOLE:
        WHOLE[schedule, noise_augmentation] = upscaler(VIDEO)
    known = WHOLE[schedule, noise_augmentation]
    hr, moved = (preview(upscaler, VIDEO, place, size, by) for by in (0, 1))
    assert hr.shape == (size[0], 3, 4 * size[1], 4 * size[2])
    at, size = ((f, 4 * y, 4 * x) for f, y, x in (place, size))
    inner = crop(hr, (0, 0, 0), size, 4 * BICUBIC)
    torch.testing.assert_close(inner, crop(known, at, size, 4 * BICUBIC), atol=1e-4, rtol=0)
    assert apart(hr, moved, 1e-3)


WHOLE: dict = {}


@pytest.mark.parametrize(("overlap", "frames"), [(0.0, 3), (0.5, 1)])
def test_a_part_on_the_grid_equals_the_whole_in_tiles_away_from_its_borders(overlap, frames):
    """A U-Net without propagation, in one step; a tile at the lower right touches no border of the part."""
    changed = {"grid": TileGrid(8, frames, overlap), "sampler": Sampler(1, 0.1, 10, 7)}
    upscaler = make_upscaler(**changed, guidance=NoGuidance(), propagation=NoPropagation())
    lr = torch.rand(2 * frames, 3, 24, 24)
    whole, place, size = upscaler(lr)[frames:, :, 32:, 32:], (frames, 8, 8), (frames, 16, 16)
    hr = preview(upscaler, lr, place, size)
    torch.testing.assert_close(hr[..., 32:, 32:], whole[..., 32:, 32:], atol=1e-5, rtol=0)
    assert apart(hr[..., :4, :4], whole[..., :4, :4], 1e-3)
    assert apart(preview(upscaler, lr, place, size, moved=1)[..., 32:, 32:], whole[..., 32:, 32:], 1e-3)


@pytest.mark.parametrize("part", [Part(), Part(start=3), Part(start=2, region=(4, 3, 9, 6))])
def test_a_job_on_a_part_has_the_noise_of_its_place_in_each_shot(tmp_path, part):
    x, y, width, height = part.region or (0, 0, 22, 19)
    lr = to_bytes(VIDEO)[part.start : part.start + 4, :, y : y + height, x : x + width]
    upscaler = make(LinearDenoiser())
    run_job(upscaler, lr, tmp_path / "hr", cuts=(3,), part=part)
    shots = [
        preview(upscaler, to_unit(to_bytes(VIDEO)), (part.start + start, y, x), (frames, height, width))
        for start, frames in ((0, 3), (3, 1))
    ]
    assert torch.equal(read_video(tmp_path / "hr").frames, to_bytes(torch.cat(shots)))


@pytest.fixture
def upscale(run, tmp_path):
    """Upscale a folder of ten frames of 16x16."""
    (tmp_path / "in").mkdir()
    for i in range(10):
        Image.effect_noise((16, 16), 60).convert("RGB").save(tmp_path / "in" / f"{i}.png")
    return partial(run, "upscale", "upscaler=bicubic", "engine.cuts=none", "input=in")


@pytest.mark.parametrize("part", [("region=4,0,8,12", "frames=4"), ("region=[4, 0, 8, 12]", "seconds=0.16")])
def test_the_command_upscales_a_part(upscale, tmp_path, part):
    done = upscale("output=out", "start=4", *part)
    assert done.code == 0, done.err
    lr = to_unit(read_video(tmp_path / "in").frames)[4:8, :, :12, 4:12]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [f"{i}.png" for i in range(4, 8)]
    assert torch.equal(read_video(tmp_path / "out").frames, to_bytes(Upsampling()(lr)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start=10"], "start=10 is beyond the end of in, which has 10 frames"),
        (["frames=2", "seconds=1"], "frames=2 and seconds=1 exclude each other; leave one out"),
        (["region=[8,8,9,8]"], "region=8,8,9,8 is not inside the picture of in, which is 16x16"),
        (["engine.save_every=0"], "engine.save_every=0 is not a whole number of 1 or more"),
    ],
)
def test_a_part_that_cannot_be_is_an_error_of_one_line_and_leaves_nothing(upscale, tmp_path, arguments, said):
    done = upscale("output=out", *arguments)
    assert (done.code, done.err) == (2, f"dcvsr: {said}\n")
    assert not {"out", "out.part", "out.json"} & {file.name for file in tmp_path.iterdir()}


class CoarseAutoencoder(HaarAutoencoder):
    """Latent pixels of eight HR pixels, as SVD's."""

    factor = 8


def test_a_region_begins_at_a_latent_pixel():
    """At scale=svd those are two LR pixels wide."""
    latents = ResidualLatents(CoarseAutoencoder(), [0], [0.1] * 48, [0.0] * 48, [1.0] * 48, 1, 0.02)
    coarse = make(LinearDenoiser(), latents=latents)
    target = TargetSize.fourfold(5, 5)
    require_place(Part(region=(2, 4, 5, 5)), coarse, target)
    require_place(Part(region=(3, 5, 4, 4)), make(LinearDenoiser()), target)
    require_place(Part(region=(3, 5, 4, 4)), Upsampling(), target)
    require_place(Part(region=(3, 5, 4, 4)), coarse, TargetSize((4, 4), (12, 12), (12, 12)))
    with pytest.raises(UserError, match="3,5,4,4 must begin at multiples of 2; use region=2,4,5,5"):
        require_place(Part(region=(3, 5, 4, 4)), coarse, target)
