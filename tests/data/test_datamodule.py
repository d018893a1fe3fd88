"""The data module: the same batches whoever reads them, degraded beside the step before."""

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
from dcvsr.degradation.resample import OpenCV
from dcvsr.degradation.resize import Reduce
from dcvsr.degradation.seeds import generator
from dcvsr.degradation.walk import Params, Walk
from dcvsr.imaging import to_unit
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import write_frames
from dcvsr.video.io import read_video

PATIENCE = 200  # seconds for another thread, below the limit on a test: a busy machine may take long
CLIPS = {
    "slide": Translation(seed=0, frames=6, height=48, width=64, dx=0.5, dy=0.25),
    "wall": Wallpaper(seed=1, frames=5, height=64, width=48, dx=1, dy=0, period=24),
}
NOISY = Degradation(
    factor=4,
    steps={
        "noise": Noise(0.5, 0.5, Walk(1, 30, 0.1), Walk(0.05, 3, 0.005), gray=0.4),
        "reduce": Reduce(4, {"bilinear": 1, "area": 1, "bicubic": 1}, OpenCV()),
    },
)


def data(**changes: Any) -> VSRDataModule:
    usual = {"frames": 3, "crop": 32, "batch_size": 2, "steps": 4, "seed": 0, "workers": 0, "training": CLIPS}
    return VSRDataModule(**{"validation": CLIPS, "degradation": NOISY} | usual | changes)


def batches(module: VSRDataModule) -> list[dict[str, Any]]:
    return [module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader()]


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return all(
        torch.equal(a[part], b[part]) for a, b in zip(one, other, strict=True) for part in ("hr", "lr")
    )


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    alone = batches(data(workers=0))
    assert [tuple(batch["hr"].shape) for batch in alone] == [(2, 3, 3, 32, 32)] * 4
    assert [tuple(batch["lr"].shape) for batch in alone] == [(2, 3, 3, 8, 8)] * 4
    assert same(batches(data(workers=1)), alone)
    assert same(batches(data(workers=2)), alone)
    assert not same(batches(data(seed=1)), alone)


