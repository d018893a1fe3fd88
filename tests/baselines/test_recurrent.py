"""Recurrent restorers, and BasicVSR with its published weights."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from dcvsr.baselines.realbasicvsr import RealBasicVSR
from dcvsr.baselines.recurrent import RecurrentRestorer
from dcvsr.imaging import upsample
from dcvsr.metrics.fidelity import PSNR
from dcvsr.runtime import basicsr
from dcvsr.runtime.errors import UserError
from tests.baselines.making import noise, pair, saved, upscaler


@pytest.fixture
def small() -> Any:
    """BasicVSR with 8 features and random weights."""
    torch.manual_seed(0)
    try:
        return basicsr.BasicVSR(8, 1).requires_grad_(False)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def cleaning(small: Any) -> RealBasicVSR:
    torch.manual_seed(0)
    return RealBasicVSR(features=8, cleaning_blocks=1, blocks=1, threshold=255).requires_grad_(False)


@pytest.mark.parametrize("name", ["basicvsr", "basicvsr_vimeo"])
def test_basicvsr_has_a_far_higher_psnr_than_bicubic(name: str) -> None:
    restorer, (lr, hr) = upscaler(name), pair(4)
    decibels = []
    for restored in (restorer(lr), upsample(lr)):
        metric = PSNR()
        metric.update(restored, hr)
        decibels.append(metric.compute().item())
    assert decibels[0] > decibels[1] + 3  # measured on ten frames: 29.2 and 29.5, bicubic 24.2


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_flow_computed_pair_by_pair_gives_the_same_result(small: Any, frames: int) -> None:
    lr = noise(frames, 3, 34, 40)
    expected = deepcopy(small)(lr[None])[0].clamp(0, 1)
    torch.testing.assert_close(RecurrentRestorer(small, weights=None)(lr), expected, rtol=0, atol=1e-5)


def test_every_result_depends_on_all_frames(small: Any) -> None:
    restorer, lr = RecurrentRestorer(small, weights=None), noise(4, 3, 20, 36)
    before = restorer(lr)
    for changed in range(4):
        other = lr.clone()
        other[changed] = 1 - other[changed]
        assert ((restorer(other) - before).abs().amax((1, 2, 3)) > 0).all()


def test_frames_too_small_for_the_pyramid_are_padded_by_reflection_and_cropped(small: Any) -> None:
    lr = noise(2, 3, 5, 36)
    tall = torch.cat([lr, lr.flip(-2)] * 4, dim=-2)[..., :33, :]
    expected = deepcopy(small)(tall[None])[0, ..., :20, :].clamp(0, 1)
    torch.testing.assert_close(RecurrentRestorer(small, weights=None)(lr), expected, rtol=0, atol=1e-5)


def test_the_progress_hook_is_removed_after_an_error(small: Any) -> None:
    restorer, calls = RecurrentRestorer(small, weights=None), []
    with pytest.raises(RuntimeError):
        restorer(noise(2, 4, 20, 36), calls.append)
    restorer(noise(2, 3, 20, 36))
    assert not calls


@pytest.mark.parametrize(("threshold", "rounds"), [(255, 1), (0, 3)])
def test_cleaning_repeats_while_the_change_reaches_the_threshold(
    cleaning: RealBasicVSR, threshold: float, rounds: int
) -> None:
    cleaning.threshold = threshold / 255
    seen = []
    cleaning.image_cleaning.register_forward_hook(lambda *_: seen.append(None))
    cleaning(noise(1, 2, 3, 34, 40))
    assert len(seen) == 2 * rounds


def test_zero_cleaning_equals_basicvsr(cleaning: RealBasicVSR) -> None:
    cleaning.image_cleaning[1].weight.zero_()
    cleaning.image_cleaning[1].bias.zero_()  # type: ignore[union-attr]
    lr = noise(1, 2, 3, 34, 40)
    assert torch.equal(cleaning(lr), cleaning.basicvsr(lr))


OPENMMLAB = {
    "image_cleaning.0.main.0.weight": "image_cleaning.0.main.0.weight",
    "image_cleaning.0.main.2.0.conv2.bias": "image_cleaning.0.main.2.0.conv2.bias",
    "image_cleaning.1.bias": "image_cleaning.1.bias",
    "basicvsr.spynet.mean": "basicvsr.spynet.mean",
    "basicvsr.spynet.basic_module.5.basic_module.0.conv.weight": (
        "basicvsr.spynet.basic_module.5.basic_module.0.weight"
    ),
    "basicvsr.spynet.basic_module.0.basic_module.4.conv.bias": (
        "basicvsr.spynet.basic_module.0.basic_module.8.bias"
    ),
    "basicvsr.backward_resblocks.main.0.weight": "basicvsr.backward_trunk.main.0.weight",
    "basicvsr.forward_resblocks.main.2.0.conv1.weight": "basicvsr.forward_trunk.main.2.0.conv1.weight",
    "basicvsr.fusion.weight": "basicvsr.fusion.weight",
    "basicvsr.upsample1.upsample_conv.weight": "basicvsr.upconv1.weight",
    "basicvsr.upsample2.upsample_conv.bias": "basicvsr.upconv2.bias",
    "basicvsr.conv_last.weight": "basicvsr.conv_last.weight",
}
"""One OpenMMLab parameter name of each kind, with the name in our network."""


def openmmlab_name(name: str) -> str:
    """Translate a parameter's name to OpenMMLab's."""
    parts = name.split(".")
    match parts:
        case ["basicvsr", "spynet", "basic_module", level, "basic_module", layer, kind]:
            parts = [*parts[:3], level, "basic_module", str(int(layer) // 2), "conv", kind]
        case ["basicvsr", ("backward_trunk" | "forward_trunk") as trunk, *rest]:
            parts = ["basicvsr", trunk.replace("trunk", "resblocks"), *rest]
        case ["basicvsr", ("upconv1" | "upconv2") as convolution, kind]:
            parts = ["basicvsr", f"upsample{convolution[-1]}", "upsample_conv", kind]
    return ".".join(parts)


def test_openmmlabs_file_sets_every_weight(cleaning: RealBasicVSR, tmp_path: Path) -> None:
    named = {openmmlab_name(name): tensor + 1 for name, tensor in cleaning.state_dict().items()}
    assert OPENMMLAB.items() <= {openmmlab_name(name): name for name in cleaning.state_dict()}.items()
    content = {f"generator_ema.{name}": tensor for name, tensor in named.items()}
    content |= {f"generator.{name}": 0 * tensor for name, tensor in named.items()}
    content |= {"step_counter": torch.zeros(1), "discriminator.conv_0.bias": torch.zeros(2)}
    path = saved(tmp_path / "mm.pth", {"state_dict": content, "meta": {}})
    restored = RecurrentRestorer(deepcopy(cleaning), path).network.state_dict()
    for name, tensor in cleaning.state_dict().items():
        assert torch.equal(restored[name.replace("spynet.", "spynet.flow.")], tensor + 1)
