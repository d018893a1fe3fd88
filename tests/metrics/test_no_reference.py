"""NIQE against published values; MUSIQ's loading with a stand-in, and with pyiqa if it is installed."""

import csv
import importlib.util
import math
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dcvsr.data.packaged import packaged
from dcvsr.metrics.framewise import Framewise
from dcvsr.metrics.no_reference import MUSIQ, NIQE
from dcvsr.runtime.errors import UserError
from dcvsr.video.io import read_video, to_unit
from tests.comparing import rise

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"


@cache
def niqe() -> NIQE:
    try:
        return NIQE()
    except UserError as error:
        pytest.skip(str(error))


@cache
def real_clip() -> Tensor:
    """Two frames of a real clip, 192x288."""
    return to_unit(read_video(packaged("bikes")).frames[30:32, :, :192, :288])


def value(metric: Framewise, clip: Tensor, reference: Tensor | None = None) -> float:
    metric.reset()
    metric.update(clip, reference)  # type: ignore[arg-type]
    return float(metric.compute())


def golden(name: str) -> Tensor:
    if not GOLDEN.is_dir():
        pytest.skip("golden images are absent")
    return torch.from_numpy(np.array(Image.open(GOLDEN / name).convert("RGB"))).permute(2, 0, 1)[None] / 255


def test_niqe_reproduces_the_authors_value() -> None:
    assert value(niqe(), golden("baboon.png")) == pytest.approx(5.7296, abs=5e-5)


@pytest.mark.parametrize("image", ["I04", "I06", "I08"])
def test_niqe_of_gray_reproduces_the_published_values(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two conventions differ only in `dcvsr.metrics.no_reference.luma`."""
    picture = golden(f"iqa_dist_{image}.bmp")
    with (GOLDEN / "iqa_official.csv").open() as file:
        published = {row["Method"]: float(row[f"{image}.bmp"]) for row in csv.DictReader(file)}

    def gray(frame: Tensor) -> np.ndarray:
        return ((frame[0].double() * 255).permute(1, 2, 0).numpy() @ [0.299, 0.587, 0.114]).round()

    metric = niqe()
    monkeypatch.setattr("dcvsr.metrics.no_reference.luma", gray)
    assert value(metric, picture) == pytest.approx(published["niqe"], abs=1e-3)


def test_the_reference_is_ignored() -> None:
    clip = real_clip()
    assert value(niqe(), clip) == value(niqe(), clip, 1 - clip) == value(niqe(), clip, clip[:1])


def test_a_clip_scores_the_mean_of_its_frames() -> None:
    frames = [value(niqe(), frame) for frame in real_clip().split(1)]
    assert abs(frames[0] - frames[1]) > 0
    assert value(niqe(), real_clip()) == pytest.approx(sum(frames) / 2, rel=1e-6)


def test_noise_raises_niqe() -> None:
    clip, noise = real_clip()[:1], torch.randn(1, 3, 192, 288, generator=torch.Generator().manual_seed(0))
    scores = [value(niqe(), (clip + sigma * noise).clamp(0, 1)) for sigma in (0, 0.05, 0.2)]
    assert rise(scores)


@pytest.mark.parametrize("level", [0, 0.3, 1])
def test_flat_frames_score_nan_and_are_left_out_of_the_mean(level: float) -> None:
    flat = torch.full((1, 3, 192, 288), level)
    assert math.isnan(value(niqe(), flat))
    assert value(niqe(), torch.cat([real_clip(), flat])) == value(niqe(), real_clip())


@pytest.mark.parametrize(("height", "width"), [(95, 300), (191, 191)])
def test_frames_too_small_for_niqe_are_rejected(height: int, width: int) -> None:
    with pytest.raises(UserError, match=rf"NIQE needs .*96x96 pixels, got .*{width}x{height}"):
        niqe().update(torch.zeros(1, 3, height, width), None)


class StandIn(nn.Module):
    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        assert not pretrained
        self.head = nn.Linear(3, 1)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(frames.mean((2, 3)))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(archs=None))
    monkeypatch.setitem(sys.modules, "pyiqa.archs", SimpleNamespace(musiq_arch=None))
    monkeypatch.setitem(sys.modules, "pyiqa.archs.musiq_arch", SimpleNamespace(MUSIQ=StandIn))


def weights(folder: Path, network: nn.Module) -> str:
    torch.save(network.state_dict(), folder / "musiq.pth")
    return str(folder / "musiq.pth")


def test_musiq_uses_the_given_weights_and_ignores_the_reference(stand_in: Any, tmp_path: Path) -> None:
    network = StandIn(pretrained=False)
    metric = MUSIQ(weights(tmp_path, network))
    clip = torch.arange(24).view(2, 3, 2, 2) / 255
    expected = network(clip).mean().item()
    assert value(metric, clip) == pytest.approx(expected, abs=1e-6)
    assert value(metric, clip, 1 - clip) == value(metric, clip)
    assert not any(parameter.requires_grad for parameter in metric.parameters())


def test_another_networks_weights_are_rejected(stand_in: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds another network than StandIn"):
        MUSIQ(weights(tmp_path, nn.Linear(2, 2)))


def test_without_pyiqa_the_error_names_its_licence_and_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(UserError) as raised:
        MUSIQ("musiq_koniq_ckpt-e95806b9.pth")
    for part in ("PolyForm-Noncommercial-1.0.0", "pip install --no-deps pyiqa==0.1.16"):
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_musiq_equals_pyiqas_network(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyiqa") is None:
        pytest.skip("pyiqa is not installed: it is for noncommercial use")
    network = importlib.import_module("pyiqa.archs.musiq_arch").MUSIQ(pretrained=False).eval()
    metric = MUSIQ(weights(tmp_path, network))
    clip = (real_clip() * 255).round() / 255
    assert value(metric, clip) == pytest.approx(network(clip).mean().item(), rel=1e-4)
