"""Optical flow estimators: on clips of known flow, and against the libraries that they wrap."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.optical_flow import Raft_Large_Weights, raft_large

from dcvsr.data.synthetic import Translation
from dcvsr.imaging import to_unit
from dcvsr.metrics.flow import DIS, RAFT, Farneback, Flow
from dcvsr.runtime.errors import UserError

PUBLISHED = "raft_large_C_T_SKHT_V2-ff5fadd5.pth"
FARNEBACK = Farneback(0.5, 3, 15, 3, 5, 1.2, 0)
BY_OPENCV = [DIS(2), FARNEBACK]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of RAFT's architecture with random weights."""
    path = tmp_path_factory.mktemp("weights") / "raft.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(raft_large(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def raft(weights: Path) -> RAFT:
    return RAFT(str(weights), updates=3)


def frames(height: int, width: int, count: int = 2) -> tuple[Tensor, Tensor]:
    first, second = torch.rand(2, count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return first, second


def gray(frame: Tensor) -> np.ndarray:
    return cv2.cvtColor((frame * 255).round().byte().permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)


@torch.no_grad()
def test_raft_equals_torchvisions_on_frames_normalised_by_its_transforms(raft: RAFT) -> None:
    first, second = frames(128, 144)
    prepared = Raft_Large_Weights.C_T_SKHT_V2.transforms()(first, second)
    expected = raft.network(*prepared, num_flow_updates=3)[-1]
    assert expected.abs().mean() > 0.01
    torch.testing.assert_close(raft(first, second), expected)


@torch.no_grad()
@pytest.mark.parametrize("size", [(129, 143), (136, 61), (9, 17)])
def test_raft_pads_any_size_by_repeating_the_border(raft: RAFT, size: tuple[int, int]) -> None:
    pairs = frames(*size, count=1)
    pads = [max(-side % 8, 128 - side) for side in size]
    borders = [(0, 0), (0, 0), *((pad // 2, pad - pad // 2) for pad in pads)]
    padded = [torch.from_numpy(np.pad(frame.numpy(), borders, mode="edge")) for frame in pairs]
    top, left = (before for before, _ in borders[2:])
    expected = raft(*padded)[:, :, top : top + size[0], left : left + size[1]]
    flow = raft(*pairs)
    assert flow.shape == (1, 2, *size)
    torch.testing.assert_close(flow, expected)


def test_raft_loads_a_file_is_frozen_and_keeps_the_random_state(weights: Path) -> None:
    before = torch.get_rng_state()
    raft = RAFT(str(weights), updates=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert not raft.training
    assert not any(parameter.requires_grad for parameter in raft.parameters())
    assert all(
        torch.equal(raft.network.state_dict()[key], value) for key, value in torch.load(weights).items()
    )


def test_a_file_with_the_wrong_hash_is_rejected(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PUBLISHED).write_bytes(weights.read_bytes())
    monkeypatch.setenv("DCVSR_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match=rf"{PUBLISHED}: expected SHA-256 ff5fadd5, found [0-9a-f]{{64}};"):
        RAFT(PUBLISHED, updates=12)


def test_another_networks_weights_are_rejected(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth holds another network than RAFT"):
        RAFT(str(tmp_path / "other.pth"), updates=12)


@pytest.mark.parametrize("flow", BY_OPENCV)
@pytest.mark.parametrize("motion", [(1.0, 0.0), (2.5, -1.25), (-4.0, 3.0)])
def test_a_translation_is_estimated_to_a_fraction_of_a_pixel(flow: Flow, motion: tuple[float, float]) -> None:
    clip = Translation(seed=1, frames=3, height=80, width=96, dx=motion[0], dy=motion[1])
    video, seen = to_unit(clip.read(0, 3)), torch.stack([clip.visible(0), clip.visible(1)])
    error = (flow(video[:2], video[1:]) - torch.stack([clip.flow(0), clip.flow(1)])).norm(dim=1)
    assert error[seen].mean() < 0.1


@pytest.mark.parametrize("flow", BY_OPENCV)
def test_static_frames_have_no_flow(flow: Flow) -> None:
    textured, flat = frames(40, 50)[0], torch.full((1, 3, 40, 50), 0.3)
    for still in (textured, flat):
        assert flow(still, still).abs().mean() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (12, 13), (33, 20)])
def test_opencv_estimators_equal_opencv_on_eight_bit_gray(size: tuple[int, int]) -> None:
    first, second = frames(*size)
    settings = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}
    for one, other, found in zip(first, second, FARNEBACK(first, second), strict=True):
        expected = cv2.calcOpticalFlowFarneback(gray(one), gray(other), None, flags=0, **settings)
        np.testing.assert_array_equal(found.permute(1, 2, 0), expected)
    if size == (1, 1):
        return
    for one, other, found in zip(first, second, DIS(1)(first, second), strict=True):
        expected = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(
            gray(one), gray(other), None
        )
        np.testing.assert_array_equal(found.permute(1, 2, 0), expected)


@pytest.mark.parametrize("size", [(8, 9), (7, 40), (40, 7), (12, 40), (20, 64), (31, 400)])
def test_frames_that_dis_cannot_take_are_rejected_with_the_alternative(size: tuple[int, int]) -> None:
    """OpenCV raises on the small ones and segfaults on the wide ones."""
    height, width = size
    message = rf"DIS cannot take frames of {width}x{height}; choose metrics\.flow=farneback"
    with pytest.raises(UserError, match=message):
        DIS(2)(*frames(height, width))


@pytest.mark.parametrize("preset", [0, 1, 2])
@pytest.mark.parametrize("size", [(8, 12), (12, 8), (31, 32), (32, 40), (32, 400), (400, 8)])
def test_dis_takes_all_other_sizes(size: tuple[int, int], preset: int) -> None:
    assert DIS(preset)(*frames(*size)).isfinite().all()
