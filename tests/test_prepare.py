"""Prepared latents: equal to those made on the fly, resumable, and refused where settings differ."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from safetensors.torch import load_file

from dcvsr.data.crops import RandomCrops
from dcvsr.data.latent_set import LatentSet
from dcvsr.degradation.seeds import generator
from dcvsr.imaging import to_unit
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.training.latent_contents import Encoders, contents, found
from dcvsr.training.module import VSRModule
from tests.conftest import TINY, Finished, Run
from tests.models.making_svd import small_pipeline

SIZE = ("data=synthetic", "data.crop=64", "data.frames=4")
SET = ("crops=5", "shard=2", "draws=2")


@pytest.fixture(scope="module")
def svd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("svd")
    small_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def prepare(run: Run) -> Callable[..., Finished]:
    return lambda *arguments: run("prepare", *SIZE, *SET, *arguments)


def the_set(folder: Path) -> LatentSet:
    [about] = (folder / "outputs/latents").glob("*/about.json")
    return LatentSet.opened(about.parent)


def training(*overrides: str) -> tuple[DictConfig, VSRModule, Any]:
    """Configuration, module and partial datamodule of ``train``."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = ["+experiment=stage1", "ckpt=null", "metrics=fidelity", *overrides]
        cfg = compose("train", given)
    torch.manual_seed(0)
    module = instantiate(cfg.module, _convert_="all")
    module.log = lambda *_, **__: None
    module.trainer = type("Trainer", (), {"optimizers": [module.configure_optimizers()]})()
    return cfg, module, instantiate(cfg.datamodule, _convert_="all")


def on_the_fly(data: Any, crop: int, draw: int) -> dict[str, Any]:
    """Draw ``draw`` of crop ``crop``, as the documentation defines it."""
    settings = data.keywords
    hr = RandomCrops(settings["training"], settings["frames"], settings["crop"], 5, seed=0, epoch=1)[crop][
        "hr"
    ]
    clip, degradation = to_unit(hr), settings["degradation"]
    lr = degradation.apply(degradation.draw(generator(0, 1 + draw, crop), clip.shape), clip)
    return {"hr": clip[None], "lr": lr[None], **numbers(crop, draw)}


def numbers(crop: int, draw: int) -> dict[str, torch.Tensor]:
    return {"epoch": torch.tensor([1 + draw]), "number": torch.tensor([crop])}


def cached(latents: LatentSet, crop: int, draw: int) -> dict[str, Any]:
    shard, row = divmod(crop, latents.layout.shard)
    stored = latents.read(shard, draw, row)
    return {name: part.float()[None] for name, part in stored.items()} | numbers(crop, draw)


NANO = TINY[1:7]
OTHER = "module.noise_augmentation=[-3,0.5]"


@pytest.mark.parametrize(
    ("scale", "extra"),
    [
        ("nano", ()),
        ("nano", (OTHER,)),
        ("svd", ()),
        ("svd", ("upscaler.image_frames=each", OTHER)),
        ("svd", ("model.noise_augmentation=0.02",)),
    ],
)
def test_loss_on_a_cached_sample_equals_the_loss_on_the_fly(
    scale: str, extra: tuple[str, ...], prepare: Callable[..., Finished], svd: Path, tmp_path: Path
) -> None:
    """Bit for bit: float32, on a CPU, batches of one clip."""
    weights = () if scale == "nano" else ("scale=svd", f"model.weights={svd}")
    light = ("degradation=light", *extra, *weights)
    done = prepare(*light)
    assert done.code == 0, done.err
    _, module, data = training(*SIZE, *(NANO[2:] if scale == "nano" else ()), *light)
    latents = the_set(tmp_path)
    assert latents.missing() == []
    for crop, draw in ((0, 0), (0, 1), (3, 0), (4, 1)):
        (y, c), (y_then, c_then) = (
            module.encode(batch) for batch in (cached(latents, crop, draw), on_the_fly(data, crop, draw))
        )
        assert torch.equal(y, y_then)
        assert torch.equal(c.latent, c_then.latent)
        assert torch.equal(c.image, c_then.image)
        losses = [
            module.training_step(batch, 0)["loss"]
            for batch in (cached(latents, crop, draw), on_the_fly(data, crop, draw))
        ]
        assert torch.equal(*losses)
    assert not torch.equal(cached(latents, 0, 0)["l"], cached(latents, 0, 1)["l"])
    assert (OTHER in extra) == ("noise_augmentation" in cached(latents, 0, 0))
    y_draws = load_file(latents.path(0))["y"].shape[0]
    assert y_draws == {"nano": 2, "svd": 1}[scale], "draws share y where it depends on HR alone"


