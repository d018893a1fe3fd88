"""Inception Score and FID with a stand-in for Inception, and with a random Inception if it is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.text2image import image_scores
from dcvsr.text2image.image_scores import FID, InceptionScore, embedding
from tests.metrics.making import Colours, frechet


def random_images(count: int, seed: int = 0) -> Tensor:
    """Random images ``b 3 h w``, uint8, each with its own mean colour."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, 200, (count, 3, 1, 1), generator=generator)
    return (colours + torch.randint(0, 56, (count, 3, 8, 10), generator=generator)).byte()


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_scores, "embedding", lambda output, weights: Colours())


def fid_to(real_images: Tensor) -> FID:
    return FID("", lambda size: real_images.split(2))


def inception_score(images: Tensor, splits: int = 1, seed: int = 0) -> float:
    metric = InceptionScore("", splits, seed)
    for batch in images.split(3):
        metric.update(batch)
    return metric.compute().item()


@pytest.mark.usefixtures("colours")
def test_fid_is_zero_to_the_same_set_and_the_frechet_distance_to_another() -> None:
    images, real_images = random_images(7), random_images(9, seed=1)
    same, other = fid_to(images), fid_to(real_images)
    for batch in images.split(3):
        same.update(batch)
        other.update(batch)
    assert same.compute().item() == pytest.approx(0, abs=1e-6)
    embedded = [part.double().mean((-2, -1)).numpy() / 255 for part in (real_images, images)]
    assert other.compute().item() == pytest.approx(frechet(*embedded), rel=1e-4)


@pytest.mark.usefixtures("colours")
def test_real_images_are_requested_once_at_the_size_of_the_images() -> None:
    sizes = []
    metric = FID("", lambda size: sizes.append(size) or [random_images(2)])
    metric.update(random_images(2))
    metric.update(random_images(2))
    assert sizes == [(8, 10)]


@pytest.mark.usefixtures("colours")
def test_is_follows_its_formula() -> None:
    images = random_images(7)
    logits = images.double().mean((-2, -1)).numpy() / 255
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.exp((p * np.log(p / p.mean(0))).sum(1).mean())
    assert expected > 1.001
    assert inception_score(images) == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("colours")
def test_is_of_identical_images_is_one() -> None:
    assert inception_score(random_images(1).expand(6, -1, -1, -1), splits=3) == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("colours")
def test_is_splits_depend_only_on_its_seed() -> None:
    images = random_images(8)
    state = torch.get_rng_state()
    one = inception_score(images, splits=4)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert inception_score(images, splits=4) == one
    assert abs(inception_score(images, splits=4, seed=1) - one) > 0


@pytest.mark.usefixtures("colours")
def test_sets_too_small_are_rejected() -> None:
    with pytest.raises(UserError, match="IS in 2 parts needs 4 images, got 3"):
        inception_score(random_images(3), splits=2)
    metric = fid_to(random_images(2))
    metric.update(random_images(1))
    with pytest.raises(UserError, match="two images"):
        metric.compute()


def test_without_torch_fidelity_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_scores.fid, "_TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(UserError, match=r"needs torch-fidelity: pip install 'dcvsr\[text2image\]'$"):
        embedding("2048", "weights.pth")


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of random weights with the parameter names of torch-fidelity's Inception."""
    module = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity is not installed"
    )
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "load_state_dict_from_url", lambda *arguments, **options: {})
        patched.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(network.state_dict(), path)
    return path


def test_inception_with_random_weights_embeds_and_scores(random_inception: Path) -> None:
    images = random_images(2)
    assert embedding("logits_unbiased", str(random_inception))(images).shape == (2, 1008)
    distance = FID(str(random_inception), lambda size: [images])
    distance.update(images)
    assert distance.compute().item() == pytest.approx(0, abs=1e-6)
    score = InceptionScore(str(random_inception), splits=1, seed=0)
    score.update(images[:1].expand(2, -1, -1, -1))
    assert score.compute().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("content", [{"fc.bias": torch.zeros(1008)}, Path("not a tensor")])
def test_another_networks_weights_are_rejected(content: object, tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other.pth is not torch-fidelity's Inception \("):
        embedding("2048", str(tmp_path / "other.pth"))
