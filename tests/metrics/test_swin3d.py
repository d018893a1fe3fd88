"""DOVER's technical backbone: torchvision's Swin-T without the gate, and the formula with it."""

from functools import cache
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video import swin3d_t

from dcvsr.metrics.swin3d import GatedWindowAttention, Swin3D, SwinBlock, WindowAttention
from dcvsr.metrics.swin3d_windows import SHIFT, STILL, WINDOW, Axes, Windows
from tests.comparing import apart

Network = TypeVar("Network", bound=nn.Module)


def randomised(module: Network) -> Network:
    """Add noise to each parameter, most to biases and tables, whose initial values are zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            spread = 1.0 if name.endswith("_table") else 0.2 if parameter.ndim == 1 else 0.02
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return module.eval().requires_grad_(False)


@cache
def backbone() -> Swin3D:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return randomised(Swin3D())


def clips(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def our_name(name: str) -> str:
    """Translate torchvision's name of a parameter to ours."""
    part, *rest = name.split(".")
    if part != "features":
        return name
    stage, *rest = rest
    if int(stage) % 2:
        return ".".join(["layers", str(int(stage) // 2), "downsample", *rest])
    inner = ".".join(rest).replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2")
    return f"layers.{int(stage) // 2}.blocks.{inner}"


# Three cases: larger than a window and padded on each axis; smaller in time; smaller in time and space.
@pytest.mark.parametrize("shape", [(18, 64, 64), (7, 61, 64), (18, 32, 32)])
def test_with_equal_tables_features_equal_torchvisions_swin(shape: tuple[int, int, int]) -> None:
    ours = Swin3D()
    ours.load_state_dict(backbone().state_dict())
    state = ours.state_dict()
    for name in state:
        if "fragment_position" in name:
            state[name].copy_(state[name.replace("fragment", "relative")])
    theirs = swin3d_t(weights=None).eval()
    names = {name: our_name(name) for name in theirs.state_dict() if not name.startswith("head")}
    theirs.load_state_dict({name: state[ours] for name, ours in names.items()}, strict=False)
    features = {}
    theirs.norm.register_forward_hook(lambda _, __, output: features.update(norm=output))
    with torch.no_grad():
        x = clips(1, 3, *shape)
        theirs(x)
        expected = features["norm"].movedim(-1, 1)
        assert torch.allclose(ours(x), expected, atol=1e-4)
        assert apart(backbone()(x), expected, 1e-2)
    assert len(names) == len(state) - sum("fragment_position" in name for name in state)


def reference_attention(attention: WindowAttention, x: np.ndarray, window: Axes, shift: Axes) -> np.ndarray:
    """Attention over all pairs of tokens ``t h w c`` of a clip, masked to pairs in one window."""
    state = {name: value.double().numpy() for name, value in attention.state_dict().items()}
    t, h, w, c = x.shape
    place = np.stack(np.mgrid[:t, :h, :w], -1).reshape(-1, 3)
    box = (place - shift) // np.array(window)
    together = (box[:, None] == box).all(-1)
    i, j, k = np.moveaxis(np.clip(place[:, None] - place, -7, 7), -1, 0)
    j, k = np.clip(j, -6, 6), np.clip(k, -6, 6)
    bias = state["relative_position_bias_table"].reshape(15, 13, 13, -1)[i + 7, j + 6, k + 6]
    if isinstance(attention, GatedWindowAttention):
        within = state["fragment_position_bias_table"].reshape(15, 13, 13, -1)[i + 7, j + 6, k + 6]
        fragment = place[:, 1:] * np.array(window[1:]) // (h, w)
        gate = np.abs(fragment[:, None] - fragment).sum(-1)[..., None]
        bias = gate * bias + (1 - gate) * within
    q, k, v = np.split(x.reshape(-1, c) @ state["qkv.weight"].T + state["qkv.bias"], 3, axis=-1)
    heads = []
    for head in range(attention.heads):
        part = slice(head * c // attention.heads, (head + 1) * c // attention.heads)
        score = q[:, part] @ k[:, part].T / np.sqrt(c // attention.heads) + bias[..., head]
        weight = np.where(together, np.exp(score - score.max(-1, keepdims=True)), 0)
        heads.append(weight @ v[:, part] / weight.sum(-1, keepdims=True))
    y = np.concatenate(heads, -1) @ state["proj.weight"].T + state["proj.bias"]
    return y.reshape(x.shape)


@pytest.mark.parametrize("kind", [WindowAttention, GatedWindowAttention])
@pytest.mark.parametrize("shift", [STILL, SHIFT])
@pytest.mark.parametrize("size", [(10, 7, 14), (3, 12, 21)])
def test_attention_follows_the_formula(kind: type[WindowAttention], shift: Axes, size: Axes) -> None:
    attention = randomised(kind(6, 2))
    x = clips(1, *size, 6)
    windows = Windows.over(x, shift)
    actual = windows.join(attention(windows.split(x), windows))[0].numpy()
    padded = np.zeros((*windows.padded, 6))
    padded[tuple(map(slice, size))] = x[0].numpy()
    expected = reference_attention(attention, padded, windows.window, windows.shift)
    np.testing.assert_allclose(actual, expected[tuple(map(slice, size))], atol=1e-5)


def test_only_the_fragment_table_counts_within_one_fragment() -> None:
    attention, windows = randomised(GatedWindowAttention(6, 2)), Windows((8, 56, 56), WINDOW, STILL)
    plain = WindowAttention(6, 2)
    plain.relative_position_bias_table = attention.fragment_position_bias_table
    # A fragment spans 8 tokens per side, so it contains the first window of 7.
    assert torch.equal(attention.bias(windows)[0], plain.bias(windows))
    assert apart(attention.bias(windows)[1], plain.bias(windows), 0.1)


def test_a_block_with_zero_output_layers_is_the_identity() -> None:
    block = SwinBlock(6, SHIFT, GatedWindowAttention(6, 2))
    for layer in (block.attn.proj, block.mlp.fc2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = clips(1, 9, 8, 8, 6)
    assert torch.equal(block(x), x)


def test_clips_of_a_batch_are_independent() -> None:
    x = clips(2, 3, 8, 64, 64)
    alone = torch.cat([backbone()(clip[None]) for clip in x])
    assert torch.allclose(backbone()(x), alone, atol=1e-5)
    assert apart(alone[0], alone[1], 1e-2)


@pytest.mark.parametrize("level", [-2.2, 0.0, 2.7])
def test_a_flat_clip_has_finite_features(level: float) -> None:
    assert backbone()(torch.full((1, 3, 4, 64, 64), level)).isfinite().all()
