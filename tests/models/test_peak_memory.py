"""Predicted memory is that of the operations, and settings that fit are found with it."""

from dataclasses import replace
from functools import cache, partial
from itertools import pairwise

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.nn import functional as F

from dcvsr.attention.lockstep import meet, side_by_side
from dcvsr.diffusion.initial_noise import gaussian_noise
from dcvsr.diffusion.sampler import Sampler
from dcvsr.imaging import upsample
from dcvsr.models.denoiser import Condition, Denoiser
from dcvsr.models.latents import SVDLatents
from dcvsr.models.live_bytes import LiveBytes, crowded
from dcvsr.models.operations import empty, weights
from dcvsr.models.peak_memory import HEAP, PeakMemory, Window
from dcvsr.models.settling import settled
from dcvsr.models.svd import CLIPImageEncoder
from dcvsr.models.svd_autoencoder import SVDAutoencoder
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.cli import CONF
from dcvsr.tiling.grid import Tile, TileGrid
from dcvsr.tiling.padding import padded
from tests.conftest import TINY_MODEL
from tests.models.making_svd import small_pipeline

KB = 1024
SIZE = 4, 24, 40
"""An LR video of one window."""


@cache
def make(*overrides: str) -> TiledUpscaler:
    given = ["input=a", "output=b.mp4", "ckpt=null", "precision=float32", *TINY_MODEL, *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose("upscale", given).upscaler, _convert_="all")


def window(up: TiledUpscaler, tiles: int, count: int = 1, step: int = 0) -> int:
    """Predict the bytes of ``tiles`` equal tiles that lie on one another."""
    tile = Tile(slice(0, 4), slice(0, 16), slice(0, 16))
    return PeakMemory(up, "cpu").window(Window([tile] * tiles, step, up.sampler.sigmas[step], count))


def recorded(run, known=(), **settings) -> LiveBytes:
    with torch.inference_mode(), LiveBytes(known, "cpu", **settings) as live, live.running(0):
        run(live)
    return live


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tensors_count_from_their_creation_to_their_end_and_views_not_at_all(device):
    def run(live):
        a = torch.zeros(256, device=device)
        b = a.view(16, 16)[3:].t() * 2
        assert (live.live[0], live.peak) == (KB + 4 * 13 * 16,) * 2
        del a
        b.add_(1)
        c = b.repeat(10, 1)
        assert live.live[0] == live.peak == 11 * 4 * 13 * 16
        del b
        assert live.live[0] == c.nbytes
        assert live.peak == 11 * c.nbytes / 10

    assert recorded(run).live.total() == 0


def test_weights_do_not_count():
    weight = torch.zeros(8, 8)
    assert recorded(lambda live: weight.t(), [weight]).peak == 0
    assert recorded(lambda live: weight.t(), []).peak == weight.nbytes


def test_a_convolution_needs_its_input_and_weights_twice():
    x, weight = empty(1, 4, 32, 32), empty(2, 4, 3, 3)
    live = recorded(lambda live: F.conv2d(x, weight, padding=1), [x, weight])
    assert live.peak == x.nbytes / 2 + x.nbytes + weight.nbytes


def test_fused_attention_needs_its_output_only():
    q, k = empty(2, 1, 64, 8), empty(2, 1, 4096, 8)
    assert recorded(lambda live: F.scaled_dot_product_attention(q, k, k), [q, k]).peak == q.nbytes


def test_autocast_casts_input_and_weight_and_halves_the_output():
    x, weight = empty(16, 64), empty(32, 64)
    full = recorded(lambda live: F.linear(x, weight), [x, weight])
    half = recorded(lambda live: F.linear(x, weight), [x, weight], precision=torch.bfloat16)
    assert full.peak == 4 * 16 * 32
    assert half.peak == 2 * (16 * 32 + x.numel() + weight.numel())


def test_norms_of_a_gpu_stay_in_float32():
    x = empty(8, 64, dtype=torch.bfloat16)
    for device, size in (("cpu", 2), ("cuda", 4)):
        with torch.inference_mode(), LiveBytes([x], device, torch.bfloat16) as live, live.running(0):
            assert F.layer_norm(x, (64,)).element_size() == size


def task(kilobytes: int):
    """Meet twice, with 1 KB handed and growing activations."""
    activations = empty(256 * kilobytes)
    given = meet(empty(256))
    wide = torch.cat(given)
    activations = torch.cat([activations, activations])
    del wide, given
    return activations, len(meet(empty(256)))


