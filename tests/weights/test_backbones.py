"""Backbones, on stand-ins of a few numbers: found, fetched, verified and given torchvision's names."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import file_sha256
from dcvsr.weights import backbones, features, mirrors
from dcvsr.weights.backbones import Backbone

KERNEL = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
BIAS = np.arange(5, dtype=np.float32)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torchvision's server, a folder. No other source answers; this machine's own caches are out of sight."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("DCVSR_WEIGHTS", str(tmp_path / "configured"))
    monkeypatch.setattr(mirrors, "TORCHVISION", f"{(tmp_path / 'server').as_uri()}/")
    monkeypatch.setattr(backbones, "from_package", no_index)
    for folder in ("server", "configured", "torch/hub/checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "server"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "torch/hub/checkpoints"


def no_index(folder: Path) -> None:
    raise OSError("no index")


def publish(server: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """Put a network onto the server, in torchvision's form, and its packaged form beside it."""
    plain, packaged = server / "plain", server / "tiny.ckpt"
    torch.save({"features.7.bias": torch.ones(3), "classifier.1.bias": torch.zeros(9)}, plain)
    packaged.write_bytes(pickle.dumps({"Tiny_0": {"Conv_0": {"kernel": KERNEL, "bias": BIAS}}}))
    published = plain.rename(server / f"tiny-owt-{file_sha256(plain)[:8]}.pth")
    tiny = Backbone(published.name, packaged.name, file_sha256(packaged), "Tiny_0", convolutions=(7,))
    monkeypatch.setattr(backbones, "BACKBONES", {"tiny": tiny})
    return tiny


def test_a_downloaded_file_is_found_later(server: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = publish(server, monkeypatch)
    assert features("tiny").keys() == {"features.7.bias"}
    assert [path.name for path in cache.iterdir()] == [tiny.published]
    (server / tiny.published).unlink()
    torch.testing.assert_close(features("tiny")["features.7.bias"], torch.ones(3))


def test_the_configured_folder_comes_before_the_cache(
    server: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = publish(server, monkeypatch)
    (cache / tiny.published).write_text("damaged")
    (server / tiny.published).rename(tmp_path / "configured" / tiny.published)
    assert features("tiny").keys() == {"features.7.bias"}


def test_the_packages_kernels_are_turned_the_way_torch_keeps_them(
    server: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = publish(server, monkeypatch)
    (server / tiny.published).unlink()
    monkeypatch.setattr(
        backbones, "from_package", lambda folder: (server / tiny.packaged).rename(folder / tiny.packaged)
    )
    weight, bias = (features("tiny")[f"features.7.{kind}"] for kind in ("weight", "bias"))
    assert weight.shape == (5, 4, 2, 3)
    assert all(weight[o, i, y, x] == KERNEL[y, x, i, o] for y, x, i, o in np.ndindex(2, 3, 4, 5))
    assert bias.tolist() == BIAS.tolist()
    assert [path.name for path in cache.iterdir()] == [tiny.packaged]


@pytest.mark.parametrize("kind", ["published", "packaged"])
def test_a_damaged_file_is_refused_with_both_digests(
    server: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    tiny = publish(server, monkeypatch)
    damaged = cache / getattr(tiny, kind)
    damaged.write_bytes((server / damaged.name).read_bytes()[:-1])
    with pytest.raises(UserError) as refusal:
        features("tiny")
    for part in (str(damaged), tiny.files[damaged.name], file_sha256(damaged), "remove the file"):
        assert part in str(refusal.value)


def test_a_cut_off_download_leaves_nothing_behind(
    server: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = publish(server, monkeypatch)
    whole = (server / tiny.published).read_bytes()
    (server / tiny.published).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="expected SHA-256"):
        features("tiny")
    assert not list(cache.iterdir())


def test_weights_that_cannot_be_downloaded_are_named_in_one_line_with_the_way_out(
    server: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = publish(server, monkeypatch)
    (server / tiny.published).unlink()
    with pytest.raises(UserError) as refusal:
        features("tiny")
    message = str(refusal.value)
    assert "\n" not in message
    for part in (
        tiny.published,
        "configured",
        str(cache),
        "no index",
        f"put {backbones.TORCHVISION}{tiny.published}",
    ):
        assert part in message


def test_importing_weights_imports_nothing_heavy() -> None:
    code = (
        "import sys, dcvsr.weights; print({'torch', 'numpy', 'huggingface_hub', 'tqdm'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
