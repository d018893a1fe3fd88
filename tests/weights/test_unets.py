"""U-Nets in diffusers' layout: every layout of a folder, the hub, its cache, and what is refused."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from dcvsr.models.svd import new_unet
from dcvsr.runtime.errors import UserError
from dcvsr.weights import hub
from dcvsr.weights.unets import HubName, names_unet, require_unet, unet_files
from tests.weights.fake_hub import COMMIT, served

SINGLE = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def network() -> UNetSpatioTemporalConditionModel:
    torch.manual_seed(0)
    return new_unet(4, [32, 32], [1, 1], layers=1, embedding=16, frames=4)


@pytest.fixture
def folder(network: UNetSpatioTemporalConditionModel, tmp_path: Path) -> Path:
    network.save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def refused(ckpt: object) -> str:
    with pytest.raises(UserError) as error:
        require_unet(str(ckpt))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Janghyeok/dc-vsr", HubName("Janghyeok/dc-vsr", "", None)),
        ("a/b/unet_ema", HubName("a/b", "unet_ema", None)),
        ("a/b/c/d@v1.0", HubName("a/b", "c/d", "v1.0")),
        ("a/b@refs/pr/1", HubName("a/b", "", "refs/pr/1")),
        ("shipped", None),
        ("/a/b", None),
        ("./a/b", None),
        ("../a/b", None),
        ("a/../b", None),
        ("a//b", None),
        ("a/b@", None),
        ("a/b c", None),
        ("", None),
    ],
)
def test_a_hub_id_is_owner_name_subfolder_and_revision(text: str, name: HubName | None) -> None:
    assert HubName.parsed(text) == name


@pytest.mark.parametrize(
    ("ckpt", "is_unet"),
    [("a/b", True), ("runs/last.ckpt", False), ("a/b.safetensors", False), ("newest", False), (None, False)],
)
def test_a_missing_checkpoint_file_is_not_looked_for_on_the_hub(ckpt: str | None, is_unet: bool) -> None:
    assert names_unet(ckpt) == is_unet


def test_a_folder_precedes_a_repository_of_the_same_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    ckpt = f"{folder.parent.name}/net"
    assert unet_files(ckpt).folder == Path(ckpt)


@pytest.mark.parametrize("inside", ["", "unet", "unet_ema"])
def test_a_unet_is_found_in_a_folder_and_in_its_subfolders(folder: Path, inside: str) -> None:
    root = folder.parent / "root"
    shutil.copytree(folder, root / inside)
    found = unet_files(str(root))
    assert found.folder == root / inside
    assert found.weights == (SINGLE,)
    assert found.config["block_out_channels"] == [32, 32]
    assert (found.repository, found.revision, found.licence) == (None, None, None)


def test_averaged_weights_are_preferred(folder: Path) -> None:
    for name in ("unet", "unet_ema"):
        shutil.copytree(folder, folder.parent / "root" / name)
    assert unet_files(str(folder.parent / "root")).folder.name == "unet_ema"


def test_averaged_weights_that_are_pickled_do_not_fall_back_to_others(folder: Path) -> None:
    root = folder.parent / "root"
    for name in ("unet", "unet_ema"):
        shutil.copytree(folder, root / name)
    (root / "unet_ema" / SINGLE).rename(root / "unet_ema" / "diffusion_pytorch_model.bin")
    assert "only pickled weights" in refused(root)


@pytest.mark.parametrize("variant", [None, "fp16", "bf16"])
@pytest.mark.parametrize("shard", ["10GB", "1MB"])
def test_shards_and_half_precision_are_found(
    network: UNetSpatioTemporalConditionModel, tmp_path: Path, variant: str | None, shard: str
) -> None:
    network.save_pretrained(tmp_path, variant=variant, max_shard_size=shard)
    found = unet_files(str(tmp_path))
    assert len(found.weights) == 1 if shard == "10GB" else len(found.weights) > 1
    tensors = [set(load_file(tmp_path / name)) for name in found.weights]
    assert set.union(*tensors) == set(network.state_dict())
    assert found.hashes().keys() == {"config.json", *found.weights}


def test_full_precision_precedes_half(network: UNetSpatioTemporalConditionModel, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path, variant="fp16")
    network.save_pretrained(tmp_path)
    assert unet_files(str(tmp_path)).weights == (SINGLE,)


def test_a_missing_shard_is_named(network: UNetSpatioTemporalConditionModel, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path, max_shard_size="1MB")
    lost = sorted(tmp_path.glob("*-of-*"))[1]
    lost.unlink()
    assert f"{tmp_path} lacks {lost.name} of" in refused(tmp_path)


def test_an_index_cannot_name_files_elsewhere(
    network: UNetSpatioTemporalConditionModel, tmp_path: Path
) -> None:
    network.save_pretrained(tmp_path, max_shard_size="1MB")
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../a.safetensors"}}))
    assert "is not an index of shards" in refused(tmp_path)


class Payload:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_pickled_weights_are_refused_and_not_executed(folder: Path, tmp_path: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Payload(tmp_path / "executed")))
    assert f"{folder} has only pickled weights (.bin), which can execute code" in refused(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_weights_cut_off_are_refused(folder: Path, kept: int) -> None:
    content = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(content[:kept])
    assert "is damaged or cut off" in refused(folder)


def test_quantised_weights_are_refused(folder: Path) -> None:
    save_file({"a": torch.zeros(2, dtype=torch.int8)}, folder / SINGLE)
    assert "stores I8; only F32, F16 and BF16" in refused(folder)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("{", "is not JSON"),
        ("[]", "does not hold the settings of a network"),
        ('{"_class_name": "UNet2DConditionModel"}', "is a UNet2DConditionModel, not a UNetSpatioTemporal"),
        ("{}", "is a network without _class_name, not a UNetSpatioTemporal"),
    ],
)
def test_another_network_is_refused(folder: Path, config: str, line: str) -> None:
    (folder / "config.json").write_text(config)
    assert line in refused(folder)


def test_a_folder_without_a_unet_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} has no config.json: give a folder in diffusers' layout" in refused(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    assert f"is the folder of a run: give {tmp_path}/checkpoints/last.ckpt" in refused(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "diffusion_pytorch_model.safetensors is missing" in refused(tmp_path)


@pytest.fixture
def repository(
    network: UNetSpatioTemporalConditionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Folder of the repository owner/net; owner/gated has the same files. The hub's cache is empty."""
    root = tmp_path / "root"
    network.save_pretrained(root / "unet_ema")
    (root / "README.md").write_text("---\nlicense: other\nlicense_name: some-nc\n---\ntext")
    monkeypatch.setattr(hub, "PATIENCE", 200.0)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with served({"owner/net": root, "owner/gated": root}, frozenset({"owner/gated"})) as address:
        online(address, monkeypatch)
        yield root


