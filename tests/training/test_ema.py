"""The average of the weights: what it is, who uses it, and that it outlives a run."""

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from dcvsr.training.ema import EMA

DECAY = 0.5


class Module(pl.LightningModule):
    """A denoiser of two layers beside a VAE, on data that depend on the step alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.denoiser = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        self.vae = nn.Linear(2, 2)
        self.trained: list[dict[str, Tensor]] = [_copied(self.denoiser)]
        self.validated: list[dict[str, Tensor]] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(self.trainer.fit_loop.total_batch_idx))
        return (self.denoiser(x) - x.flip(1)).square().mean()

    def on_train_batch_end(self, *_) -> None:
        self.trained.append(_copied(self.denoiser))

    def validation_step(self, batch: Tensor, _: int) -> None:
        self.validated.append(_copied(self.denoiser))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW((p for p in self.denoiser.parameters() if p.requires_grad), lr=0.1)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _fit(steps: int, folder: Path, resume: str | None = None, **changes) -> tuple[Module, EMA]:
    module, ema = changes.pop("module", None) or Module(), EMA(DECAY)
    trainer = pl.Trainer(
        max_steps=steps,
        callbacks=changes.pop("callbacks", [ema]),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"limit_val_batches": 0, **changes},
    )
    data = torch.utils.data.DataLoader(torch.zeros(40, 1))  # type: ignore[arg-type]
    trainer.fit(module, data, data, ckpt_path=resume)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return module, ema


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_average_is_its_recurrence_in_float64(tmp_path):
    module, ema = _fit(5, tmp_path)
    expected = {name: value.double() for name, value in module.trained[0].items()}
    for t, weights in enumerate(module.trained[1:]):
        keep = min(DECAY, (1 + t) / (10 + t))
        expected = {name: keep * expected[name] + (1 - keep) * weights[name].double() for name in expected}
    for name, value in ema.average.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-6, atol=1e-7)
    assert not _same(ema.average, module.trained[-1])


def test_batches_that_only_add_to_a_gradient_do_not_count(tmp_path):
    _, ema = _fit(3, tmp_path, accumulate_grad_batches=2)
    assert ema.steps == 3


def test_validation_sees_the_average_and_training_goes_on_as_if_it_had_not_been(tmp_path):
    plain, _ = _fit(4, tmp_path)
    module, ema = _fit(4, tmp_path, limit_val_batches=1, val_check_interval=1)
    assert all(_same(a, b) for a, b in zip(module.trained, plain.trained, strict=True))
    assert len(module.validated) == 4
    assert _same(module.validated[-1], ema.average)
    assert _same(_copied(module.denoiser), module.trained[-1])


def test_six_steps_are_three_and_three_more(tmp_path):
    whole, average = _fit(6, tmp_path)
    _fit(3, tmp_path)
    rest, resumed = _fit(6, tmp_path, resume=str(tmp_path / "3.ckpt"))
    assert len(rest.trained) == 4, "three more"
    assert _same(_copied(rest.denoiser), _copied(whole.denoiser))
    assert _same(resumed.average, average.average)
    assert resumed.steps == average.steps == 6


def test_a_checkpoint_holds_both_and_nothing_of_the_vae_twice(tmp_path):
    module, ema = _fit(2, tmp_path)
    content = torch.load(tmp_path / "2.ckpt", weights_only=True)
    assert _same(content["ema"]["weights"], ema.average)
    learning = {name: content["state_dict"][f"denoiser.{name}"] for name in ema.average}
    assert _same(learning, module.trained[-1])
    assert not any("vae" in name for name in content["ema"]["weights"])


def test_a_run_without_average_that_is_resumed_begins_one_there(tmp_path):
    plain, _ = _fit(2, tmp_path, callbacks=[])
    _, ema = _fit(3, tmp_path, resume=str(tmp_path / "2.ckpt"))
    assert ema.steps == 1
    after = _fit(3, tmp_path, resume=str(tmp_path / "2.ckpt"), callbacks=[])[0].trained[-1]
    for name, value in ema.average.items():
        torch.testing.assert_close(value, 0.1 * plain.trained[-1][name] + 0.9 * after[name])


def test_what_is_frozen_stays_bit_for_bit(tmp_path):
    module = Module()
    module.denoiser[0].requires_grad_(False)
    _, ema = _fit(5, tmp_path, module=module)
    for name, value in module.trained[0].items():
        assert torch.equal(ema.average[name], value) == name.startswith("0.")


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5, float("nan")])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1"):
        EMA(decay)


def test_a_place_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="device"):
        EMA(DECAY, "disk")  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the weights must be on a GPU")
def test_an_average_on_the_cpu_is_that_of_weights_on_a_gpu() -> None:
    class Shrinking(Module):
        def training_step(self, batch: Tensor, _: int) -> Tensor:
            return torch.stack([p.square().sum() for p in self.denoiser.parameters()]).sum()

    averages = []
    for ema in (EMA(DECAY), EMA(DECAY, "cpu")):
        trainer = pl.Trainer(max_steps=3, callbacks=[ema], accelerator="gpu", logger=False)
        trainer.fit(Shrinking(), torch.utils.data.DataLoader(torch.zeros(3, 1)))  # type: ignore[arg-type]
        averages.append(ema.average)
    assert {value.device.type for value in averages[1].values()} == {"cpu"}
    torch.testing.assert_close(averages[1], {name: value.cpu() for name, value in averages[0].items()})
