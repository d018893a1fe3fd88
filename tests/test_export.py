"""The command ``export``: folders that diffusers and ``ckpt=`` load back, model cards, and the upload."""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion import StableVideoDiffusionPipeline
from huggingface_hub.errors import LocalTokenNotFoundError

from dcvsr.models.checkpoint import open_checkpoint, shipped
from dcvsr.runtime.files import file_sha256
from tests.conftest import SVD_SCHEDULER, TINY, TINY_MODEL, Run
from tests.models.making_svd import small_pipeline

SINGLE = "diffusion_pytorch_model.safetensors"


def card(folder: Path) -> tuple[dict[str, Any], str]:
    """Return metadata and text of a model card."""
    _, about, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(about), text


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return UNetSpatioTemporalConditionModel.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_shipped_model_comes_back_bit_for_bit(run: Run, clip: Path, tmp_path: Path, dtype: str) -> None:
    done = run("export", "output=my model", f"dtype={dtype}")
    assert done.code == 0, done.err
    weights = shipped("nano").weights
    for name, tensor in stored(tmp_path / "my model").items():
        assert torch.equal(tensor, weights[f"unet.{name}"].to(getattr(torch, dtype)).float())
    again = run("upscale", f"input={clip}", "output=a", "ckpt=my model", "dry_run=true")
    assert "weights: my model (diffusion_pytorch_model.safetensors; licence apache-2.0)" in again.out
    about, text = card(tmp_path / "my model")
    assert about["license"] == "apache-2.0"
    assert "bigbuckbunny" in text  # the data of nano.md
    assert file_sha256(tmp_path / "my model" / SINGLE) in text
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_run_s_card_has_its_data_steps_and_scores_and_no_folder_of_the_machine(
    run: Run, tmp_path: Path
) -> None:
    trained = run(
        "train", "+experiment=stage1", *TINY, "metrics=fidelity", "trainer.max_steps=1", "hydra.run.dir=one",
        "ckpt=null", "degradation=light", "~loggers.wandb", "datamodule.validated.tiles=1",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    ckpt = tmp_path / "one/checkpoints/last.ckpt"
    given = ("export", *TINY_MODEL[:3], f"ckpt={ckpt}")
    done = run(*given, "output=out", "licence=mit")
    assert done.code == 0, done.err
    about, text = card(tmp_path / "out")
    assert (about["license"], about["library_name"]) == ("mit", "diffusers")
    for row in ("| optimizer steps | 1 |", "| degradation | light |", "| data | synthetic |", "| psnr |"):
        assert row in text
    assert str(tmp_path) not in text
    weights = open_checkpoint(ckpt).weights
    for name, tensor in stored(tmp_path / "out").items():
        assert torch.equal(tensor, weights[f"unet.{name}"])
    assert run(*given, "output=other").code == 0
    assert "license" not in card(tmp_path / "other")[0]
    assert "No licence of the weights is stated." in card(tmp_path / "other")[1]


def test_a_pipeline_has_svd_s_parts_and_the_trained_network(run: Run, tmp_path: Path) -> None:
    small_pipeline().save_pretrained(tmp_path / "svd")
    given = ("export", "scale=svd", f"model.weights={tmp_path}/svd", f"ckpt={tmp_path}/svd")
    done = run(*given, "output=out", "with_pipeline=true")
    assert done.code == 0, done.err
    mine, theirs = (StableVideoDiffusionPipeline.from_pretrained(tmp_path / name) for name in ("out", "svd"))
    for part in ("unet", "vae", "image_encoder"):
        state = getattr(mine, part).state_dict()
        for name, tensor in getattr(theirs, part).state_dict().items():
            assert torch.equal(state[name], tensor)
    assert SVD_SCHEDULER.items() <= dict(mine.scheduler.config).items()
    assert run(*given[:3], "ckpt=out", "output=again").code == 0
    assert file_sha256(tmp_path / "again" / SINGLE) == file_sha256(tmp_path / "out/unet" / SINGLE)


def test_a_dry_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    done = run("export", "output=out", "dry_run=true")
    assert done.code == 0
    assert "nano.safetensors (scale=nano, stage 3, step " in done.out
    assert "U-Net of 26 MB in float32" in done.out
    assert not (tmp_path / "out").exists()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Calls of the hub's client, in order; nothing is sent."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Client:
        def whoami(self) -> dict[str, str]:
            return {"name": "owner"}

        def create_repo(self, repo_id: str, **given: Any) -> None:
            calls.append(("create", {"repo_id": repo_id, **given}))

        def upload_folder(self, **given: Any) -> SimpleNamespace:
            files = sorted(path.name for path in Path(given["folder_path"]).iterdir())
            calls.append(("upload", given | {"files": files}))
            return SimpleNamespace(commit_url="https://hub/owner/name/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Client)
    return calls


def test_hub_uploads_the_written_folder(run: Run, client: list[tuple[str, dict[str, Any]]]) -> None:
    done = run("export", "output=out", "hub=owner/name", "private=false")
    assert done.code == 0, done.err
    assert [name for name, _ in client] == ["create", "upload"]
    assert client[0][1] == {"repo_id": "owner/name", "private": False, "exist_ok": True}
    assert client[1][1]["repo_id"] == "owner/name"
    assert client[1][1]["files"] == ["README.md", "config.json", SINGLE]
    assert "uploaded to https://hub/owner/name/commit/1" in done.out


def test_an_upload_that_fails_keeps_the_folder(
    run: Run, tmp_path: Path, client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", fail)
    done = run("export", "output=out", "hub=owner/name")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "out is written, but not uploaded: owner/name: the request to the hub failed" in done.err
    assert (tmp_path / "out" / SINGLE).is_file()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["dtype=int8"], "dtype=int8 is not one of float32, float16, bfloat16"),
        (["output=clip.mp4"], "clip.mp4 already exists; give another output= or remove it"),
        (["with_pipeline=true"], "with_pipeline=true needs scale=svd: scale=nano has no VAE"),
        (["hub=name"], "hub=name is not a repository name: give OWNER/NAME"),
        (
            ["hub=owner/name"],
            "nobody is logged in to the hub, which hub=owner/name needs; run `hf auth login`",
        ),
        (["ckpt=none.ckpt"], "no checkpoint at none.ckpt"),
        (["output=clip.mp4/out"], "cannot write clip.mp4/out"),
    ],
)
def test_a_mistake_ends_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], line: str
) -> None:
    def no_token(_: object) -> None:
        raise LocalTokenNotFoundError("none")

    monkeypatch.setattr(huggingface_hub.HfApi, "whoami", no_token)
    (tmp_path / "clip.mp4").touch()
    done = run("export", "output=out", *given)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert line in done.err
    assert not (tmp_path / "out").exists()
