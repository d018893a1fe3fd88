"""The loader alone, and what degrading on the way costs nano's training.

Axes: clips ``f c h w``.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from benchmarks.report import Line
from benchmarks.timing import speedup
from dcvsr.data.clips import ALL, VideoClip
from dcvsr.data.datamodule import VSRDataModule
from dcvsr.data.latent_set import LatentSet
from dcvsr.data.packaged import packaged
from dcvsr.data.pairs import Pair
from dcvsr.degradation.pipeline import Given
from dcvsr.degradation.seeds import generator
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.cli import CONF
from dcvsr.video.io import read_video

STEPS = 10
"""Of a training that is timed."""


@dataclass(frozen=True)
class InMemory:
    """A clip of uint8 ``f c h w``."""

    name: str
    frames: Tensor

    @property
    def size(self) -> tuple[int, int]:
        return self.frames.shape[2], self.frames.shape[3]

    @property
    def shots(self) -> Sequence[range]:
        return [range(len(self))]

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, start: int, count: int, rows: slice = ALL, columns: slice = ALL) -> Tensor:
        return self.frames[start : start + count, :, rows, columns]


def loader(pairs: int) -> Iterator[Line]:
    """Reading from the store, nano's training on clips degraded on the way, and its loader alone."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    path = packaged("bigbuckbunny")
    store, part = VideoClip(path, "outputs/cache"), slice(100, 612)
    yield Line(
        "14x512x512 in mid-clip, times as fast as decoding the file",
        speedup(
            lambda: read_video(path),
            lambda: store.read(60, 14, part, part),
            pairs,
        ),
    )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["+experiment=stage1", "hydra.run.dir=."])
    degradation = instantiate(cfg.degradation, _convert_="all")
    hr = VideoClip(packaged("bikes"), "outputs/cache", stop=60)
    clip = to_unit(hr.read(0, len(hr)))
    lr = to_bytes(degradation.apply(degradation.draw(generator(0), clip.shape), clip))
    before, on_the_way = (
        data_of(cfg.data, clips, made_by)
        for clips, made_by in (
            ({"bikes": Pair(InMemory("bikes", to_bytes(clip)), InMemory("bikes", lr))}, Given(4, {})),
            ({"bikes": InMemory("bikes", to_bytes(clip))}, degradation),
        )
    )
    module = instantiate(cfg.module, _convert_="all")
    trained = speedup(lambda: train(module, before), lambda: train(module, on_the_way), pairs)
    yield Line("training, times as fast as on clips degraded beforehand", trained, at_least=0.9)
    alone = speedup(lambda: train(module, before), lambda: _read(on_the_way), pairs)
    yield Line("the loader alone, times as fast as training", alone, at_least=1)


def data_of(cfg: Any, clips: Any, degradation: Any, latents: LatentSet | None = None) -> VSRDataModule:
    """The data of `STEPS` batches."""
    return VSRDataModule(
        training=clips,
        validation=clips,
        frames=cfg.frames,
        crop=cfg.crop,
        batch_size=cfg.batch_size,
        steps=STEPS,
        degradation=degradation,
        seed=0,
        workers=cfg.workers,
        latents=latents,
    )


def train(module: pl.LightningModule, data: VSRDataModule) -> None:
    """`STEPS` steps."""
    trainer = pl.Trainer(
        accelerator="cpu",
        precision="bf16-mixed",
        max_steps=STEPS,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)


def _read(data: VSRDataModule) -> None:
    for batch in data.train_dataloader():
        data.on_after_batch_transfer(batch, 0)
