"""Tests of the data module: batches by seed alone, parallel degradation, resuming, processes and errors."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.data import _update_dataloader
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DistributedSampler

from dcvsr.data.clips import FrameFolder
from dcvsr.data.crops import RandomCrops
from dcvsr.data.datamodule import VSRDataModule
from dcvsr.data.packaged import packaged
from dcvsr.data.pairs import Pair
from dcvsr.data.synthetic import Translation, Wallpaper
from dcvsr.degradation.noise import Noise
from dcvsr.degradation.pipeline import Degradation, Given, bicubic
from dcvsr.degradation.resize import Reduce
from dcvsr.degradation.seeds import generator
from dcvsr.degradation.walk import Params, Walk
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import write_frames
from dcvsr.video.io import read_video

TIMEOUT = 200  # seconds to wait for another thread on a busy machine; below the time limit of a test
CLIPS = {
    "slide": Translation(seed=0, frames=6, height=48, width=64, dx=0.5, dy=0.25),
    "wall": Wallpaper(seed=1, frames=5, height=64, width=48, dx=1, dy=0, period=24),
}
NOISY = Degradation(
    factor=4,
    steps={
        "noise": Noise(0.5, 0.5, Walk(1, 30, 0.1), Walk(0.05, 3, 0.005), gray=0.4),
        "reduce": Reduce(4, {"bilinear": 1, "area": 1, "bicubic": 1}, "opencv"),
    },
)


def data(**changes: Any) -> VSRDataModule:
    usual = {"frames": 3, "crop": 32, "batch_size": 2, "steps": 4, "seed": 0, "workers": 0, "training": CLIPS}
    return VSRDataModule(**{"validation": CLIPS, "degradation": NOISY} | usual | changes)


def batches(module: VSRDataModule) -> list[dict[str, Any]]:
    return [module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader()]


def equal(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return all(
        torch.equal(a[part], b[part]) for a, b in zip(one, other, strict=True) for part in ("hr", "lr")
    )


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    alone = batches(data(workers=0))
    assert [tuple(batch["hr"].shape) for batch in alone] == [(2, 3, 3, 32, 32)] * 4
    assert [tuple(batch["lr"].shape) for batch in alone] == [(2, 3, 3, 8, 8)] * 4
    assert equal(batches(data(workers=1)), alone)
    assert equal(batches(data(workers=2)), alone)
    assert not equal(batches(data(seed=1)), alone)


def test_a_sample_depends_on_seed_epoch_and_number_alone() -> None:
    twos, ones = batches(data(batch_size=2, steps=4)), batches(data(batch_size=1, steps=8))
    for number, one in enumerate(ones):
        assert torch.equal(twos[number // 2]["lr"][number % 2], one["lr"][0])
    hr = to_unit(RandomCrops(CLIPS, 3, 32, 8, seed=0, epoch=1)[5]["hr"])
    assert torch.equal(ones[5]["hr"][0], hr)
    assert torch.equal(ones[5]["lr"][0], NOISY.apply(NOISY.draw(generator(0, 1, 5), hr.shape), hr))


def test_lightning_can_reconstruct_the_loader_with_another_sampler() -> None:
    alone = batches(data(batch_size=1))
    for rank in range(2):
        module = data(batch_size=1)
        loader = module.train_dataloader()
        sampler = DistributedSampler(loader.dataset, 2, rank, shuffle=False)  # type: ignore[arg-type]
        share = _update_dataloader(loader, sampler)
        assert equal([module.on_after_batch_transfer(batch, 0) for batch in share], alone[rank::2])


def test_epochs_differ_and_a_run_of_an_older_version_continues_with_the_next_epoch() -> None:
    module, resumed = data(), data()
    first, second = batches(module), batches(module)
    assert not equal(first, second)
    resumed.load_state_dict({"epoch": 1})
    assert equal(batches(resumed), second)


@dataclass(frozen=True)
class Notifying(Degradation):
    """Calls ``notify`` before each clip."""

    notify: Callable[[], object] = int

    def apply(self, params: Params, clip: Tensor) -> Tensor:
        self.notify()
        return super().apply(params, clip)


def test_the_next_batch_is_degraded_while_a_batch_is_in_use() -> None:
    begun, steps = threading.Semaphore(0), 5
    module = data(degradation=Notifying(4, NOISY.steps, notify=begun.release), batch_size=2, steps=steps)
    ahead = 0
    for step, batch in enumerate(module.train_dataloader(), 1):
        module.on_after_batch_transfer(batch, 0)
        while ahead < 2 * min(step + 1, steps):
            assert begun.acquire(timeout=TIMEOUT)
            ahead += 1
    assert ahead == 2 * steps


def test_the_clips_of_a_batch_are_degraded_in_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=TIMEOUT)
    assert len(batches(data(degradation=Notifying(4, NOISY.steps, notify=both.wait), batch_size=2))) == 4


def test_degrading_uses_one_core_per_clip_and_keeps_the_main_threads_setting() -> None:
    seen: list[int] = []
    torch.set_num_threads(2)
    batches(data(degradation=Notifying(4, NOISY.steps, notify=lambda: seen.append(torch.get_num_threads()))))
    assert (set(seen), torch.get_num_threads()) == ({1}, 2)


def test_abandoning_a_loader_neither_blocks_nor_leaves_threads() -> None:
    left = threading.Event()
    module = data(degradation=Notifying(4, NOISY.steps, notify=left.wait), steps=50)
    loader = iter(module.train_dataloader())
    next(loader)
    del loader
    left.set()
    while any(thread.name.startswith("degrade") for thread in threading.enumerate()):
        time.sleep(0.01)


def test_batches_can_be_kept_and_used_later() -> None:
    module = data()
    kept = list(module.train_dataloader())
    assert equal([module.on_after_batch_transfer(batch, 0) for batch in kept], batches(data()))


def test_a_batch_without_lr_is_degraded_on_transfer() -> None:
    module = data()
    begun = next(iter(module.train_dataloader()))
    bare = {key: value for key, value in begun.items() if key != "lr"}
    assert equal([module.on_after_batch_transfer(bare, 0)], [module.on_after_batch_transfer(begun, 0)])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_frame_is_a_one_line_error_that_names_it(workers: int, tmp_path: Path) -> None:
    """The frame is damaged inside, so only decoding detects it."""
    images = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8).numpy()
    write_frames(tmp_path / "walk", images, [])
    broken = tmp_path / "walk" / "00000003.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:200] + bytes(200) + content[400:])
    module = data(training={"walk": FrameFolder(tmp_path / "walk")}, workers=workers, frames=5)
    with pytest.raises(
        UserError, match=r"^\S+00000003.png cannot be read as an image \(.*\); replace it .*$"
    ):
        batches(module)


class Failing(Degradation):
    def apply(self, params: Params, clip: Tensor) -> Tensor:
        raise RuntimeError("as planned")


def test_an_exception_in_a_thread_is_raised_by_the_consumer() -> None:
    with pytest.raises(RuntimeError, match="as planned"):
        batches(data(degradation=Failing(4, NOISY.steps)))


def test_the_lr_of_a_pair_is_used_unchanged() -> None:
    hr, lr = Wallpaper(1, 6, 64, 64, 1, 0, 24), Wallpaper(2, 6, 16, 16, 1, 0, 24)
    clips = {"pair": Pair(hr=hr, lr=lr)}
    module = data(training=clips, validation=clips, degradation=Given(4, {}))
    batch = batches(module)[0]
    assert batch["lr"].shape == (2, 3, 3, 8, 8)
    assert batch["lr"].dtype == torch.float32
    validated = module.on_after_batch_transfer(next(iter(module.val_dataloader())), 0)
    assert torch.equal(validated["lr"][0], to_unit(lr.read(0, 3, slice(4, 12), slice(4, 12))))


def test_lr_of_another_factor_is_an_error() -> None:
    with pytest.raises(UserError, match=r"degradation\.factor=2, but training and scores are of x4"):
        data(degradation=bicubic(2))


def test_lr_from_two_sources_or_none_is_an_error() -> None:
    pair = {"pair": Pair(hr=Wallpaper(1, 6, 64, 64, 1, 0, 24), lr=Wallpaper(2, 6, 16, 16, 1, 0, 24))}
    with pytest.raises(UserError, match=r"clip pair has its own LR .*: choose degradation=none"):
        data(validation=pair)
    with pytest.raises(UserError, match=r"clip slide has no LR, .* or data=pairs"):
        data(degradation=Given(4, {}))


class Collecting(Translation):
    """Collects garbage on every read, as a worker may at any time."""

    def read(self, *arguments: Any) -> Tensor:
        gc.collect()
        return super().read(*arguments)


def test_garbage_collection_in_a_worker_does_not_wait_for_the_parents_decoders() -> None:
    gc.disable()
    try:
        clips = {"slide": Collecting(seed=0, frames=6, height=48, width=64, dx=0.5, dy=0.25)}
        loader = data(training=clips, batch_size=1, steps=1, workers=1).train_dataloader()
        read_video(packaged("carphone_pristine"))
        assert len(list(loader)) == 1
    finally:
        gc.enable()


@dataclass(frozen=True)
class Sharpened(Degradation):
    """A degradation whose target differs from HR."""

    def target(self, clip: Tensor) -> Tensor:
        return clip.sqrt()


def test_training_batches_have_the_target_and_validation_batches_hr() -> None:
    module = data(degradation=Sharpened(4, bicubic(4).steps))
    batch = next(iter(module.train_dataloader()))
    assert batch["hr"].dtype == torch.uint8, "frames are transferred as bytes"
    arrived = module.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(arrived["hr"].square() * 255, batch["hr"].float())
    for hr, lr in zip(to_unit(batch["hr"]), arrived["lr"], strict=True):
        assert torch.equal(lr, bicubic(4).apply(bicubic(4).draw(generator(), hr.shape), hr))
    for batch in module.val_dataloader():
        assert torch.equal(module.on_after_batch_transfer(batch, 0)["hr"], to_unit(batch["hr"]))


class Recorder(LightningModule):
    """A module that learns nothing and records its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.trained: list[dict[str, Any]] = []
        self.validated: list[dict[str, Any]] = []

    def training_step(self, batch: dict[str, Any]) -> Tensor:
        self.trained.append(batch)
        return self.weight * batch["lr"].mean()

    def validation_step(self, batch: dict[str, Any]) -> None:
        self.validated.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0)


