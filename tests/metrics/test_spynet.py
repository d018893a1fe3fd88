"""SpyNet's flow with the BasicVSR weights that a Python package contains."""

from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dcvsr.data.packaged import packaged
from dcvsr.metrics.spynet import SpyNet
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit


@cache
def spynet() -> SpyNet:
    try:
        return SpyNet("BasicVSR_REDS4.pth")
    except UserError as error:
        pytest.skip(str(error))


@cache
def real_clip() -> Tensor:
    return to_unit(read_video(packaged("bikes")).frames[30:33])


def cut(x: int, y: int, frame: int = 0) -> Tensor:
    return real_clip()[frame : frame + 1, :, 30 + y : 30 + y + 96, 30 + x : 30 + x + 128]


@pytest.mark.parametrize(("x", "y"), [(3, 0), (0, -2), (-4, 5), (0, 0)])
def test_the_flow_of_a_shift_points_from_first_to_second(x: int, y: int) -> None:
    flow = spynet()(cut(0, 0), cut(-x, -y))[0, :, 16:-16, 16:-16]  # content at p moves to p + (x, y)
    assert flow.mean((1, 2)).tolist() == pytest.approx([x, y], abs=0.1)


def warped(frame: Tensor, flow: Tensor) -> Tensor:
    """Sample ``frame`` at p + flow(p)."""
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    at = torch.stack([columns + flow[0, 0], rows + flow[0, 1]], -1)
    at = 2 * at / torch.tensor([127.0, 95]) - 1
    return F.grid_sample(frame, at[None], padding_mode="border", align_corners=True)


def test_warping_along_the_flow_reduces_the_frame_difference() -> None:
    first, second = cut(0, 0, 0), cut(0, 0, 1)
    error = (warped(second, spynet()(first, second)) - first).square().mean()
    assert error < 0.5 * (second - first).square().mean()


def test_pairs_of_a_batch_are_independent() -> None:
    first, second = torch.cat([cut(0, 0), cut(0, 0)]), torch.cat([cut(2, 1), cut(0, 0, 1)])
    both = spynet()(first, second)
    for i in range(2):
        torch.testing.assert_close(
            both[i : i + 1], spynet()(first[i : i + 1], second[i : i + 1]), rtol=0, atol=1e-4
        )


@pytest.mark.parametrize(("height", "width"), [(20, 90), (64, 7), (1, 1)])
def test_every_frame_size_has_a_finite_flow(height: int, width: int) -> None:
    frame = cut(0, 0)[..., :height, :width]
    flow = spynet()(frame, frame)
    assert flow.shape == (1, 2, height, width)
    assert flow.isfinite().all()


def test_building_it_keeps_the_random_state() -> None:
    spynet()
    before = torch.get_rng_state()
    estimator = SpyNet("BasicVSR_REDS4.pth")
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in estimator.parameters())


def test_another_networks_weights_are_rejected(tmp_path) -> None:
    spynet()
    torch.save({"params": {"spynet.mean": torch.zeros(1, 3, 1, 1)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other.pth holds another network than SpyNet"):
        SpyNet(str(tmp_path / "other.pth"))
