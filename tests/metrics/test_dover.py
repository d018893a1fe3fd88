"""DOVER: the official layout, the published readings, and properties that hold for any weights."""

import csv
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from dcvsr.metrics import dover, dover_views
from dcvsr.metrics.dover import DOVER, Network, readings
from dcvsr.runtime.errors import UserError
from tests.comparing import apart

ROOT = Path(__file__).parents[2]
LAYOUT = ROOT.parent / "shared" / "golden" / "dover_state_dict.csv"


@pytest.fixture(scope="module")
def network() -> Network:
    """The official architecture with random weights."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = Network()
        for name, parameter in network.named_parameters():
            spread = 1.0 if name.endswith("_table") else 0.2 if parameter.ndim == 1 else 0.02
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder with a DOVER.pth of random weights."""
    path = tmp_path_factory.mktemp("weights") / "DOVER.pth"
    torch.save(network.state_dict(), path)
    yield path.parent
    path.unlink()


@pytest.fixture(scope="module")
def built(folder: Path) -> DOVER:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCVSR_WEIGHTS", str(folder))
        return DOVER(seed=0)


@pytest.fixture
def metric(built: DOVER, monkeypatch: pytest.MonkeyPatch) -> DOVER:
    """The metric on views of two frames instead of 32, for speed."""
    monkeypatch.setattr(dover_views, "LENGTH", 2)
    monkeypatch.setattr(built, "seed", 0)
    built.reset()
    return built