def online(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_a_repository_is_downloaded_once_and_then_needs_no_network(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "unet_ema" / "diffusion_pytorch_model.bin").touch()
    (repository / "vae").mkdir()
    (repository / "vae/large.safetensors").touch()
    require_unet("owner/net")
    first = unet_files("owner/net")
    assert first.source == f"owner/net/unet_ema@{COMMIT}"
    assert (first.repository, first.revision, first.licence) == ("owner/net", COMMIT, "some-nc")
    assert str(first) == f"owner/net/unet_ema@{COMMIT} ({SINGLE}; licence some-nc)"
    snapshot = first.folder.parent
    assert sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file()) == [
        "README.md",
        "unet_ema/config.json",
        f"unet_ema/{SINGLE}",
    ]
    online("http://127.0.0.1:9", monkeypatch)  # nothing listens there
    for ckpt in ("owner/net", "owner/net/unet_ema", f"owner/net@{COMMIT}"):
        require_unet(ckpt)
        assert unet_files(ckpt) == first


def test_a_repository_without_a_card_states_no_licence(repository: Path) -> None:
    (repository / "README.md").unlink()
    assert str(unet_files("owner/net")).endswith("; states no licence)")


def test_what_an_interrupted_download_left_is_completed(repository: Path) -> None:
    whole = unet_files("owner/net")
    (whole.folder / SINGLE).unlink()
    assert unet_files("owner/net") == whole


@pytest.mark.parametrize(
    ("ckpt", "line"),
    [
        (
            "owner/gated",
            "owner/gated is gated: accept its licence at https://huggingface.co/owner/gated, run `hf",
        ),
        (
            "owner/other",
            "the hub has no repository owner/other, or it is private; correct ckpt, or run `hf auth",
        ),
        ("owner/net@v2", "owner/net has no such revision; give a branch, a tag or a commit after @"),
        ("owner/net/vae", "owner/net/vae has no vae/config.json"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_way_out(repository: Path, ckpt: str, line: str) -> None:
    assert line in refused(ckpt)


def test_a_hub_that_cannot_be_reached_is_said_with_the_way_out(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online("http://127.0.0.1:9", monkeypatch)
    line = (
        r"owner/net: the request to the hub failed \(ConnectError.*`hf download owner/net --local-dir FOLDER`"
    )
    assert re.search(line, refused("owner/net"))


def test_a_silent_hub_is_not_waited_for(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE", 0.1)
    over = threading.Event()
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: over.wait())
    try:
        assert "the hub did not answer within 0.1 s; run `hf download owner/net" in refused("owner/net")
    finally:
        over.set()


def test_offline_mode_is_refused_at_once_without_torch(tmp_path: Path) -> None:
    code = """
import socket, sys, time
from dcvsr.runtime.errors import UserError
from dcvsr.weights import hub, require_weights
def refuse(*_, **__): raise AssertionError("it goes online or waits")
socket.getaddrinfo = socket.socket.connect = time.sleep = refuse
hub.PATIENCE = 200.0
try:
    require_weights("owner/net")
except UserError as error:
    assert "offline mode" in str(error), error
    print("torch" in sys.modules)
"""
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=offline, text=True) == "False\n"
