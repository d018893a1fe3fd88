"""The upscaler takes any length and size, and its pieces do what they say."""

from contextlib import nullcontext
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvsr.attention.alternating import Alternating
from dcvsr.attention.observer import Observer
from dcvsr.attention.propagation import NoPropagation, SpatialPropagation
from dcvsr.baselines.interpolation import Upsampling
from dcvsr.diffusion.guidance import CFG, DSSAG, NoGuidance
from dcvsr.diffusion.initial_noise import gaussian_noise
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import upsample
from dcvsr.models.autoencoder import HaarAutoencoder
from dcvsr.models.denoiser import Denoiser
from dcvsr.models.image_encoder import ZeroEmbedding
from dcvsr.models.latents import ResidualLatents, SVDLatents
from dcvsr.models.svd import new_unet
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.cache import Cache, NoCache
from dcvsr.tiling.grid import TileGrid
from tests.attention.making import tap
from tests.comparing import apart


class ZeroDenoiser(torch.nn.Module):
    """Estimates no detail: the upscaler around it is bicubic."""

    origin = None
    propagated = nullcontext

    def stage_shares(self, frames, side):
        return []

    def forward(self, x, sigma, condition):
        return torch.zeros_like(x)


class LinearDenoiser(torch.nn.Module):
    """Acts on every position alone, so tiling cannot change it."""

    origin = None
    propagated = nullcontext

    def stage_shares(self, frames, side):
        return []

    def forward(self, x, sigma, condition):
        return x / (1 + sigma[:, None, None, None, None] ** 2) + 0.1 * condition.latent


GRID = TileGrid(8, 4, 0.25)


def make(denoiser, grid: TileGrid = GRID, **changed) -> TiledUpscaler:
    parts = {
        "upsample": upsample,
        "latents": ResidualLatents(HaarAutoencoder(), [0], [0.1] * 48, [0.0] * 48, [1.0] * 48, 1, 0.02),
        "image_encoder": ZeroEmbedding(32),
        "sampler": Sampler(3, 0.1, 10, 7),
        "guidance": NoGuidance(),
        "propagation": NoPropagation(),
        "blend": 0.1,
        "blend_time": 0.1,
        "batch": 1,
        "precision": torch.float32,
        "seed": 0,
    }
    return TiledUpscaler(denoiser=denoiser, grid=grid, **{**parts, **changed})


