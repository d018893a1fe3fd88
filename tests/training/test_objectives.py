"""Targets of stage 3: the teacher's guided estimates, and consistency."""

import pytest
import torch
from torch import Tensor

from dcvsr.attention.propagation import NoPropagation
from dcvsr.models.denoiser import Condition
from dcvsr.models.tiled import TiledDenoiser
from dcvsr.tiling.grid import Tile
from tests.training.test_few_steps import clip, module, small

GUIDED = {
    "none": [],
    "cfg": ["scale=2"],
    "sag": ["uncond=keep_latent"],
    "pag": ["layers=propagated"],
    "dssag": [],
}


@pytest.mark.parametrize("guidance", GUIDED)
def test_a_teacher_is_the_guided_network_that_the_run_starts_from(guidance: str) -> None:
    """As inference computes it for a clip of one tile; training does not change it."""
    keys = [f"{place}.{key}" for key in GUIDED[guidance] for place in ("guidance", "module.teacher")]
    stage3 = module(f"guidance={guidance}", f"teacher.guidance={guidance}", "module.latent=1", *keys)
    y, c = stage3.encode(clip())
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    x, sigma = stage3.state(y, noise, c, 1), stage3.levels[1]
    tiled = TiledDenoiser(
        **{"denoiser": stage3.denoiser, "guidance": stage3.upscaler.guidance, "condition": lambda _: c},
        **{"propagation": NoPropagation(), "blend": 0.1, "blend_time": 0.1, "steps": 3, "batch": None},
        windows=lambda _: [[Tile(slice(0, 4), slice(0, 16), slice(0, 16))]],
    )
    with torch.no_grad(), stage3.denoiser.propagated():
        expected = tiled(x[0], sigma, 1)
    assert stage3.teacher is not None
    for parameter in stage3.denoiser.parameters():
        parameter.data.mul_(1.5)
    found = stage3.teacher(x, sigma, c)
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=1e-4)
    assert not any(p.requires_grad for p in stage3.teacher.denoiser.parameters())
    assert not any("teacher" in name for name in stage3.state_dict())


def test_a_student_of_a_linear_denoiser_learns_the_guided_estimate() -> None:
    """D_x = a x + b l, and CFG with scale s: a x + (1 + s) b l."""
    stage3 = module("teacher.guidance=cfg", "module.teacher.scale=2", "module.latent=1")
    assert stage3.teacher is not None
    stage3.teacher.denoiser.forward = lambda x, sigma, c: 0.3 * x + 0.2 * c.latent
    learnt = torch.zeros(2, requires_grad=True)
    stage3._estimate = lambda x, sigma, c: learnt[0] * x + learnt[1] * c.latent
    y, noise, c = small(1).float(), small(2).float(), Condition(small(3).float(), torch.zeros(1, 1, 8))
    optimizer = torch.optim.LBFGS([learnt], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = stage3.loss.of(*stage3.estimates(y, noise, c, 0), torch.tensor(stage3.levels[:1])).mean()
        found.backward()
        return found

    optimizer.step(loss)
    torch.testing.assert_close(learnt.detach(), torch.tensor([0.3, 0.6]), rtol=1e-4, atol=1e-4)


def test_without_a_teacher_consistency_compares_two_noise_levels_of_one_noise() -> None:
    stage3, seen = module("module.objective=consistency", "module.levels=5"), []
    stage3._estimate = lambda x, sigma, c: seen.append((x, sigma.item())) or x
    y, noise, c = small(1).float(), small(2).float(), Condition(small(3).float(), torch.zeros(1, 1, 8))
    sampler = stage3.upscaler.sampler
    assert (len(stage3.levels), stage3.levels[0], stage3.levels[-1]) == (
        5,
        sampler.sigma_max,
        sampler.sigma_min,
    )
    for number, sigma in enumerate(stage3.levels):
        seen.clear()
        _, target = stage3.estimates(y, noise, c, number)
        assert [level for _, level in seen] == pytest.approx(stage3.levels[number : number + 2])
        for x, level in seen:
            torch.testing.assert_close(x, y + level * noise, rtol=1e-4, atol=1e-4)
        assert torch.equal(target, seen[-1][0]) if sigma > sampler.sigma_min else True
    torch.testing.assert_close(target, y, rtol=1e-4, atol=1e-4)  # below the last level


@pytest.mark.parametrize("sigma_max", [3.0, 80.0])
def test_the_exact_consistency_function_fits_its_target_to_the_second_order(sigma_max: float) -> None:
    """Of normal data: D_x = x / (1 + sigma^2), and f(x, sigma) = x / sqrt(1 + sigma^2) along the ODE."""

    def error(levels: int) -> float:
        changes = (f"module.levels={levels}", f"sampler.sigma_max={sigma_max}", "sampler.sigma_min=0.01")
        stage3 = module("module.objective=consistency", "teacher.guidance=none", *changes)
        assert stage3.teacher is not None
        stage3.teacher.denoiser.forward = lambda x, sigma, c: x / (1 + sigma**2)
        stage3._estimate = lambda x, sigma, c: x / (1 + sigma**2) ** 0.5
        y, noise, c = small(1), small(2), Condition(small(3), torch.zeros(1, 1, 8))
        pairs = [stage3.estimates(y, noise, c, number) for number in range(levels - 1)]
        return max((D_x - target).abs().max().item() for D_x, target in pairs)

    assert 3.5 < error(100) / error(200) < 4.5


def test_gradients_of_consistency_reach_the_higher_level_only() -> None:
    stage3 = module(
        "module.objective=consistency", "module.levels=3", "module.latent=1", "teacher.guidance=none"
    )
    y, c = stage3.encode(clip())
    D_x, target = stage3.estimates(y, torch.randn(y.shape), c, 0)
    assert D_x.requires_grad
    assert not target.requires_grad


def test_consistency_compares_decoded_frames_with_the_decoded_target() -> None:
    stage3, batch = module("module.objective=consistency", "module.decoded=32"), clip(clips=2)
    y, c = stage3.encode(batch)
    restored, true = stage3.decode(y, y, c.latent, batch)
    torch.testing.assert_close(restored, true)
    _, other = stage3.decode(y, torch.zeros_like(y), c.latent, batch)
    assert not torch.allclose(true, other, atol=1e-2)
