"""Training on crops of several tiles: inference's estimate, and gradients through what tiles exchange."""

import importlib.util
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch

from dcvsr.attention.alternating import Alternating
from dcvsr.attention.propagation import SpatialPropagation
from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.diffusion.sampler import Sampler
from dcvsr.models.denoiser import Condition
from dcvsr.models.tiled import TiledDenoiser
from tests.attention.making import tap
from tests.upscaling.making import make_upscaler

SCRIPT = Path(__file__).parents[2] / "experiments/table2/tiled_training.py"


def test_the_estimate_is_inference_s_and_its_gradients_cross_tiles():
    spec = importlib.util.spec_from_file_location("tiled_training", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    joint = Alternating(SpatialPropagation(0.25, "lockstep"), tap(), "ascending", "own", joint=True)
    up = make_upscaler(propagation=joint, sampler=Sampler(1, 5, 10, 7))
    frames, rows, columns = 5, 12, 12
    x = torch.randn(1, frames, up.latents.autoencoder.channels, rows, columns, requires_grad=True)
    c = Condition(torch.randn_like(x), torch.zeros(1, 1, up.denoiser.embedding_size))
    found = script.TiledTraining._estimated(SimpleNamespace(upscaler=up, denoiser=up.denoiser), x, 5.0, c)
    windows = partial(up.grid.windows, frames, rows, columns)
    tiled = TiledDenoiser(
        *(up.denoiser, NoGuidance(), joint, windows),
        lambda tile: Condition(c.latent[(0, *tile.index)][None], c.image),
        *(up.blend, up.blend_time, 1, None),
    )
    with torch.no_grad(), up.denoiser.propagated():
        torch.testing.assert_close(found[0], tiled(x[0], 5.0, 0))
    found[0, 0, :, 0, 0].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, :, -1, -1].abs().max() > 0  # in another tile