def clip(frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_names_shapes_and_types_match_the_official_file(network: Network) -> None:
    if not LAYOUT.is_file():
        pytest.skip(f"{LAYOUT.name}, the layout of the official file, is absent")
    with LAYOUT.open() as file:
        official = {row["name"]: (row["shape"], row["dtype"]) for row in csv.DictReader(file)}
    ours = {
        name: ("x".join(map(str, value.shape)), str(value.dtype).removeprefix("torch."))
        for name, value in network.state_dict().items()
    }
    assert ours == official


def test_tensor_and_parameter_counts_match_the_official_file(network: Network) -> None:
    state = network.state_dict()
    assert len(state) == 381
    assert sum(value.numel() for value in state.values()) == 58_062_270


def test_relative_position_indices_follow_the_official_layout(network: Network) -> None:
    """Indices address a table of 15x13x13 offsets; the offset is the first token minus the second."""
    indices = [value for name, value in network.state_dict().items() if name.endswith("_index")]
    assert len(indices) == 12
    for index in indices:
        assert torch.equal(index, indices[0])
        assert torch.equal(index + index.T, torch.full_like(index, 15 * 13 * 13 - 1))
        assert (index.diagonal() == 15 * 13 * 13 // 2).all()
        assert index[0, 1] - index[0, 0] == -1
        assert index[0, 7] - index[0, 0] == -13
        assert index[0, 49] - index[0, 0] == -13 * 13


def test_the_network_returns_a_score_map_per_view(network: Network) -> None:
    generator = torch.Generator().manual_seed(0)
    views = {
        "technical": torch.randn(2, 3, 4, 64, 96, generator=generator),
        "aesthetic": torch.randn(1, 3, 6, 96, 64, generator=generator),
    }
    maps = network(views)
    assert {name: tuple(score.shape) for name, score in maps.items()} == {
        "technical": (2, 1, 2, 2, 3),
        "aesthetic": (1, 1, 3, 3, 2),
    }
    other = network({**views, "aesthetic": views["aesthetic"] + 1})
    assert torch.equal(other["technical"], maps["technical"])
    assert apart(other["aesthetic"], maps["aesthetic"], 1e-5)


def test_all_weights_are_loaded(metric: DOVER, network: Network) -> None:
    assert all(
        torch.equal(value, network.state_dict()[name]) for name, value in metric.network.state_dict().items()
    )
    assert not metric.network.training
    assert not any(parameter.requires_grad for parameter in metric.parameters())


def test_a_missing_file_error_names_the_searched_folders_and_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCVSR_WEIGHTS", str(tmp_path / "configured"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError) as raised:
        DOVER(seed=0)
    message = str(raised.value)
    assert "\n" not in message
    for part in ("DOVER.pth", "configured", "home/hub/checkpoints", "github.com/VQAssessment/DOVER/releases"):
        assert part in message


def test_the_file_is_found_in_torch_hubs_cache_and_loading_keeps_the_random_state(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DCVSR_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "DOVER.pth").symlink_to(folder / "DOVER.pth")
    before = torch.get_rng_state()
    assert DOVER(seed=0).higher_is_better
    assert torch.equal(torch.get_rng_state(), before)


def test_another_file_is_rejected_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCVSR_WEIGHTS", str(tmp_path))
    for content in ({"technical_head.fc_last.bias": torch.zeros(1)}, [partial(print)]):
        torch.save(content, tmp_path / "DOVER.pth")
        with pytest.raises(UserError, match=r"DOVER.pth is not the official DOVER.pth \(") as raised:
            DOVER(seed=0)
        assert "\n" not in str(raised.value)


def test_the_configuration_instantiates_the_metric(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCVSR_WEIGHTS", str(folder))
    metrics = instantiate(OmegaConf.load(ROOT / "conf" / "metrics.yaml").dover)
    assert isinstance(metrics["dover"], DOVER)


def test_scores_are_independent_of_earlier_clips_and_averaged_over_clips(metric: DOVER) -> None:
    clips = clip(30, 260, 240), clip(9, 40, 50, seed=1)
    scores = []
    for each in clips:
        metric.reset()
        metric.update(each, None)
        scores.append(metric.compute())
    metric.reset()
    before = torch.get_rng_state()
    for each in reversed(clips):
        metric.update(each, each)
    assert torch.equal(torch.get_rng_state(), before)
    assert abs(scores[0] - scores[1]) > 0
    assert metric.compute() == torch.stack(scores).mean()


def test_raw_readings_are_the_means_of_the_score_maps(metric: DOVER) -> None:
    """The three technical views are passed one at a time here and as a batch in the metric."""
    frames, generator = clip(9, 230, 230), torch.Generator().manual_seed(0)
    technical = dover_views.technical_view(frames, generator)
    aesthetic = dover_views.aesthetic_view(frames, generator)
    maps = [metric.network({"technical": each[None], "aesthetic": aesthetic}) for each in technical]
    metric.update(frames)
    values = metric.readings()
    expected = torch.cat([each["technical"] for each in maps]).mean()
    assert values["technical_raw"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert values["aesthetic_raw"].item() == pytest.approx(maps[0]["aesthetic"].mean().item(), abs=1e-5)
    assert values["overall"] == metric.compute()


def test_another_seed_gives_another_score(metric: DOVER) -> None:
    frames = clip(9, 300, 300)
    scores = []
    for metric.seed in (0, 1):
        metric.reset()
        metric.update(frames)
        scores.append(metric.readings()["technical_raw"])
    assert abs(scores[0] - scores[1]) > 0


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_flat_clip_has_finite_scores(metric: DOVER, level: float) -> None:
    metric.update(torch.full((2, 3, 64, 64), level))
    assert all(value.isfinite() for value in metric.readings().values())


def sigmoid_percent(x: float) -> float:
    return 100 / (1 + math.exp(-x))


@pytest.mark.parametrize(("t", "a"), [(0.1, -0.05), (-0.05, 0.08), (0.21, 0.0)])
def test_readings_follow_the_published_formulas(t: float, a: float) -> None:
    expected = {
        "overall": sigmoid_percent((t - 0.1107) / 0.07355 * 0.6104 + (a + 0.08285) / 0.03774 * 0.3896),
        "technical": sigmoid_percent((t - 0.1107) / 0.07355),
        "aesthetic": sigmoid_percent((a + 0.08285) / 0.03774),
        "swapped": sigmoid_percent((a - 0.1107) / 0.07355 * 0.6104 + (t + 0.08285) / 0.03774 * 0.3896),
        "sign_flipped": sigmoid_percent((t - 0.1107) / 0.07355 * 0.6104 + (a - 0.08285) / 0.03774 * 0.3896),
        "swapped_sign_flipped": sigmoid_percent(
            (a - 0.1107) / 0.07355 * 0.6104 + (t - 0.08285) / 0.03774 * 0.3896
        ),
        "technical_raw": t,
        "aesthetic_raw": a,
    }
    values = readings(*torch.tensor([[t], [a]], dtype=torch.float64))
    assert {name: value.item() for name, value in values.items()} == pytest.approx(expected)


def test_the_mean_scores_of_konvid_give_fifty_percent() -> None:
    values = readings(torch.tensor([dover.MEAN_T]), torch.tensor([dover.MEAN_A]))
    for name in ("overall", "technical", "aesthetic"):
        assert values[name].item() == pytest.approx(50)
