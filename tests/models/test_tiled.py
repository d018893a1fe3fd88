"""Properties of the tiled denoiser that hold for any tiling."""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from torch import Tensor

from dcvsr.attention.alternating import Alternating
from dcvsr.attention.observer import NOBODY
from dcvsr.attention.propagation import NoPropagation, SpatialPropagation
from dcvsr.diffusion.guidance import CFG, DSSAG, PAG, SAG, Interval, NoGuidance
from dcvsr.models.denoiser import Condition
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.tiling.grid import TileGrid
from tests.attention.making import EMBEDDING, FRAMES, SIDE, Notes, Once, estimate, make_denoiser, noise, tap

NONE = NoPropagation()
DCVSR = Alternating(SpatialPropagation(0.25, "lockstep"), tap(), "countdown", "own")
CANVAS = (7, 12, 10)


class Linear:
    """Acts on every position alone, so that tiling cannot change it."""

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        return x / (1 + sigma[:, None, None, None, None] ** 2) + 0.1 * condition.latent


X, L = noise(2, CANVAS[0], 4, *CANVAS[1:])


def _tiled(guidance, grid=None, **changed) -> TiledDenoiser:
    grid = grid or TileGrid(8, 3, 0.5)
    tiled = TiledDenoiser(
        denoiser=Linear(),  # type: ignore[arg-type]
        guidance=guidance,
        propagation=NONE,
        windows=partial(grid.windows, *CANVAS),
        condition=lambda tile: Condition(L[tile.index][None], torch.zeros(1, 1, 1)),
        blend=0.1,
        blend_time=0.1,
        steps=4,
        batch=1,
        observer=NOBODY,
    )
    return replace(tiled, **changed)