def test_half_precision_keeps_the_loss_to_a_thousandth(
    prepare: Callable[..., Finished], tmp_path: Path
) -> None:
    assert prepare("dtype=float16").code == 0
    _, module, data = training(*SIZE, *NANO[2:])
    latents = the_set(tmp_path)
    assert load_file(latents.path(0))["l"].dtype == torch.float16
    for crop in range(5):
        loss, exact = (
            module.training_step(batch, 0) for batch in (cached(latents, crop, 1), on_the_fly(data, crop, 1))
        )
        torch.testing.assert_close(loss, exact, rtol=1e-3, atol=0)
        assert loss != exact


def test_a_stopped_set_goes_on_with_the_missing_shards(
    prepare: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prepare(f"latents={tmp_path}/whole").code == 0
    write, written = LatentSet.write, []

    def killed(self: LatentSet, shard: int, tensors: Any) -> None:
        if written:
            self.path(shard).with_name(f"{self.path(shard).name}.1.part").write_bytes(b"half of it")
            raise KeyboardInterrupt
        written.append(shard)
        write(self, shard, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(LatentSet, "write", killed)
        assert prepare().code == 130
    latents = the_set(tmp_path)
    assert latents.missing() == [1, 2]
    before = latents.path(0).stat().st_mtime_ns
    again = prepare()
    assert again.code == 0, again.err
    assert "to make: 3 crops in 2 shards" in again.out
    assert latents.path(0).stat().st_mtime_ns == before
    whole = tmp_path / "whole" / latents.folder.name
    assert {file.name for file in whole.iterdir()} == {file.name for file in latents.folder.iterdir()}
    for shard in latents.shards:
        assert latents.path(shard).read_bytes() == (whole / latents.path(shard).name).read_bytes()


def test_parts_make_the_set_together(prepare: Callable[..., Finished], tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        assert prepare(f"part={part}", f"latents={tmp_path}/parts").code == 0
    assert prepare("data.batch_size=3", "data.workers=1").code == 0
    latents = the_set(tmp_path)
    for shard in latents.shards:
        other = tmp_path / "parts" / latents.folder.name / latents.path(shard).name
        assert other.read_bytes() == latents.path(shard).read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_size_is_told_and_a_small_disk_refused(
    dtype: str, prepare: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = prepare(f"dtype={dtype}", "dry_run=true")
    assert told.code == 0
    assert not (tmp_path / "outputs/latents").exists()
    with monkeypatch.context() as patch:
        patch.setattr("dcvsr.runtime.files.free_space", lambda folder: 10**6)
        refused = prepare(f"dtype={dtype}")
    assert refused.code == 2
    assert "has 1.0 MB free, and the rest takes" in refused.err
    assert not (tmp_path / "outputs/latents").exists()
    assert prepare(f"dtype={dtype}").code == 0
    size = sum(file.stat().st_size for file in the_set(tmp_path).folder.glob("*.safetensors"))
    assert f"{size / 1e6:.1f} MB; to make: 5 crops in 3 shards" in told.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["part=3/2"], "part=3/2 is not a part; write part=1/4"),
        (["draws=0"], "draws=0 is not a whole number of 1 or more"),
        (["module.noise_augmentation=[1]"], "module.noise_augmentation=[1] is not a mean and a deviation"),
        (["upscaler.image_frames=last"], "'last' is not a choice"),
        (["degradation=none"], "degradation=none"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], says: str, prepare: Callable[..., Finished]) -> None:
    done = prepare(*arguments)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1


def test_training_on_latents(prepare: Callable[..., Finished], run: Run, tmp_path: Path) -> None:
    """Stages 1 and 2 train; another crop, missing shards and stage 3 are refused."""
    tiny = (*TINY, "metrics=fidelity", "~loggers.wandb", "trainer.max_steps=2", "data.source=latents")
    train = lambda stage, *arguments: run("train", f"+experiment=stage{stage}", *tiny, *arguments)  # noqa: E731
    assert "no latents in outputs/latents: run python -m dcvsr.prepare" in train(1).err
    assert prepare().code == 0
    done = train(1, "hydra.run.dir=one", "seed=5")
    assert done.code == 0, done.err
    assert "training on 10 samples of latents in outputs/latents/" in done.out
    assert "train/data_wait" in (tmp_path / "one/metrics.csv").read_text()
    cost = json.loads((tmp_path / "one/cost.json").read_text())
    assert cost["evaluations"] == 2
    assert cost["flops"]["vae"] == cost["flops"]["upsample"] == 0 < cost["flops"]["forward"]
    assert train(2, "ckpt=one/checkpoints/last.ckpt", f"latents={the_set(tmp_path).folder}").code == 0
    refused = train(1, "data.crop=32")
    assert refused.code == 2
    assert "was prepared with data.crop=64, not 32: change that, or run python -m" in refused.err
    assert refused.err.count("\n") == 1
    the_set(tmp_path).path(1).unlink()
    assert "lacks 1 of 3 shards: run python -m dcvsr.prepare again" in train(1).err
    assert "stage 3 compares decoded frames with HR" in train(3).err


@pytest.fixture
def wanted() -> Callable[..., dict[str, Any]]:
    """Return the contents that ``train`` looks for."""

    def looked_for(*overrides: str) -> dict[str, Any]:
        cfg, module, data = training(*SIZE, *NANO[2:], *overrides)
        return contents(cfg, data.keywords["training"], Encoders.of(module.upscaler))

    return looked_for


def test_what_differs_is_named(prepare: Callable[..., Finished], wanted: Any, tmp_path: Path) -> None:
    assert prepare().code == 0
    for changed, says in (
        ("data.frames=3", "data.frames=4, not 3"),
        ("degradation=bicubic", "degradation._target_ "),
        ("degradation.steps.noise.sigma.high=9", "degradation.steps.noise.sigma.high="),
        ("model.latents.least_contrast=0.1", "model.latents.least_contrast=0.02, not 0.1"),
        ("+model.upsample.weights=null", "model.upsample (another)"),
        ("data.training.slide.seed=9", "data.training.slide (another)"),
        ("~data.training.slide", "data.training.slide (missing here)"),
        ("module.noise_augmentation=[-3,0.5]", "module.noise_augmentation=None, not [-3, 0.5]"),
        ("upscaler.image_frames=each", "upscaler.image_frames=first, not each"),
    ):
        with pytest.raises(UserError, match=f"was prepared with .*{re.escape(says)}"):
            found(tmp_path / "outputs/latents", wanted(changed))


def test_of_several_sets_that_fit_one_is_named(
    prepare: Callable[..., Finished], wanted: Any, tmp_path: Path
) -> None:
    assert prepare().code == prepare("seed=1").code == 0
    settings = wanted()
    with pytest.raises(UserError, match=r"several sets of latents fit: .*; choose one with latents=FOLDER"):
        found(tmp_path / "outputs/latents", settings)
    for folder in (tmp_path / "outputs/latents").iterdir():
        assert found(folder, settings).folder == folder