GRIDS = [
    TileGrid(8, 4, 0.5),
    TileGrid(16, 3, 0.0),
    TileGrid(5, 2, 0.3),
    TileGrid(8, 4, 0.0, "shifted"),
    TileGrid(8, 4, 0.5, border="pad"),
]


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 19), st.integers(1, 19))
def test_no_detail_is_bicubic_at_any_length_and_size(frames, height, width):
    lr = torch.rand(frames, 3, height, width)
    hr = make(ZeroDenoiser())(lr)
    assert hr.shape == (frames, 3, 4 * height, 4 * width)
    torch.testing.assert_close(hr, Upsampling()(lr), atol=1e-5, rtol=0)


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("guidance", [NoGuidance(), CFG(1.5), DSSAG(1.5, 0.5, 0.1, 10)])
def test_the_tiling_cannot_be_seen_through_a_pointwise_denoiser(guidance, solver):
    """Noise, blending, padding and guidance know nothing of the tiles."""
    lr = torch.rand(7, 3, 20, 17)
    changed = {"guidance": guidance, "sampler": Sampler(3, 0.1, 10, 7, solver)}
    one = make(LinearDenoiser(), TileGrid(32, 8, 0.25), **changed)(lr)
    for grid in GRIDS:
        torch.testing.assert_close(make(LinearDenoiser(), grid, **changed)(lr), one, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_x_t_whatever_the_tiling():
    drawn = []

    class Noting(Sampler):
        def initial(self, noise):
            drawn.append(noise[:, :20, :17])
            return super().initial(noise)

    expected = torch.cat([gaussian_noise(5, range(f, f + 1), 48, range(20), range(17)) for f in range(7)])
    for grid in GRIDS:
        drawn.clear()
        make(LinearDenoiser(), grid, sampler=Noting(3, 0.1, 10, 7), seed=5)(torch.rand(7, 3, 20, 17))
        assert torch.equal(torch.stack(drawn[:7]), expected)


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_no_tiles_is_refused(batch):
    with pytest.raises(ValueError, match=f"batch must be at least 1.*got {batch}"):
        make(LinearDenoiser(), batch=batch)


def test_the_seed_alone_decides():
    lr = torch.rand(2, 3, 8, 8)
    unet = new_unet(48, [32, 32], [1, 1], layers=1, embedding=32, frames=4)
    denoiser = Denoiser(unet, [8, 127, 0])
    first, again, other = (make(denoiser, seed=seed)(lr) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert apart(first, other, 1e-5)


def test_latents_are_float32_whatever_the_precision_around():
    lr = torch.rand(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = make(LinearDenoiser())(lr)
    assert torch.equal(mixed, make(LinearDenoiser())(lr))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("direction", [{}, {"direction": "both"}])
def test_work_counts_every_evaluation_of_every_step(grid, solver, direction):
    propagation = Alternating(SpatialPropagation(0.25, "lockstep"), tap(**direction), "countdown", "own")
    upscaler = make(ZeroDenoiser(), grid, sampler=Sampler(3, 0.1, 10, 7, solver), propagation=propagation)
    ticks = []
    upscaler(torch.rand(6, 3, 15, 9), ticks.append)
    assert sum(ticks) == upscaler.work(6, 15, 9) >= len(upscaler.sampler.evaluations)


def test_what_a_guidance_makes_of_a_state_is_its_estimate_there():
    lr = torch.rand(3, 3, 8, 8)
    upscaler = make(LinearDenoiser(), sampler=Sampler(4, 0.1, 10, 7))
    last, again, guided = upscaler.estimates(lr, 3, [NoGuidance(), NoGuidance(), CFG(1.5)])
    torch.testing.assert_close(last, upscaler(lr))  # a last step lands on D
    assert torch.equal(last, again)
    assert apart(last, guided, 1e-5)


class Evaluations(Observer):
    """Places (step, tiles) at which the network was evaluated, in order."""

    def __init__(self) -> None:
        self.places = []

    def evaluated(self, place, x) -> None:
        self.places.append(place)


def test_a_tile_is_conditioned_on_its_lr_latents_and_the_picture_of_its_first_frame():
    """Spec A12: the crop of I^up that the tile lies over, at the first of its frames."""
    told, evaluations, lr = [], Evaluations(), torch.rand(7, 3, 20, 17)

    class Told(LinearDenoiser):
        def forward(self, x, sigma, condition):
            told.append(condition)
            return super().forward(x, sigma, condition)

    upscaler = make(Told(), image_encoder=lambda frames: frames.flatten(1)[:, None])
    upscaler(lr, observer=evaluations)
    up = upsample(lr)
    l, windows = upscaler.latents.condition(up[None])[0], upscaler.windows(7, 20, 17)
    assert {place.window for place in evaluations.places} == set(range(len(windows))) != {0}
    for place, condition in zip(evaluations.places, told, strict=True):
        tile = windows[place.window][place.tiles[0]]
        rows, columns = (slice(4 * axis.start, 4 * axis.stop) for axis in (tile.rows, tile.columns))
        torch.testing.assert_close(condition.image, up[tile.frames.start, :, rows, columns].reshape(1, 1, -1))
        torch.testing.assert_close(condition.latent[0], l[tile.index])


@pytest.mark.parametrize("image_frames", ["each", "first_of_video"])
def test_a_tile_is_conditioned_on_the_pictures_that_were_chosen(image_frames):
    """Spec A12: the tile's crop of each of its frames, or the video's first frame as a whole."""
    told, evaluations, lr = [], Evaluations(), torch.rand(7, 3, 20, 17)

    class Told(LinearDenoiser):
        def forward(self, x, sigma, condition):
            told.append(condition.image)
            return super().forward(x, sigma, condition)

    changed = {"image_encoder": lambda frames: frames.flatten(1)[:, None], "image_frames": image_frames}
    upscaler = make(Told(), **changed)
    upscaler(lr, observer=evaluations)
    up, windows = upsample(lr), upscaler.windows(7, 20, 17)
    for place, image in zip(evaluations.places, told, strict=True):
        tile = windows[place.window][place.tiles[0]]
        rows, columns = (slice(4 * axis.start, 4 * axis.stop) for axis in (tile.rows, tile.columns))
        crop = up[tile.frames, :, rows, columns] if image_frames == "each" else up[:1]
        torch.testing.assert_close(image, crop.flatten(1)[None])


class Shown(LinearDenoiser):
    """Keeps the conditions that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions = []

    def forward(self, x, sigma, condition):
        self.conditions.append(condition)
        return super().forward(x, sigma, condition)


def _shown(lr: torch.Tensor, **changed):
    """Inputs of the only tile: the picture that l is the encoding of, and the embedding."""
    denoiser, latents = Shown(), SVDLatents(HaarAutoencoder(), 1.0)
    grid, encoder = TileGrid(32, 8, 0.25), lambda frames: frames.flatten(1)[:, None]
    make(denoiser, grid, latents=latents, image_encoder=encoder, **changed)(lr)
    condition = denoiser.conditions[0]
    picture = latents.autoencoder.decode(condition.latent)[0]
    return picture[: len(lr), :, : 4 * lr.shape[-2], : 4 * lr.shape[-1]], condition.image


@pytest.mark.parametrize("strength", [0.02, 0.3])
def test_l_is_made_of_noisy_pixels_and_the_embedding_of_clean_ones(strength):
    """Spec A14: of deviation ``strength`` where pixels are in [-1, 1], white, and other than x_T."""
    lr = torch.rand(3, 3, 32, 32)
    picture, image = _shown(lr, noise_augmentation=strength, seed=5)
    noise = picture - upsample(lr)
    n = noise.numel()
    assert abs(2 * noise.std() / strength - 1) < 4 / (2 * n) ** 0.5
    assert abs(noise.mean()) < 4 * strength / 2 / n**0.5
    assert abs(torch.corrcoef(torch.stack([noise.flatten(), noise.roll(1, -1).flatten()]))[0, 1]) < 4 / n**0.5
    x_T = gaussian_noise(5, range(3), 3, range(128), range(128))
    assert abs(torch.corrcoef(torch.stack([noise.flatten(), x_T.flatten()]))[0, 1]) < 4 / n**0.5
    torch.testing.assert_close(image, upsample(lr)[:1].flatten(1)[None])


def test_noise_on_pixels_is_a_function_of_seed_frame_and_place():
    """A longer and larger video has the same noise where both are; another seed has other noise."""
    long = torch.rand(6, 3, 24, 20)
    noise = []
    for lr, seed in ((long, 1), (long[:4, :, :16, :16], 1), (long, 2)):
        picture, _ = _shown(lr, noise_augmentation=0.1, seed=seed)
        noise.append((picture - upsample(lr))[:4, :, :64, :64])
    torch.testing.assert_close(noise[1], noise[0], atol=1e-5, rtol=0)
    assert not torch.allclose(noise[2], noise[0], atol=1e-2)


def test_a_negative_noise_augmentation_is_refused():
    with pytest.raises(ValueError, match=r"noise_augmentation must be 0 or above, got -0.02"):
        make(ZeroDenoiser(), noise_augmentation=-0.02)


class KeptLatents(ResidualLatents):
    """Keeps what it is asked to decode."""

    def decode(self, y, l):
        object.__setattr__(self, "y", [*getattr(self, "y", []), *y[0]])
        return super().decode(y, l)


@pytest.mark.parametrize(("space", "time"), [(0.1, 0.1), (0.1, 0.4), (0.3, 0.1)])
def test_tiles_are_blended_by_gaussians_over_rows_columns_and_frames(space, time):
    """Spec A16 in float64: each tile says its own number, and one Euler step lands on their weighted mean."""

    class Numbered(LinearDenoiser):
        def forward(self, x, sigma, condition):
            return condition.image.mean().expand_as(x)

    grid, lr, latents = TileGrid(8, 6, 0.5), torch.rand(11, 3, 20, 13), make(None).latents
    latents = KeptLatents(**{field.name: getattr(latents, field.name) for field in fields(latents)})
    changed = {"blend": space, "blend_time": time, "sampler": Sampler(1, 0.1, 10, 7), "latents": latents}
    picture = lambda frames: frames[:, :1, :1, :1].flatten(1)[:, None]  # noqa: E731
    upscaler = make(Numbered(), grid, image_encoder=picture, **changed)
    upscaler(lr)

    def gaussian(axis, width):
        n = axis.stop - axis.start
        return np.exp(-((((np.arange(n) - (n - 1) / 2) / (width * n)) ** 2) / 2))

    up, total, weight = upsample(lr).double().numpy(), np.zeros((11, 20, 13)), np.zeros((11, 20, 13))
    for tile in (tile for window in upscaler.windows(11, 20, 13) for tile in window):
        f, y, x = tile.frames, tile.rows, tile.columns
        w = np.einsum("f,y,x->fyx", gaussian(f, time), gaussian(y, space), gaussian(x, space))
        total[f, y, x] += w * up[f.start, 0, 4 * y.start, 4 * x.start]
        weight[f, y, x] += w
    blended = torch.stack(latents.y).double().numpy()
    np.testing.assert_allclose(blended, np.broadcast_to((total / weight)[:, None], blended.shape), atol=1e-5)


class CastDenoiser(ZeroDenoiser):
    """Estimates the same cast of brightness everywhere."""

    def forward(self, x, sigma, condition):
        estimate = torch.zeros_like(x)
        estimate[:, :, 0] = 100.0
        return estimate


@pytest.mark.parametrize("colour", ["wavelet", "adain"])
def test_colour_correction_takes_the_colours_of_the_upsampled_lr(colour):
    lr = torch.rand(3, 3, 20, 17) / 4 + 0.3  # the cast must not be clamped
    without, corrected = (make(CastDenoiser(), colour=each)(lr) for each in ("none", colour))
    assert (without - Upsampling()(lr)).mean() > 0.01
    torch.testing.assert_close(
        corrected.mean(dim=(2, 3)), Upsampling()(lr).mean(dim=(2, 3)), atol=2e-3, rtol=0
    )


def test_an_unknown_colour_correction_is_refused():
    with pytest.raises(ValueError, match="colour: 'warm' is not a choice; choose none, wavelet or adain"):
        make(ZeroDenoiser(), colour="warm")


class MovedByPictures(LinearDenoiser):
    """Pointwise, and not blind to the embedding."""

    def forward(self, x, sigma, condition):
        return super().forward(x, sigma, condition) + condition.image.mean()


class CountingEncoder(torch.nn.Module):
    """An image encoder of one weight."""

    def __init__(self, tell, weight: float = 1.0) -> None:
        super().__init__()
        self.tell, self.weight = tell, torch.nn.Parameter(torch.tensor(weight))

    @torch.no_grad()
    def forward(self, frames):
        self.tell("embedding")
        return self.weight * frames.mean(dim=(1, 2, 3))[:, None, None].expand(-1, 1, 32)


class CountingAutoencoder(HaarAutoencoder):
    def __init__(self, tell) -> None:
        super().__init__()
        self.tell = tell

    def encode(self, video):
        self.tell("latent")
        return super().encode(video)


class Sweep:
    """Runs that share a cache; ``made`` lists what they did not find there."""

    def __init__(self, cache: Cache | NoCache) -> None:
        self.cache, self.made = cache, []
        self.autoencoder = CountingAutoencoder(self.made.append)
        self.encoder = CountingEncoder(self.made.append)

    def __call__(self, lr: torch.Tensor, std: float = 0.1, **changed) -> torch.Tensor:
        latents = ResidualLatents(self.autoencoder, [0], [std] * 48, [0.0] * 48, [1.0] * 48, 3, 0.02)
        parts = {"latents": latents, "image_encoder": self.encoder, "cache": self.cache}
        return make(MovedByPictures(), **{**parts, **changed})(lr)


def test_a_sweep_over_guidance_does_not_encode_again(tmp_path):
    lr, guidances = torch.rand(3, 3, 9, 12), [NoGuidance(), CFG(1.5), CFG(3)]
    sweep, plain = Sweep(Cache(tmp_path, 1)), Sweep(NoCache())
    cold = sweep(lr, guidance=guidances[0])
    made = [*sweep.made]
    warm = [sweep(lr, guidance=guidance) for guidance in guidances]
    anew = [plain(lr, guidance=guidance) for guidance in guidances]
    assert sweep.made == made
    assert sorted(made) == [*4 * ["embedding"], *3 * ["latent"]]  # four tiles, three frames
    assert plain.made == 3 * made
    assert torch.equal(cold, anew[0])
    assert all(map(torch.equal, warm, anew))
    assert apart(warm[0], warm[1])


def test_a_sweep_over_guidance_does_not_draw_x_t_again(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "dcvsr.models.conditioning.gaussian_noise", lambda *args: drawn.append(1) or gaussian_noise(*args)
    )
    sweep, lr = Sweep(Cache(tmp_path, 1)), torch.rand(3, 3, 9, 12)
    sweep(lr)
    frames = len(drawn)
    sweep(lr, guidance=CFG(1.5))
    sweep(lr.flip(0))  # another clip of this size
    assert len(drawn) == frames > 0


LR = torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "changed",
    [
        {"lr": torch.where(torch.arange(12) == 11, 1 - LR, LR)},
        {"std": 0.2},
        {"grid": TileGrid(8, 4, 0.25, border="pad")},
    ],
    ids=["a column", "constants", "padding"],
)
def test_all_that_a_latent_is_made_of_decides_whether_it_is_made_again(tmp_path, changed):
    sweep = Sweep(Cache(tmp_path, 1))
    sweep(LR)
    sweep.made.clear()
    result = sweep(**{"lr": LR, **changed})
    assert "latent" in sweep.made
    assert torch.equal(result, Sweep(NoCache())(**{"lr": LR, **changed}))


def test_another_autoencoder_encodes_again(tmp_path):
    sweep = Sweep(Cache(tmp_path, 1))
    first = sweep(LR)
    sweep.autoencoder.basis = sweep.autoencoder.basis.flip(0)
    assert apart(sweep(LR), first)
    assert sweep.made.count("latent") == 2 * len(LR)


def test_another_image_encoder_looks_again(tmp_path):
    sweep = Sweep(Cache(tmp_path, 1))
    first = sweep(LR)
    once = sweep.made.count("embedding")
    other = CountingEncoder(sweep.made.append, weight=2.0)
    assert apart(sweep(LR, image_encoder=other), first)
    assert (sweep.made.count("latent"), sweep.made.count("embedding")) == (len(LR), 2 * once)


def test_another_seed_has_another_x_t(tmp_path):
    sweep = Sweep(Cache(tmp_path, 1))
    one, other = (sweep(LR, seed=seed) for seed in (1, 2))
    assert apart(one, other)
    assert torch.equal(other, Sweep(NoCache())(LR, seed=2))
    assert torch.equal(one, sweep(LR, seed=1))
    assert sweep.made.count("latent") == len(LR)


def test_what_no_network_makes_is_not_kept(tmp_path):
    make(LinearDenoiser(), cache=Cache(tmp_path, 1))(LR)
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"latent", "noise"}
