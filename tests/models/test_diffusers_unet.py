"""Loading of U-Nets in diffusers' layout into a denoiser, and the comparison of their architectures."""

import json
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from safetensors.torch import load_file, save_file

from dcvsr.models.checkpoint import restored
from dcvsr.models.denoiser import Denoiser
from dcvsr.models.svd import new_unet, pretrained_unet
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from tests.conftest import QUICK, TINY, TINY_MODEL, Run

SINGLE = "diffusion_pytorch_model.safetensors"


def network(seed: int = 0) -> UNetSpatioTemporalConditionModel:
    torch.manual_seed(seed)
    return new_unet(4, [32, 32], [2, 2], layers=1, embedding=16, frames=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network().save_pretrained(tmp_path / "unet")
    return tmp_path / "unet"


def loaded(ckpt: Path, denoiser: Denoiser | None = None) -> Denoiser:
    return restored(denoiser or Denoiser(network(1), [8, 127, 0]), str(ckpt), "runs", "svd", [2, 1])


def change(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("shard", ["10GB", "1MB"])
def test_every_layout_gives_the_stored_weights_in_float32(
    tmp_path: Path, variant: str | None, shard: str
) -> None:
    stored = network().to(torch.float16 if variant else torch.float32)
    stored.save_pretrained(tmp_path, variant=variant, max_shard_size=shard)
    unet = loaded(tmp_path).unet
    for name, tensor in stored.state_dict().items():
        assert unet.state_dict()[name].dtype == torch.float32
        assert torch.equal(unet.state_dict()[name], tensor.float())
    assert all(p.requires_grad for p in unet.parameters())


def test_a_network_without_weights_is_filled_as_a_whole(folder: Path) -> None:
    """At scale=svd the U-Net is built on the meta device; SVD's own weights are not needed."""
    (folder / SINGLE).rename(folder.parent / "trained.safetensors")
    ckpt = folder.parent / "trained"
    network().save_pretrained(ckpt)
    empty = pretrained_unet(str(folder.parent), ckpt=str(ckpt), checkpointing=False)
    denoiser = loaded(ckpt, Denoiser(empty, [8, 127, 0]))
    assert not any(tensor.is_meta for tensor in denoiser.state_dict().values())
    x = torch.randn(1, 4, 8, 8, 8)
    times, tokens, ids = torch.ones(1), torch.randn(1, 1, 16), torch.ones(1, 3)
    expected = network().eval()(x, times, tokens, ids).sample
    assert torch.equal(denoiser.unet.eval()(x, times, tokens, ids).sample, expected)


OTHER = {
    "in_channels": 4,
    "out_channels": 8,
    "down_block_types": ["DownBlockSpatioTemporal"] * 2,
    "up_block_types": ["UpBlockSpatioTemporal"] * 2,
    "block_out_channels": [32, 64],
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "layers_per_block": 2,
    "cross_attention_dim": 32,
    "transformer_layers_per_block": 2,
    "num_attention_heads": [1, 2],
}


def test_every_setting_is_compared_or_known_to_have_no_effect() -> None:
    settings = signature(UNetSpatioTemporalConditionModel).parameters
    assert OTHER.keys() | {"num_frames", "sample_size"} == settings.keys()


@pytest.mark.parametrize("key", OTHER)
def test_a_different_setting_is_refused_with_both_values(folder: Path, key: str) -> None:
    expected = json.loads((folder / "config.json").read_text())[key]
    change(folder, **{key: OTHER[key]})
    with pytest.raises(UserError) as refused:
        loaded(folder)
    assert f"{folder} has another architecture: {key} is {OTHER[key]}, expected {expected}; choose" in str(
        refused.value
    )


def test_heads_that_the_weights_do_not_show_are_compared(folder: Path) -> None:
    """Any number of heads fits the same tensors, and changes the result."""
    change(folder, num_attention_heads=1)
    with pytest.raises(UserError, match="num_attention_heads is 1, expected"):
        loaded(folder)


def test_settings_without_effect_and_one_value_for_all_blocks_are_accepted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    average = {"decay": 0.999, "optimization_step": 7, "power": 0.67, "use_ema_warmup": True}
    change(folder, num_frames=25, sample_size=96, _diffusers_version="0.29.2", _name_or_path="x", **average)
    change(folder, num_attention_heads=2, layers_per_block=[1, 1], cross_attention_dim=[16, 16])
    assert loaded(folder).origin.record()["config"]["num_frames"] == 25  # type: ignore[union-attr]
    assert caplog.text == ""


def test_an_unknown_setting_is_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(folder, adapter="lora")
    loaded(folder)
    assert "unknown settings in config.json are ignored: adapter" in caplog.text


def test_a_setting_that_the_file_leaves_out_has_diffusers_default(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    del content["layers_per_block"]
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="layers_per_block is 2, expected 1"):
        loaded(folder)


@pytest.mark.parametrize("kind", ["lacks", "has more", "has another shape"])
def test_tensors_that_do_not_fit_the_config_are_refused(folder: Path, kind: str) -> None:
    state, name = load_file(folder / SINGLE), "conv_in.bias"
    tensor = state.pop(name)
    if kind == "has more":
        state |= {name: tensor, "lora.up": tensor.clone()}
    elif kind == "has another shape":
        state[name] = tensor[:-1].clone()
    save_file(state, folder / SINGLE)
    expected = {
        "lacks": "lacks conv_in.bias",
        "has more": "has lora.up, which the network has not",
        "has another shape": r"conv_in.bias has shape \(31,\), expected \(32,\)",
    }
    with pytest.raises(UserError, match=expected[kind]):
        loaded(folder)


def test_the_record_names_files_hashes_and_configuration(folder: Path) -> None:
    record = loaded(folder).origin.record()  # type: ignore[union-attr]
    hashes = {name: sha256((folder / name).read_bytes()).hexdigest() for name in ("config.json", SINGLE)}
    assert record["files"] == hashes
    assert (record["file"], record["repository"], record["revision"]) == (str(folder), None, None)
    before = record["sha256"]
    change(folder, num_frames=25)
    assert loaded(folder).origin.record()["sha256"] != before  # type: ignore[union-attr]


def test_a_weight_file_of_diffusers_asks_for_its_folder(folder: Path) -> None:
    with pytest.raises(
        UserError, match=f"belongs to a U-Net in diffusers' layout; give its folder: {folder}"
    ):
        loaded(folder / SINGLE)


def test_upscale_takes_a_folder_as_it_takes_a_checkpoint(run: Run, clip: Path, tmp_path: Path) -> None:
    given = ("upscale", f"input={clip}", *TINY_MODEL)
    torch.manual_seed(0)
    assert run(*given, "output=a", "ckpt=null").code == 0
    torch.manual_seed(0)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("upscale", [*TINY_MODEL, "input=a", "output=a", "ckpt=null"])
    instantiate(cfg.upscaler, _convert_="all").denoiser.unet.save_pretrained(
        tmp_path / "net (1)" / "unet_ema"
    )
    done = run(*given, "output=b", "ckpt=net (1)")
    assert done.code == 0, done.err
    assert f"weights: net (1) ({SINGLE}; states no licence)" in done.out
    for frame in sorted((tmp_path / "a").iterdir()):
        assert (tmp_path / "b" / frame.name).read_bytes() == frame.read_bytes()
    weights = json.loads((tmp_path / "b.json").read_text())["weights"]
    assert (weights["file"], weights["config"]["in_channels"]) == ("net (1)", 96)
    assert weights["files"].keys() == {"config.json", SINGLE}


@pytest.mark.parametrize("command", ["upscale", "evaluate", "figure3", "train"])
def test_a_unet_of_another_scale_ends_every_command_in_one_line(
    run: Run, clip: Path, folder: Path, command: str
) -> None:
    given = {
        "upscale": [f"input={clip}", "output=b.mp4"],
        "evaluate": ["data=synthetic", "metrics=fidelity"],
        "figure3": [f"input={clip}", "output=b.png"],
        "train": ["+experiment=stage2", "data=synthetic", "metrics=fidelity"],
    }
    done = run(command, *given[command], f"ckpt={folder}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{folder} has another architecture: " in done.err
    assert "in_channels is 8, expected 96" in done.err


@pytest.mark.parametrize("ckpt", ["owner/name", "/no/such/folder", "shiped"])
def test_a_checkpoint_that_cannot_be_had_is_refused_in_one_line(
    run: Run, clip: Path, ckpt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = run("upscale", f"input={clip}", "output=b.mp4", f"ckpt={ckpt}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert ckpt in done.err


def test_training_starts_from_a_unet_in_diffusers_layout(run: Run, tmp_path: Path) -> None:
    stage1 = ("train", "+experiment=stage1", *TINY, *QUICK, "trainer.max_steps=1")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*stage1[1:], "ckpt=null"])
    instantiate(cfg.upscaler, _convert_="all").denoiser.unet.save_pretrained(tmp_path / "net")
    done = run(*stage1, "ckpt=net", "hydra.run.dir=one")
    assert done.code == 0, done.err
    assert "stage 1 starts from net (diffusion_pytorch_model.safetensors; states no licence)" in done.out
    frozen = run("train", "+experiment=stage2", *stage1[2:], "ckpt=net", "hydra.run.dir=two")
    assert frozen.code == 0, frozen.err
    before = load_file(tmp_path / "net" / SINGLE)
    after = torch.load(tmp_path / "two/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    changed = {
        name for name, tensor in before.items() if not torch.equal(after[f"denoiser.unet.{name}"], tensor)
    }
    assert changed
    assert not any("temporal_transformer_blocks" in name for name in changed)