GRIDS = [TileGrid(8, 3, 0.5), TileGrid(5, 4, 0.2), TileGrid(8, 3, 0.0, "shifted"), TileGrid(64, 64, 0.5)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("batch", [1, 2, None])
def test_a_pointwise_denoiser_cannot_see_the_tiles(grid, batch):
    for step in range(3):
        D = _tiled(NoGuidance(), grid, batch=batch)(X, 2.0, step)
        torch.testing.assert_close(D, X / 5 + 0.1 * L)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("guidance", [CFG(1.5), DSSAG(1.5, 0.5, 0.002, 700), PAG(1.5, 3.0, "mid")])
def test_guiding_then_merging_is_merging_then_guiding(grid, guidance):
    c, u = _tiled(NoGuidance(), grid)(X, 2.0, 1), X / 5
    torch.testing.assert_close(_tiled(guidance, grid)(X, 2.0, 1), u + 2.5 * (c - u))


@pytest.mark.parametrize(
    ("propagation", "visits"), [(NONE, 1), (Once(tap()), 1), (Once(tap(direction="both")), 2)]
)
def test_every_tile_counts_once_and_twice_where_both_directions_are_taken(propagation, visits):
    ticks = []
    _tiled(NoGuidance(), propagation=propagation, advance=ticks.append)(X, 2.0, 0)
    tiles = sum(map(len, TileGrid(8, 3, 0.5).windows(*CANVAS)))
    assert sum(ticks) == visits * tiles


def test_tiles_are_evaluated_at_most_batch_together_and_only_equal_ones():
    for grid, batch, expected in (
        (TileGrid(8, 7, 0.5), 1, [1] * 4),
        (TileGrid(8, 7, 0.5), 3, [1, 3]),
        (TileGrid(8, 7, 0.5), None, [4]),
        (TileGrid(8, 7, 0.0, "shifted"), None, [1, 1, 1, 1]),
    ):
        notes = Notes()
        _tiled(NoGuidance(), grid, batch=batch, observer=notes)(X, 2.0, 1)
        assert sorted(len(x) for _, x in notes.evaluations) == expected
        assert sorted(m for place, _ in notes.evaluations for m in place.tiles) == [0, 1, 2, 3]
        assert all(place.count == 4 for place, _ in notes.evaluations)


def test_an_evaluation_is_told_where_it_is():
    notes = Notes()
    _tiled(CFG(1.0), observer=notes, propagation=Once(tap(), number=1))(X, 2.0, 3)
    windows = TileGrid(8, 3, 0.5).windows(*CANVAS)
    place, x = notes.evaluations[0]
    assert (place.step, place.sigma, place.scheme, place.direction) == (3, 2.0, "tap", "backward")
    assert (place.window, place.count, place.branch, place.size) == (len(windows) - 1, 4, 0, (8, 8))
    assert torch.equal(x[0], X[windows[-1][place.tiles[0]].index])
    assert [p.branch for p, _ in notes.evaluations] == [0, 1] * (len(notes.evaluations) // 2)


# on whole U-Nets

SHORT = {0: (FRAMES, 2 * SIDE, SIDE), 1: (2 * FRAMES, SIDE, SIDE)}
"""Step, SAP's or TAP's -> a canvas of two tiles."""


@cache
def _nano():
    return make_denoiser("nano")


@cache
def _svd():
    return make_denoiser("svd")


SHORT = {0: (FRAMES, 2 * SIDE, SIDE), 1: (2 * FRAMES, SIDE, SIDE)}
"""Step, SAP's or TAP's -> a canvas of two tiles."""


@pytest.fixture(scope="module", params=["nano", "svd"])
def denoiser(request):
    return make_denoiser(request.param)


@pytest.mark.parametrize("make", [_nano, _svd])
@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("grid", [TileGrid(SIDE, FRAMES, 0.5), TileGrid(SIDE, FRAMES, 0.5, "shifted")])
def test_one_tile_is_untiled_whatever_is_propagated(make, step, grid):
    denoiser, canvas = make(), (FRAMES, SIDE, SIDE)
    windows = grid.windows(*canvas, step)
    tiled = estimate(denoiser, DCVSR, canvas=canvas, windows=windows, step=step)
    x, l = noise(2, FRAMES, 4, SIDE, SIDE)
    image = noise(1, 1, EMBEDDING, seed=sum(windows[0][0].box))
    with torch.inference_mode():
        untiled = denoiser(2 * x[None], torch.tensor([2.0]), Condition(l[None], image))
    torch.testing.assert_close(tiled, untiled[0], rtol=1e-6, atol=1e-6)  # weighted, then divided by it


@pytest.mark.parametrize(
    ("guidance", "evaluations"),
    [
        (NoGuidance(), 1),
        (CFG(1.0), 2),
        (DSSAG(1.0, 0.5, 0.002, 700), 2),
        (SAG(1.0, 0.75), 3),
        (PAG(1.0, 3.0, "mid"), 3),
        (PAG(1.0, 3.0, "propagated"), 3),
        (DSSAG(1.0, 0.5, 0.002, 700, interval=Interval(0, 1)), 1),
        (SAG(1.0, 0.75, interval=Interval(3, 9)), 1),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_guidance_evaluates_the_u_net_as_often_as_it_says(guidance, evaluations, step):
    denoiser, calls = _svd(), []
    hook = denoiser.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    D = estimate(denoiser, DCVSR, guidance, canvas=SHORT[step], step=step)
    hook.remove()
    assert len(calls) == 2 * evaluations
    assert torch.isfinite(D).all()


@pytest.mark.parametrize(
    "guidance", [CFG(0.0), DSSAG(0.0, 0.5, 0.002, 700), SAG(0.0, 0.0), PAG(0.0, 0.0, "propagated")]
)
@pytest.mark.parametrize(("step", "canvas"), SHORT.items())
def test_a_scale_of_zero_is_no_guidance_on_a_u_net(guidance, step, canvas):
    nano = _nano()
    torch.testing.assert_close(
        estimate(nano, DCVSR, guidance, canvas=canvas, step=step),
        estimate(nano, DCVSR, canvas=canvas, step=step),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "guidance", [SAG(1.0, 0.75), DSSAG(1.0, 0.5, 0.002, 700), PAG(1.0, 3.0, "propagated")]
)
@pytest.mark.parametrize("step", [0, 1])
def test_guidance_and_propagation_work_on_shifted_tiles_together(guidance, step):
    nano, canvas = _nano(), (4, 13, SIDE)
    windows = TileGrid(SIDE, FRAMES, 0, "shifted").windows(*canvas, 1)
    assert len({tile.shape for window in windows for tile in window}) == 4
    given = {"canvas": canvas, "windows": windows, "step": step}
    guided = estimate(nano, DCVSR, guidance, **given)
    assert torch.isfinite(guided).all()
    assert (guided - estimate(nano, DCVSR, **given)).abs().max() > 1e-2
