"""nano's I^up: bicubic before it has learnt, the same wherever a frame's content lies."""

import pytest
import torch
from safetensors.torch import save_file

from dcvsr.baselines.interpolation import Upsampling
from dcvsr.imaging import upsample
from dcvsr.models.upsampler import Upsampler, frozen
from dcvsr.runtime.errors import UserError


def _trained() -> Upsampler:
    upsampler = Upsampler(8, 2)
    torch.nn.init.normal_(upsampler.last.weight, std=0.1)
    return upsampler.requires_grad_(False)


def test_before_it_learns_it_is_bicubic():
    lr = torch.rand(2, 3, 9, 13)
    torch.testing.assert_close(Upsampler(8, 2)(lr), upsample(lr), atol=0, rtol=0)


def test_it_learns_every_weight_from_a_first_step_on():
    upsampler = _trained().requires_grad_(True)
    upsampler(0.25 + 0.5 * torch.rand(1, 3, 8, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in upsampler.parameters())


def test_content_that_moves_by_a_pixel_of_lr_moves_by_four():
    """Away from the border by what it sees: the first and last layer and two blocks of two, 6 pixels."""
    upsampler, lr = _trained(), torch.rand(1, 3, 24, 24)
    moved = upsampler(lr.roll((1, 2), dims=(2, 3)))
    inside = (..., slice(4 * 9, -4 * 8), slice(4 * 9, -4 * 8))
    expected = upsampler(lr).roll((4, 8), dims=(2, 3))
    torch.testing.assert_close(moved[inside], expected[inside], atol=1e-5, rtol=0)


def test_an_upsampling_alone_takes_frame_by_frame_what_it_makes_of_all():
    upsampler, lr, ticks = _trained(), torch.rand(3, 3, 8, 12), []
    hr = Upsampling(upsampler)(lr, ticks.append)
    torch.testing.assert_close(hr, upsampler(lr), atol=1e-6, rtol=0)
    assert ticks == [1, 1, 1]


def test_what_is_used_is_read_from_half_precision_and_does_not_learn(tmp_path):
    made = _trained()
    save_file({name: tensor.half() for name, tensor in made.state_dict().items()}, tmp_path / "e.safetensors")
    used = frozen(8, 2, tmp_path / "e.safetensors")
    assert not any(p.requires_grad for p in used.parameters())
    lr = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(used(lr), made(lr), atol=2e-3, rtol=0)


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_a_file_that_holds_none_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "e.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"e\.safetensors does not hold an upsampler of channels=8, blocks=2"):
        frozen(8, 2, file)


def test_one_of_another_size_is_refused():
    with pytest.raises(UserError, match="does not hold an upsampler of channels=32, blocks=8: size mismatch"):
        frozen(32, 8)


def test_the_one_in_the_package_brings_out_what_bicubic_blurs():
    """A step between two flat halves: steeper than bicubic's, at the same place, halves unchanged."""
    lr = torch.full((1, 3, 16, 16), 0.3)
    lr[..., 8:] = 0.7
    bicubic, upsampled = upsample(lr)[0, 1, 32], frozen(64, 8)(lr)[0, 1, 32]
    assert upsampled.diff().max() > 1.15 * bicubic.diff().max()
    assert abs(int(upsampled.diff().argmax()) - int(bicubic.diff().argmax())) <= 1
    torch.testing.assert_close(upsampled[:16], bicubic[:16], atol=0.01, rtol=0)
