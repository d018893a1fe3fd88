"""DOVER's aesthetic backbone against torchvision's ConvNeXt-T on static clips."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import convnext_tiny

from dcvsr.metrics.convnext3d import ConvNeXt3D
from tests.comparing import apart


@cache
def backbone() -> ConvNeXt3D:
    """Backbone with random weights; the initial gamma of 1e-6 would hide what its blocks compute."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = ConvNeXt3D()
        for name, parameter in network.named_parameters():
            spread = 0.5 if name.endswith("gamma") else 0.1 if parameter.ndim == 1 else 0.01
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


def clips(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def summed_over_time(network: ConvNeXt3D) -> nn.Module:
    """torchvision's features with our kernels summed over time."""
    block = {"dwconv": "block.0", "norm": "block.2", "pwconv1": "block.3", "pwconv2": "block.5"}
    state = {}
    for name, value in network.state_dict().items():
        group, stage, *rest = name.split(".")
        if group == "downsample_layers":
            state[".".join([str(2 * int(stage)), *rest])] = value.sum(2) if value.ndim == 5 else value
        elif group == "stages":
            layer, part, *kind = rest
            prefix = f"{2 * int(stage) + 1}.{layer}"
            if part == "gamma":
                state[f"{prefix}.layer_scale"] = value[:, None, None]
            else:
                state[".".join([prefix, block[part], *kind])] = value.sum(2) if value.ndim == 5 else value
    features = convnext_tiny(weights=None).features
    features.load_state_dict(state)
    return features.eval().requires_grad_(False)


def test_features_inside_a_static_clip_equal_torchvisions_convnext() -> None:
    """Six blocks span three time steps, so features six steps from either end do not depend on padding."""
    frame = clips(1, 3, 64, 96)
    still = backbone()(frame[:, :, None].expand(-1, -1, 28, -1, -1))
    expected = backbone().norm(summed_over_time(backbone())(frame)[:, :, None])
    assert torch.allclose(still[:, :, 6:8], expected.expand(-1, -1, 2, -1, -1), atol=1e-4)
    assert apart(still[:, :, :1], expected, 1e-2)


def test_the_receptive_field_reaches_six_steps() -> None:
    x = clips(1, 3, 30, 32, 32)
    y = x.clone()
    y[:, :, :2] += 1
    changed = (backbone()(x) - backbone()(y)).abs().amax((0, 1, 3, 4)) > 0
    assert changed.tolist() == [True] * 7 + [False] * 8


def test_clips_of_a_batch_are_independent() -> None:
    x = clips(2, 3, 4, 64, 64)
    alone = torch.cat([backbone()(clip[None]) for clip in x])
    assert torch.allclose(backbone()(x), alone, atol=1e-5)
    assert apart(alone[0], alone[1], 1e-2)


@pytest.mark.parametrize("level", [-2.2, 0.0, 2.7])
def test_a_flat_clip_has_finite_features(level: float) -> None:
    assert backbone()(torch.full((1, 3, 4, 64, 64), level)).isfinite().all()


def test_the_second_of_every_three_blocks_spans_three_time_steps() -> None:
    kernels = [[block.dwconv.weight.shape[2] for block in stage] for stage in backbone().stages]
    assert kernels == [[1, 3, 1], [1, 3, 1], [1, 3, 1, 1, 3, 1, 1, 3, 1], [1, 3, 1]]
