"""Baselines with a network, instantiated from their YAML with random weights and with weights of a file."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256
from dcvsr.runtime.provenance import describe
from tests.baselines.making import noise, saved, upscaler

NAMES = ["realesrgan", "realesrgan_anime", "swinir", "basicvsr", "realbasicvsr"]


@pytest.mark.parametrize("name", NAMES)
def test_baselines_follow_the_upscaler_protocol(name: str) -> None:
    baseline = upscaler(name, "upscaler.weights=null")
    baseline.to(torch.device("cpu"))
    done: list[float] = []
    hr = baseline(noise(2, 3, 9, 12), done.append)
    assert hr.shape == (2, 3, 4 * 9, 4 * 12)
    assert ((hr >= 0) & (hr <= 1)).all()
    assert sum(done) == baseline.work(2, 9, 12)
    assert (baseline.factor, baseline.origin) == (4, None)
    assert not any(parameter.requires_grad for parameter in baseline.network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_longer_and_larger_videos_take_more_memory(name: str) -> None:
    memory = upscaler(name, "upscaler.weights=null").memory
    assert 0 < memory(2, 36, 44) < memory(4, 36, 44) < memory(4, 72, 44) < memory(4, 72, 88)


@pytest.mark.parametrize("name", ["swinir", "realbasicvsr"])
def test_a_file_sets_all_weights_and_is_recorded_with_its_digest(name: str, tmp_path: Path) -> None:
    network = upscaler(name, "upscaler.weights=null").network
    state = {key.replace(".spynet.flow.", ".spynet."): value for key, value in network.state_dict().items()}
    state = {key: value + 1 for key, value in state.items() if value.is_floating_point()} | {
        key: value for key, value in state.items() if not value.is_floating_point()
    }
    path = saved(tmp_path / f"{name}.pth", {"params": state})
    baseline = upscaler(name, f"upscaler.weights={path}")
    for key, value in baseline.network.state_dict().items():
        assert torch.equal(value, state[key.replace(".spynet.flow.", ".spynet.")])
    assert str(baseline.origin) == path
    assert describe(baseline.origin, 0, "cpu")["weights"] == {
        "file": path,
        "sha256": file_sha256(Path(path)),
        "stage": None,
        "step": None,
        "training": None,
    }
    assert [field.name for field in fields(baseline.origin)] == ["path"]


def test_another_networks_weights_are_rejected(tmp_path: Path) -> None:
    network = upscaler("realesrgan_anime", "upscaler.weights=null").network
    path = saved(tmp_path / "anime.pth", network.state_dict())
    from dcvsr.baselines.pretrained import pretrained

    with pytest.raises(UserError, match=r"anime.pth holds another network than RRDBNet"):
        pretrained(upscaler("realesrgan", "upscaler.weights=null").network, path)
