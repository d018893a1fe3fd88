"""Validation in a run: it changes no weight and no random state, and tiles meet in its clips."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, distributed

from dcvsr.metrics.fidelity import PSNR, SSIM
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.training.validation_scores import ValidationScores
from tests.conftest import TINY
from tests.training.forked import run_ranks


class Drawing:
    """A metric that draws from every global generator."""

    needs_reference, higher_is_better = True, True

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def to(self, device: torch.device) -> "Drawing":
        return self

    def reset(self) -> None:
        return None

    def update(self, restored: Tensor, reference: Tensor | None) -> None:
        assert restored.isfinite().all()
        self.sizes.append(tuple(restored.shape))

    def compute(self) -> Tensor:
        return torch.rand(()) + np.random.rand() + random.random()


class Watch(pl.Callback):
    """The random states before and after validations, seen by the last callback of a training batch."""

    def __init__(self) -> None:
        self.states: list[list[Any]] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.states.append(_states())

    def on_train_end(self, *_: Any) -> None:
        self.states.append(_states())


def _states() -> list[Any]:
    name, keys, *rest = np.random.get_state()
    return [torch.get_rng_state().tolist(), name, list(keys), rest, random.getstate()]


def fit(folder: Path, validates: bool) -> tuple[dict[str, Tensor], Watch, Drawing]:
    """Weights after two steps with DSSAG, SAP, TAP and an average of weights, each step validated."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "train", ["+experiment=stage2", "ckpt=null", "metrics=none", "guidance=dssag", *TINY, "seed=3"]
        )
    pl.seed_everything(3, verbose=False)
    module = instantiate(cfg.module, _convert_="all")
    drawing, watch = Drawing(), Watch()
    module._scores = ValidationScores({"drawing": drawing})  # type: ignore[dict-item]
    names = ("isolated_validation", "ema", "freeze", "loss")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=2,
        val_check_interval=1,
        limit_val_batches=1 if validates else 0,
        num_sanity_val_steps=0,
        callbacks=[*(instantiate(cfg.callbacks[name]) for name in names), watch],
        **dict.fromkeys(["enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False),
        logger=False,
        default_root_dir=folder,
    )
    data = instantiate(cfg.datamodule, _convert_="all")(steps=2)
    trainer.fit(module, datamodule=data)
    assert ("val/drawing" in trainer.callback_metrics) == validates
    return {**module.state_dict(), **trainer.callbacks[1].average}, watch, drawing  # type: ignore[attr-defined]


def test_validation_changes_no_weight_and_no_random_state_and_its_clips_exceed_a_tile(tmp_path: Path) -> None:
    weights, watch, drawing = fit(tmp_path, validates=True)
    plain, silent, _ = fit(tmp_path, validates=False)
    assert plain.keys() == weights.keys()
    assert all(torch.equal(plain[name], weights[name]) for name in plain)
    assert len(watch.states) == 3
    assert watch.states == silent.states
    assert watch.states[0] == watch.states[1] == watch.states[2]
    assert drawing.sizes == [(6, 3, 96, 96)] * 2  # tiles are 4 frames of 64x64 pixels


class Refusing(Drawing):
    def update(self, restored: Tensor, reference: Tensor | None) -> None:
        if len(restored) < 3:
            raise UserError("too short")
        self.sizes.append(tuple(restored.shape))


def test_a_metric_that_refuses_a_clip_leaves_it_out_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scores = ValidationScores({"a": Drawing(), "b": Refusing()})  # type: ignore[dict-item]
    for _ in range(2):
        scores.start(torch.device("cpu"))
        scores.update("short", torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8))
        assert scores.finish(lambda scored: scored).keys() == {"a"}
    assert [record.getMessage() for record in caplog.records] == [
        "validation clip short: b has no score: too short"
    ]
    scores.start(torch.device("cpu"))
    scores.update("long", torch.zeros(3, 3, 8, 8), torch.zeros(3, 3, 8, 8))
    assert scores.finish(lambda scored: scored).keys() == {"a", "b"}


def by_two_processes(folder: Path) -> None:
    """Score a clip in each process; that of the second is too small for SSIM."""
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    clip = torch.rand(2, 3, *((16, 16), (8, 8))[rank], generator=torch.Generator().manual_seed(rank))

    def largest(values: Tensor) -> Tensor:
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return values

    scores = ValidationScores({"ssim": SSIM(), "psnr": PSNR()})
    scores.start(torch.device("cpu"))
    scores.update(f"clip{rank}", clip / 2, clip)
    torch.save(scores.finish(largest), folder / f"{rank}.pt")


@pytest.mark.timeout(300)
def test_a_clip_that_a_metric_refuses_in_one_process_leaves_the_others_score(tmp_path: Path) -> None:
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork
    run_ranks(partial(by_two_processes, tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first == second
    clips = [torch.rand(2, 3, n, n, generator=torch.Generator().manual_seed(i)) for i, n in ((0, 16), (1, 8))]
    ssim, psnr = SSIM(), PSNR()
    ssim.update(clips[0] / 2, clips[0])
    for clip in clips:
        psnr.update(clip / 2, clip)
    assert first == {
        "ssim": pytest.approx(float(ssim.compute())),
        "psnr": pytest.approx(float(psnr.compute())),
    }