@pytest.mark.parametrize("counts", [(1, 1), (4, 1), (3, 5)])
def test_a_crowd_is_predicted_from_one_task_of_each_kind(counts):
    tasks = [partial(task, 10), partial(task, 3)]
    together = [each for each, n in zip(tasks, counts, strict=True) for _ in range(n)]
    measured = recorded(lambda live: side_by_side(together)).peak
    with torch.inference_mode(), LiveBytes([], "cpu") as live:
        assert crowded(tasks, counts, live) == measured
    assert live.live.total() == 0


RUNS = {
    "lockstep": ["propagation=sap"],
    "two_pass": ["propagation=sap", "propagation.sap.exchange=two_pass"],
    "batch": ["propagation=sap", "upscaler.batch=2"],
    "tap": ["propagation=tap", "guidance=cfg"],
    "anchors": ["propagation=tap", "propagation.tap.anchors=6", "propagation.branches=shared"],
    "sag": ["propagation=none", "guidance=sag"],
}


@pytest.mark.parametrize("name", RUNS)
def test_prediction_on_meta_equals_the_tensors_of_a_real_evaluation(name):
    up = make(*RUNS[name], "sampler.steps=1")
    frames = 8 if "propagation=tap" in RUNS[name] else 4
    windows, (x, l) = TileGrid(16, 4, 0).windows(frames, 48, 16), torch.rand(2, frames, 48, 48, 16)

    def run(live):
        tiled = TiledDenoiser(
            *(up.denoiser, up.guidance, up.propagation, lambda step: windows),
            *(lambda tile: Condition(l[tile.index][None], torch.zeros(1, 1, 32)), 0.1, 0.1, 1, up.batch),
        )
        tiled(x, up.sampler.sigmas[0], 0)

    with up.denoiser.propagated():
        live = recorded(run, [*weights([up.denoiser]), x, l])
    predicted = PeakMemory(up, "cpu").window(Window(windows[0], 0, up.sampler.sigmas[0], len(windows)))
    one = x.nbytes * 4 / frames  # predicted: x and l of a window; real: the sums of the windows before
    assert predicted / HEAP["cpu"] - 2 * one == pytest.approx(live.peak - (x.nbytes - one), rel=0.03)


def test_lockstep_grows_by_the_paused_activations_of_a_tile_and_two_pass_by_its_keys():
    growth = {}
    for exchange in ("lockstep", "two_pass"):
        up = make("propagation=sap", f"propagation.sap.exchange={exchange}")
        bytes = [window(up, tiles) for tiles in range(2, 5)]
        growth[exchange], again = (more - less for less, more in pairwise(bytes))
        assert again == pytest.approx(growth[exchange], abs=2)
    assert growth["lockstep"] > 2 * growth["two_pass"] > 0


def test_sap_paused_in_a_layer_holds_at_least_the_skip_connections():
    up = make("propagation=sap")
    skips = 3 * 4 * 32 * 16 * 16 * 4  # three tensors of 4 frames, 32 channels
    assert window(up, 5) - window(up, 4) > HEAP["cpu"] * skips


def test_tap_counts_what_the_window_before_handed():
    up = make("propagation=tap", "propagation.tap.frames=2")
    first, second, third = (window(up, 3, count) for count in (1, 2, 3))
    assert first < second == third


def test_anchors_fill_up_over_several_windows_and_then_grow_no_more():
    up = make("propagation=tap", "propagation.tap.frames=2", "propagation.tap.anchors=3")
    assert window(up, 1, count=2) < window(up, 1, count=1_000_000)


def test_the_most_expensive_step_counts():
    both, sap, tap = (make(f"propagation={name}", "sampler.steps=2") for name in ("dcvsr", "sap", "tap"))
    bytes = [PeakMemory(up, "cpu").sampling(*SIZE) for up in (both, sap, tap)]
    assert bytes[0] == bytes[1] > bytes[2]


def test_shifted_tiles_need_about_what_their_area_is():
    grid = TileGrid(16, 4, 0, "shifted")
    up = replace(make("propagation=sap"), grid=grid, batch=1)
    whole = replace(up, grid=TileGrid(16, 4, 0))
    shifted, full = (PeakMemory(each, "cpu").sampling(4, 48, 64) for each in (up, whole))
    assert shifted == pytest.approx(full, rel=0.1)


def test_decoding_on_meta_equals_the_tensors_of_a_real_one_and_grows_with_the_chunk():
    pipeline, up = small_pipeline(), make()
    coder = SVDAutoencoder(pipeline.vae, chunk=3)
    for latents in (up.latents, SVDLatents(coder, 0.18215)):
        memory, k = PeakMemory(replace(up, latents=latents), "cpu"), latents.autoencoder
        shape = 1, 3, k.channels, 128 // k.factor, 256 // k.factor
        live = recorded(
            lambda live, latents=latents, shape=shape: latents.decode(*torch.rand(2, *shape))[0].clamp(0, 1),
            weights([latents]),
        )
        assert memory.decoding(3, 32, 64) / HEAP["cpu"] == pytest.approx(live.peak, rel=0.02)
        assert memory.decoding(3, 32, 64) > memory.decoding(1, 32, 64)


