"""Training on prepared latents against degrading and encoding on the way.

Axes: clips ``f c h w``.
"""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from benchmarks.loader import STEPS, InMemory, data_of, train
from benchmarks.report import Line
from benchmarks.timing import speedup
from dcvsr.data.clips import VideoClip
from dcvsr.data.datamodule import VSRDataModule
from dcvsr.data.latent_set import LatentSet, Layout
from dcvsr.data.packaged import packaged
from dcvsr.models.flops import Flops
from dcvsr.models.svd_architecture import without_weights
from dcvsr.runtime.cli import CONF
from dcvsr.training.latent_contents import Encoders
from dcvsr.training.latent_writing import Encoding, made


def prepared(pairs: int) -> Iterator[tuple[str, Line]]:
    """nano's training on latents and on the way, in samples a second; SVD's by FLOPs."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    for degradation in ("light", "realbasicvsr"):
        yield from (("nano", line) for line in _under(degradation, pairs))
    yield "svd", Line("FLOPs of a step on the way, times those on latents", _svd_flops(), at_least=1)


def _under(degradation: str, pairs: int) -> Iterator[Line]:
    cfg, clip = (
        _composed(f"degradation={degradation}"),
        VideoClip(packaged("bikes"), "outputs/cache", stop=60),
    )
    clips = {"bikes": InMemory("bikes", clip.read(0, len(clip)))}
    made_by, module = (instantiate(part, _convert_="all") for part in (cfg.degradation, cfg.module))
    on_the_way = data_of(cfg.data, clips, made_by)
    with TemporaryDirectory() as folder:
        latents = data_of(cfg.data, clips, made_by, _made(module, on_the_way, Path(folder)))
        encoded = speedup(lambda: _encoded(module, on_the_way), lambda: _encoded(module, latents), pairs)
        yield Line(f"{degradation}: reading latents, times as fast as degrading and encoding", encoded)
        trained = speedup(lambda: train(module, on_the_way), lambda: train(module, latents), pairs)
    yield Line(f"{degradation}: training on latents, times as fast as on the way", trained, at_least=1)
    yield Line(f"{degradation}: training on the way, samples a second", STEPS / trained.reference)
    yield Line(f"{degradation}: training on latents, samples a second", STEPS / trained.candidate)


def _composed(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", ["+experiment=stage1", "hydra.run.dir=.", "metrics=fidelity", *overrides])


def _made(module: Any, data: VSRDataModule, folder: Path) -> LatentSet:
    latents = LatentSet.below(folder, {}, Layout(0, STEPS, 1, STEPS, "float32"))
    encode = Encoding(Encoders.of(module.upscaler), 0, None)
    for _ in made(latents, latents.shards, data, encode, True, torch.device("cpu")):
        pass
    return latents


@torch.no_grad()
def _encoded(module: Any, data: VSRDataModule) -> None:
    for batch in data.train_dataloader():
        module.encode(data.on_after_batch_transfer(batch, 0))


def _svd_flops() -> float:
    """Of a clip of 14x512x512, forward, recomputed and backward, with encoding of HR and I^up and without."""
    cfg = without_weights(_composed("scale=svd", "ckpt=null"))
    flops = Flops(instantiate(cfg.upscaler, _convert_="all"))
    frames, crop = cfg.data.frames, cfg.data.crop
    step = 4 * flops.evaluation(frames, crop // 8, crop // 8)
    coded = frames * (flops.encoding(crop, crop) + flops.target(crop, crop)) + flops.image
    return (step + coded) / step