class SavingRecorder(Recorder):
    """A recorder that saves the batches of each process in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_fit_end(self) -> None:
        seen = {"trained": self.trained, "validated": self.validated}
        torch.save(seen, self.folder / f"{self.trainer.global_rank}.pt")


def trainer(**options: Any) -> Trainer:
    usual = {"max_steps": 4, "num_sanity_val_steps": 0, "enable_checkpointing": False}
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **usual | options,
    )


def test_an_epoch_is_the_whole_run_and_a_clip_is_a_validation_batch() -> None:
    recorder = Recorder()
    trainer(max_steps=-1, max_epochs=1).fit(recorder, datamodule=data())
    assert equal(recorder.trained, batches(data()))
    assert [batch["name"] for batch in recorder.validated] == ["slide", "wall"]
    first = recorder.validated[0]
    assert first["hr"].shape == (1, 3, 3, 32, 32)
    torch.testing.assert_close(first["hr"][0] * 255, CLIPS["slide"].read(0, 3)[..., 8:40, 16:48].float())


def test_a_validation_clips_degradation_depends_on_seed_and_name() -> None:
    recorder = Recorder()
    trainer(val_check_interval=2).fit(recorder, datamodule=data(seed=3))
    assert [batch["name"] for batch in recorder.validated] == ["slide", "wall"] * 2
    assert equal(recorder.validated[:2], recorder.validated[2:])
    wall = recorder.validated[1]
    params = NOISY.draw(generator(3, "wall"), wall["hr"][0].shape)
    assert torch.equal(wall["lr"][0], NOISY.apply(params, wall["hr"][0]))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_resumed_run_continues_with_the_very_next_sample(
    tmp_path: Path, workers: int, accumulated: int
) -> None:
    whole, first, resumed = Recorder(), Recorder(), Recorder()
    settings = {"steps": 4 * accumulated, "workers": workers}
    trainer(accumulate_grad_batches=accumulated).fit(whole, datamodule=data(**settings))
    stopped = trainer(max_steps=3, accumulate_grad_batches=accumulated)
    stopped.fit(first, datamodule=data(**settings))
    stopped.save_checkpoint(tmp_path / "last.ckpt")
    again = trainer(accumulate_grad_batches=accumulated)
    again.fit(resumed, datamodule=data(**settings), ckpt_path=tmp_path / "last.ckpt")
    assert len(resumed.trained) == accumulated
    assert equal(first.trained + resumed.trained, whole.trained)


def test_a_resumed_run_of_another_batch_size_sees_no_sample_twice(tmp_path: Path) -> None:
    first, resumed, last = Recorder(), Recorder(), Recorder()
    one = trainer(max_steps=2)
    one.fit(first, datamodule=data(batch_size=4))
    one.save_checkpoint(tmp_path / "one.ckpt")
    two = trainer(max_steps=3)
    two.fit(resumed, datamodule=data(batch_size=1), ckpt_path=tmp_path / "one.ckpt")
    two.save_checkpoint(tmp_path / "two.ckpt")
    trainer().fit(last, datamodule=data(batch_size=2), ckpt_path=tmp_path / "two.ckpt")
    seen = [number for run in (first, resumed, last) for batch in run.trained for number in batch["number"]]
    assert [int(number) for number in seen] == list(range(11))


def test_two_processes_share_the_batches_of_one(tmp_path: Path) -> None:
    """One batch of four and two batches of two have the same samples in every step; the run is one epoch."""
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    trainer(devices=2, strategy="ddp_fork").fit(SavingRecorder(tmp_path), datamodule=data(workers=1))
    shares = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for step, whole in enumerate(batches(data(batch_size=4))):
        for rank, share in enumerate(shares):
            batch = share["trained"][step]
            assert batch["number"].tolist() == whole["number"][rank::2].tolist()
            for part in ("hr", "lr"):
                assert torch.equal(batch[part], whole[part][rank::2])
    assert [len(share["trained"]) for share in shares] == [4, 4]
    assert [[batch["name"] for batch in share["validated"]] for share in shares] == [["slide"], ["wall"]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_degrading_on_a_side_stream_equals_degrading_on_transfer() -> None:
    module, recorder = data(degradation=bicubic(4)), Recorder()
    Trainer(accelerator="gpu", devices=1, max_steps=4, logger=False, enable_checkpointing=False).fit(
        recorder, datamodule=module
    )
    assert len(recorder.trained) == 4
    for batch in recorder.trained:
        assert batch["lr"].is_cuda
        bare = {key: batch[key] for key in ("epoch", "number")} | {"hr": (batch["hr"] * 255).byte()}
        assert torch.equal(module.on_after_batch_transfer(bare, 0)["lr"], batch["lr"])


@pytest.mark.parametrize("key", ["frames", "crop", "batch_size", "steps", "workers", "seed"])
def test_a_number_that_is_too_small_is_an_error_that_names_it(key: str) -> None:
    with pytest.raises(UserError, match=f"{key} must be at least ., got -1"):
        data(**{key: -1})


def test_a_crop_that_does_not_fit_is_an_error_at_construction() -> None:
    with pytest.raises(UserError, match="clip slide is 64x48, 6 frames"):
        data(crop=52)
    with pytest.raises(UserError, match="frames of 30x30 cannot be downsampled 4 times"):
        data(crop=30)