def test_a_sample_depends_on_seed_epoch_and_number_alone() -> None:
    twos, ones = batches(data(batch_size=2, steps=4)), batches(data(batch_size=1, steps=8))
    for number, one in enumerate(ones):
        assert torch.equal(twos[number // 2]["lr"][number % 2], one["lr"][0])
    hr = to_unit(RandomCrops(CLIPS, 3, 32, 8, seed=0, epoch=1)[5]["hr"])
    assert torch.equal(ones[5]["hr"][0], hr)
    assert torch.equal(ones[5]["lr"][0], NOISY.apply(NOISY.draw(generator(0, 1, 5), hr.shape), hr))


def test_lightning_can_make_the_loader_anew_with_a_sampler_of_its_own() -> None:
    alone = batches(data(batch_size=1))
    for rank in range(2):
        module = data(batch_size=1)
        loader = module.train_dataloader()
        sampler = DistributedSampler(loader.dataset, 2, rank, shuffle=False)  # type: ignore[arg-type]
        share = _update_dataloader(loader, sampler)
        assert same([module.on_after_batch_transfer(batch, 0) for batch in share], alone[rank::2])


def test_each_epoch_is_drawn_anew_and_a_resumed_run_goes_on_with_the_next() -> None:
    module, resumed = data(), data()
    first, second = batches(module), batches(module)
    assert not same(first, second)
    batches(resumed)
    state = resumed.state_dict()
    resumed = data()
    resumed.load_state_dict(state)
    assert same(batches(resumed), second)


@dataclass(frozen=True)
class Meeting(Degradation):
    """Calls ``meet`` before each clip."""

    meet: Callable[[], object] = int

    def apply(self, params: Params, clip: Tensor) -> Tensor:
        self.meet()
        return super().apply(params, clip)


def test_lr_of_the_next_batch_is_begun_while_a_batch_is_used() -> None:
    begun, steps = threading.Semaphore(0), 5
    module = data(degradation=Meeting(4, NOISY.steps, meet=begun.release), batch_size=2, steps=steps)
    ahead = 0
    for step, batch in enumerate(module.train_dataloader(), 1):
        module.on_after_batch_transfer(batch, 0)
        while ahead < 2 * min(step + 1, steps):
            assert begun.acquire(timeout=PATIENCE)
            ahead += 1
    assert ahead == 2 * steps


def test_the_clips_of_a_batch_are_degraded_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=PATIENCE)
    assert len(batches(data(degradation=Meeting(4, NOISY.steps, meet=both.wait), batch_size=2))) == 4


def test_degrading_takes_a_core_a_clip_and_leaves_the_step_its_threads() -> None:
    seen: list[int] = []
    torch.set_num_threads(2)
    batches(data(degradation=Meeting(4, NOISY.steps, meet=lambda: seen.append(torch.get_num_threads()))))
    assert (set(seen), torch.get_num_threads()) == ({1}, 2)


def test_a_loader_that_is_left_early_does_not_wait_and_leaves_no_thread() -> None:
    left = threading.Event()
    module = data(degradation=Meeting(4, NOISY.steps, meet=left.wait), steps=50)
    loader = iter(module.train_dataloader())
    next(loader)
    del loader
    left.set()
    while any(thread.name.startswith("degrade") for thread in threading.enumerate()):
        time.sleep(0.01)


def test_batches_that_are_kept_for_later_lose_nothing() -> None:
    module = data()
    kept = list(module.train_dataloader())
    assert same([module.on_after_batch_transfer(batch, 0) for batch in kept], batches(data()))


def test_a_batch_of_another_loader_is_degraded_where_it_arrives() -> None:
    module = data()
    begun = next(iter(module.train_dataloader()))
    bare = {key: value for key, value in begun.items() if key != "lr"}
    assert same([module.on_after_batch_transfer(bare, 0)], [module.on_after_batch_transfer(begun, 0)])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_cannot_be_read_is_named_in_one_line(workers: int, tmp_path: Path) -> None:
    """Broken within, where only decoding shows it."""
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


def test_what_fails_in_a_thread_fails_where_it_is_waited_for() -> None:
    with pytest.raises(RuntimeError, match="as planned"):
        batches(data(degradation=Failing(4, NOISY.steps)))


def test_a_pair_s_lr_is_taken_as_it_is() -> None:
    hr, lr = Wallpaper(1, 6, 64, 64, 1, 0, 24), Wallpaper(2, 6, 16, 16, 1, 0, 24)
    clips = {"pair": Pair(hr=hr, lr=lr)}
    module = data(training=clips, validation=clips, degradation=Given(4, {}))
    batch = batches(module)[0]
    assert batch["lr"].shape == (2, 3, 3, 8, 8)
    assert batch["lr"].dtype == torch.float32
    validated = module.on_after_batch_transfer(next(iter(module.val_dataloader())), 0)
    assert torch.equal(validated["lr"][0], to_unit(lr.read(0, 3, slice(4, 12), slice(4, 12))))


def test_lr_comes_from_one_source() -> None:
    pair = {"pair": Pair(hr=Wallpaper(1, 6, 64, 64, 1, 0, 24), lr=Wallpaper(2, 6, 16, 16, 1, 0, 24))}
    with pytest.raises(UserError, match=r"clip pair brings its LR .*: choose degradation=none"):
        data(validation=pair)
    with pytest.raises(UserError, match=r"clip slide brings no LR, .* or data=pairs"):
        data(degradation=Given(4, {}))


class Collecting(Translation):
    """Collects garbage as it is read, as any worker may at any time."""

    def read(self, *arguments: Any) -> Tensor:
        gc.collect()
        return super().read(*arguments)


def test_workers_outlive_the_decoders_of_the_process_that_made_them() -> None:
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
    """Its target is not HR itself."""

    def target(self, clip: Tensor) -> Tensor:
        return clip.sqrt()


def test_training_sees_the_target_and_validation_hr() -> None:
    module = data(degradation=Sharpened(4, bicubic(4).steps))
    batch = next(iter(module.train_dataloader()))
    assert batch["hr"].dtype == torch.uint8, "frames travel as bytes"
    arrived = module.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(arrived["hr"].square() * 255, batch["hr"].float())
    for hr, lr in zip(to_unit(batch["hr"]), arrived["lr"], strict=True):
        assert torch.equal(lr, bicubic(4).apply(bicubic(4).draw(generator(), hr.shape), hr))
    for batch in module.val_dataloader():
        assert torch.equal(module.on_after_batch_transfer(batch, 0)["hr"], to_unit(batch["hr"]))


class Witness(LightningModule):
    """Learns nothing and remembers the batches that it was given."""

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


class Sharing(Witness):
    """Leaves in ``folder`` what each process was given."""

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


def test_one_epoch_is_the_whole_run_and_each_clip_one_validation_batch() -> None:
    witness = Witness()
    trainer(max_steps=-1, max_epochs=1).fit(witness, datamodule=data())
    assert same(witness.trained, batches(data()))
    assert [batch["name"] for batch in witness.validated] == ["slide", "wall"]
    first = witness.validated[0]
    assert first["hr"].shape == (1, 3, 3, 32, 32)
    torch.testing.assert_close(first["hr"][0] * 255, CLIPS["slide"].read(0, 3)[..., 8:40, 16:48].float())


def test_a_validation_clip_is_degraded_by_seed_and_name_each_time() -> None:
    witness = Witness()
    trainer(val_check_interval=2).fit(witness, datamodule=data(seed=3))
    assert [batch["name"] for batch in witness.validated] == ["slide", "wall"] * 2
    assert same(witness.validated[:2], witness.validated[2:])
    wall = witness.validated[1]
    params = NOISY.draw(generator(3, "wall"), wall["hr"][0].shape)
    assert torch.equal(wall["lr"][0], NOISY.apply(params, wall["hr"][0]))


def test_a_run_that_is_resumed_draws_other_crops(tmp_path: Path) -> None:
    first, resumed = Witness(), Witness()
    stopped = trainer(max_steps=2)
    stopped.fit(first, datamodule=data())
    stopped.save_checkpoint(tmp_path / "last.ckpt")
    trainer().fit(resumed, datamodule=data(), ckpt_path=tmp_path / "last.ckpt")
    assert same(first.trained, batches(data())[:2])
    assert [set(batch["epoch"].tolist()) for batch in resumed.trained] == [{2}] * 2


def test_two_processes_are_given_the_batches_of_one(tmp_path: Path) -> None:
    """A batch of four, or two of two: the same samples in every step, and a run is one epoch."""
    torch.set_num_threads(1)  # OpenMP's threads do not outlive a fork.
    trainer(devices=2, strategy="ddp_fork").fit(Sharing(tmp_path), datamodule=data(workers=1))
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
def test_a_gpu_degrades_beside_the_step_what_it_degrades_alone() -> None:
    module, witness = data(degradation=bicubic(4)), Witness()
    Trainer(accelerator="gpu", devices=1, max_steps=4, logger=False, enable_checkpointing=False).fit(
        witness, datamodule=module
    )
    assert len(witness.trained) == 4
    for batch in witness.trained:
        assert batch["lr"].is_cuda
        bare = {key: batch[key] for key in ("epoch", "number")} | {"hr": (batch["hr"] * 255).byte()}
        assert torch.equal(module.on_after_batch_transfer(bare, 0)["lr"], batch["lr"])


@pytest.mark.parametrize("key", ["frames", "crop", "batch_size", "steps", "workers", "seed"])
def test_a_number_that_is_too_small_is_named(key: str) -> None:
    with pytest.raises(UserError, match=f"{key} must be at least ., got -1"):
        data(**{key: -1})


def test_a_crop_that_does_not_fit_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="clip slide is 64x48, 6 frames"):
        data(crop=52)
    with pytest.raises(UserError, match="frames of 30x30 cannot be downsampled 4 times"):
        data(crop=30)
