"""LPIPS and DISTS: published values, and properties of a distance between images."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import vgg16

from dcvsr import weights
from dcvsr.metrics.framewise import Framewise
from dcvsr.metrics.perceptual import DISTS, LPIPS, LPIPSVGG
from dcvsr.runtime.errors import UserError

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"


@pytest.fixture(scope="module", params=[LPIPS, LPIPSVGG, DISTS])
def metric(request: pytest.FixtureRequest) -> Framewise:
    return built(request.param)


@cache
def built(kind: type[Framewise]) -> Framewise:
    try:
        return kind()
    except UserError as error:
        pytest.skip(f"no backbone: {error}")


def value(metric: Framewise, restored: Tensor, reference: Tensor) -> float:
    metric.reset()
    metric.update(restored, reference)
    return float(metric.compute())


def golden(name: str) -> Tensor:
    if not GOLDEN.is_dir():
        pytest.skip("golden images are absent")
    return torch.from_numpy(np.array(Image.open(GOLDEN / name).convert("RGB"))).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def clips() -> tuple[Tensor, Tensor]:
    restored, reference = torch.rand(2, 2, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    return restored, reference


@pytest.mark.parametrize(("image", "published"), [("ex_p0.png", 0.722), ("ex_p1.png", 0.138)])
def test_lpips_reproduces_the_authors_values(image: str, published: float) -> None:
    assert value(built(LPIPS), golden(image), golden("ex_ref.png")) == pytest.approx(published, abs=1e-3)


def test_lpips_on_vgg16_follows_eq_1() -> None:
    """Zhang et al. 2018, Eq. (1), on torchvision's network with the linear weights of torchmetrics."""
    metric, convolutions = built(LPIPSVGG), weights.features("vgg16")
    generator = torch.Generator().manual_seed(0)
    pictures = (torch.rand(2, 3, 32, 40, generator=generator) * 255).round() / 255
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in ([-0.03, -0.088, -0.188], [0.458, 0.448, 0.45])
    )
    network = vgg16(weights=None).features.eval()
    network.load_state_dict({key.removeprefix("features."): value for key, value in convolutions.items()})
    expected, x = 0.0, (2 * pictures - 1 - mean) / std
    for number, layers in enumerate(
        (network[:4], network[4:9], network[9:16], network[16:23], network[23:30])
    ):
        with torch.no_grad():
            x = layers(x)
        unit = x / x.norm(dim=1, keepdim=True)
        weighting = metric.network.lins[number].model[-1].weight.detach()[0]
        expected += float((weighting * (unit[0] - unit[1]) ** 2).sum(dim=0).mean())
    assert value(metric, *pictures.split(1)) == pytest.approx(expected, rel=1e-4)


def test_dists_reproduces_the_authors_value() -> None:
    pictures = golden("dists_r1.png"), golden("dists_r0.png")
    assert value(built(DISTS), *pictures) == pytest.approx(0.3347, abs=1e-3)


@pytest.mark.parametrize("image", ["I03", "I04", "I06", "I08", "I19"])
def test_published_lpips_is_reproduced(image: str) -> None:
    assert_published(LPIPS, image)


@pytest.mark.parametrize("image", ["I03", "I08"])  # the largest and the smallest of the five, 4 s each
def test_published_dists_is_reproduced(image: str) -> None:
    assert_published(DISTS, image)


def assert_published(kind: type[Framewise], image: str) -> None:
    pictures = [golden(f"iqa_{kind}_{image}.bmp") for kind in ("dist", "ref")]
    with (GOLDEN / "iqa_official.csv").open() as file:
        published = {row["Method"]: float(row[f"{image}.bmp"]) for row in csv.DictReader(file)}
    assert value(built(kind), *pictures) == pytest.approx(published[kind.__name__.lower()], abs=1e-3)


def test_a_clip_has_distance_zero_to_itself(metric: Framewise, clips: tuple[Tensor, Tensor]) -> None:
    assert value(metric, clips[0], clips[0]) == pytest.approx(0, abs=1e-6)


def test_the_distance_is_symmetric(metric: Framewise, clips: tuple[Tensor, Tensor]) -> None:
    restored, reference = clips
    assert value(metric, restored, reference) == pytest.approx(value(metric, reference, restored), rel=1e-4)


def test_a_clip_scores_the_mean_of_its_frames(metric: Framewise, clips: tuple[Tensor, Tensor]) -> None:
    frames = [value(metric, x, y) for x, y in zip(*(clip.split(1) for clip in clips), strict=True)]
    assert value(metric, *clips) == pytest.approx(sum(frames) / len(frames), rel=1e-6)


def test_frames_too_small_for_alexnet_are_rejected() -> None:
    smallest = torch.rand(1, 3, 31, 31, generator=torch.Generator().manual_seed(0))
    lpips = built(LPIPS)
    assert value(lpips, smallest, 1 - smallest) > 0
    with pytest.raises(UserError, match="LPIPS needs 31x31"):
        lpips.update(smallest[..., :30], smallest[..., :30])


@pytest.mark.parametrize("kind", [LPIPS, LPIPSVGG, DISTS])
def test_building_a_metric_keeps_the_random_state(kind: type[Framewise]) -> None:
    built(kind)
    before = torch.get_rng_state()
    metric = kind()
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in metric.parameters())


@pytest.mark.parametrize("kind", [LPIPS, LPIPSVGG, DISTS])
def test_a_backbone_that_lacks_a_layer_is_rejected(
    kind: type[Framewise], monkeypatch: pytest.MonkeyPatch
) -> None:
    built(kind)
    whole = weights.features
    monkeypatch.setattr(weights, "features", lambda name: dict(list(whole(name).items())[:-1]))
    with pytest.raises((KeyError, RuntimeError)):
        kind()