def test_encoding_on_meta_equals_the_tensors_of_a_real_one():
    up = make()

    def run(live):
        kept = padded(up.upsample(torch.rand(1, 3, 32, 64)), 1, 128, 256)
        kept = kept, up.latents.condition(kept[None])
        gaussian_noise(0, range(1), 48, range(32), range(64))

    live = recorded(run, weights([up.upsample, up.latents]))
    assert PeakMemory(up, "cpu").encoding(32, 64) / HEAP["cpu"] == pytest.approx(live.peak, rel=0.02)


@pytest.fixture(scope="module")
def svd() -> TiledUpscaler:
    """SVD's parts, small, on the meta device."""
    parts = small_pipeline()
    up = TiledUpscaler(
        upsample,
        Denoiser(parts.unet.eval(), [8, 127, 0]),
        SVDLatents(SVDAutoencoder(parts.vae, chunk=4), 0.18215),
        CLIPImageEncoder(parts.image_encoder),
        Sampler(2, 1, 10, 7),
        *(make("guidance=none").guidance, make("propagation=sap").propagation),
        TileGrid(16, 4, 0.5),
        *(0.1, 0.1, 1, torch.float32, 0),
    )
    for module in (parts.unet, parts.vae, parts.image_encoder):
        module.to("meta")
    return up


def test_svd_needs_no_weights_and_half_precision_needs_about_half(svd):
    single, half = (
        PeakMemory(replace(svd, precision=dtype), "cuda").sampling(4, 64, 96)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert 0.4 < half / single < 0.8
    assert PeakMemory(svd, "cuda").encoding(64, 96) > 0
    predicted = PeakMemory(svd, "cuda").decoding(2, 64, 96)
    assert predicted == pytest.approx(svd.latents.autoencoder.decoding_memory(2, 256, 384), rel=0.4)


@pytest.fixture
def linear(monkeypatch):
    """Sampling needs one byte per tile of a batch, in lockstep 100 more; decoding needs one per frame."""
    sampling = {"lockstep": 100, "two_pass": 0}
    monkeypatch.setattr(
        PeakMemory,
        "sampling",
        lambda self, *_: sampling[self.upscaler.propagation.sap.exchange] + self.upscaler.batch,
    )
    monkeypatch.setattr(PeakMemory, "decoding", lambda self, frames, *_: frames)
    monkeypatch.setattr(PeakMemory, "encoding", lambda self, *_: 3)


@pytest.mark.parametrize(
    ("budget", "exchange", "batch", "chunk"),
    [
        *(
            (1000, "lockstep", 8, 4),
            (108, "lockstep", 8, 4),
            (107, "lockstep", 4, 4),
            (101, "lockstep", 1, 4),
        ),
        *((100, "two_pass", 8, 4), (7, "two_pass", 4, 4), (3, "two_pass", 2, 2), (0, "two_pass", 1, 2)),
    ],
)
def test_lockstep_and_the_largest_batch_and_first_chunk_that_fit_are_chosen(
    linear, budget, exchange, batch, chunk
):
    up = make("propagation=sap", "tile.overlap=0.5")
    found = settled(up, "cuda", SIZE, [4, 2], budget)
    chosen = found.upscaler
    assert (chosen.propagation.sap.exchange, chosen.batch, found.chunk) == (exchange, batch, chunk)  # type: ignore
    assert found.bytes == max(found.sampling, 3, chunk)
    assert (found.bytes <= budget) == (budget >= 3)


def test_joint_stays_in_lockstep_where_little_fits(linear):
    up = make("propagation.joint=true")
    found = settled(up, "cpu", SIZE, [4], 0).upscaler.propagation
    assert found == up.propagation


def test_a_cpu_gets_one_tile_a_batch_and_two_pass_stays(linear):
    up = make("propagation=sap", "propagation.sap.exchange=two_pass")
    found = settled(up, "cpu", SIZE, [4], 1000)
    assert found.upscaler.batch == 1
    assert found.upscaler.propagation == up.propagation


def test_settled_returns_the_predicted_bytes():
    up = make("propagation=tap", "upscaler.batch=3")
    found, memory = settled(up, "cpu", SIZE, [2], 1), PeakMemory(replace(up, batch=1), "cpu")
    assert found.sampling == memory.sampling(*SIZE)
    assert (found.encoding, found.decoding) == (memory.encoding(*SIZE[1:]), memory.decoding(2, *SIZE[1:]))
