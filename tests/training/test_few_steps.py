"""Stage 3: its estimates are the sampler's, its gradients those of finite differences."""

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import Tensor

from dcvsr.models.denoiser import Condition
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.training.few_steps import FewStepModule
from dcvsr.training.training_loss import TrainingLoss
from tests.comparing import apart
from tests.conftest import TINY

PLAIN = ("module.losses.lpips=0", "module.losses.dists=0", "sampler.steps=3")


def module(*changes: str) -> FewStepModule:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = ["+experiment=stage3", "ckpt=null", "metrics=fidelity", *TINY, *PLAIN, *changes]
        cfg = compose("train", given)
    torch.manual_seed(0)
    return instantiate(cfg.module, _convert_="all")


def clip(size: int = 64, clips: int = 1) -> dict[str, Tensor]:
    hr = torch.rand(clips, 4, 3, size, size, generator=torch.Generator().manual_seed(2))
    numbers = torch.arange(clips)
    return {"hr": hr, "lr": hr[..., ::4, ::4], "epoch": torch.ones_like(numbers), "number": numbers}


def small(generator: int) -> Tensor:
    return torch.randn(1, 2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(generator))


def linear(a: Tensor):
    """A denoiser of one weight: D_x = (a x + l) / (1 + sigma), computed in the precision of x."""
    return lambda x, sigma, c: (a * x + c.latent) / (1 + sigma.reshape(-1, 1, 1, 1, 1))


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_last_estimate_is_the_sample(solver: str) -> None:
    stage3 = module(f"sampler.solver={solver}")
    sampler, (y, noise) = stage3.upscaler.sampler, (small(1).float(), small(2).float())
    c = Condition(y, torch.zeros(1, 1, 8))
    denoise = linear(torch.tensor(0.7))
    stage3._estimate = denoise
    expected = sampler(lambda x, sigma, _: denoise(x, torch.tensor([sigma]), c), noise)
    found, _ = stage3.estimates(y, noise, c, len(sampler.evaluations) - 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_gradients_through_the_whole_rollout_equal_finite_differences(number: int, monkeypatch) -> None:
    stage3 = module("module.differentiated=3")
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # the sampler's state
    y, noise = small(1), small(2)
    c = Condition(small(3), torch.zeros(1, 1, 8))

    def loss(a: Tensor) -> Tensor:
        stage3._estimate = linear(a)
        return (stage3.estimates(y, noise, c, number)[0] ** 2).mean()

    a = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (a,))


def test_one_differentiated_evaluation_takes_the_state_as_given() -> None:
    stage3 = module("module.differentiated=1")
    y, noise, c = small(1).float(), small(2).float(), Condition(small(3).float(), torch.zeros(1, 1, 8))
    states: list[Tensor] = []
    a = torch.tensor(0.6, requires_grad=True)
    denoise = linear(a)
    stage3._estimate = lambda x, sigma, c: states.append(x) or denoise(x, sigma, c)
    stage3.estimates(y, noise, c, 2)[0].sum().backward()
    sigma = stage3.upscaler.sampler.sigmas[2]
    assert a.grad is not None
    torch.testing.assert_close(a.grad, states[-1].detach().sum() / (1 + sigma))


def test_without_pixel_losses_and_rollout_it_is_the_edm_loss_at_the_samplers_level() -> None:
    """With one noise level; the same noise and condition."""
    zero = [f"module.losses.{term}=0" for term in ("l1", "charbonnier", "differences")]
    stage3 = module(*zero, "module.latent=1", "module.rollout=false", "sampler.steps=1")
    batch = clip(clips=2)
    logged: dict[str, Tensor] = {}
    stage3.log = lambda name, value, **_: logged.update({name: value})
    stage3.log_dict = lambda values, **_: logged.update(values)
    stage3.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=1)
    stage3.trainer.strategy._optimizers = [torch.optim.SGD(stage3.denoiser.parameters())]
    loss = stage3.training_step(batch, 0)["loss"]
    y, c = stage3.encode(batch)
    noise = stage3.drawn("noise", batch, lambda g: torch.randn(y.shape[1:], generator=g))
    sigma = torch.full((2,), stage3.upscaler.sampler.sigma_max)
    expected = stage3.loss(lambda x, sigma: stage3.denoiser(x, sigma, c), y, noise, sigma).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    assert logged["train/latent"] == loss


@pytest.mark.parametrize(("decoded", "side"), [("null", 60), ("32", 28)])
def test_what_is_decoded_is_compared_with_hr_of_the_same_place(decoded: str, side: int) -> None:
    """Away from a crop's border, where the local contrast of nano's latents sees less."""
    batch = clip(clips=3)
    stage3 = module(f"module.decoded={decoded}")
    y, c = stage3.encode(batch)
    restored, true = stage3.decode(y, y, c.latent, batch)
    assert restored.shape == true.shape == (3, 4, 3, side, side)
    torch.testing.assert_close(restored[..., 4:-4, 4:-4], true[..., 4:-4, 4:-4], rtol=0, atol=1e-4)


def test_shifts_of_what_is_compared_are_drawn_below_the_latent_pixel() -> None:
    batch = clip(clips=32)
    y, c = (stage3 := module()).encode(batch)
    _, true = stage3.decode(y, y, c.latent, batch)
    inner = batch["hr"].unfold(3, 60, 1).unfold(4, 60, 1)[:, :, :, :4, :4]
    same = (inner == true[:, :, :, None, None]).all(dim=(1, 2, 5, 6))
    assert (same.sum(dim=(1, 2)) == 1).all()
    assert same.any(dim=0).sum() > 8  # of 16 places


def test_networks_compare_the_drawn_frames_of_each_clip() -> None:
    drawn = module("module.perceived=2")._perceived(clip(clips=16))
    assert drawn is not None
    assert drawn.shape == (16, 2)
    assert all(a != b for a, b in drawn.tolist())
    assert {*drawn.flatten().tolist()} == {0, 1, 2, 3}
    assert module()._perceived(clip()) is None


def test_a_step_moves_weights_and_the_rate_decays_to_zero() -> None:
    stage3 = module("module.losses.lpips=1")
    before = {name: p.detach().clone() for name, p in stage3.named_parameters()}
    samples: list = [{"hr": clip()["hr"][0], "lr": clip()["lr"][0], "epoch": 1, "number": n} for n in (0, 1)]
    trainer = pl.Trainer(
        **{"max_steps": 2, "accelerator": "cpu", "logger": False, "enable_checkpointing": False},
        **{"enable_progress_bar": False, "enable_model_summary": False},
        **{"callbacks": [TrainingLoss([])], "log_every_n_steps": 1},
    )
    trainer.fit(stage3, torch.utils.data.DataLoader(samples, batch_size=1))
    assert any(apart(p, before[name]) for name, p in stage3.named_parameters())
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0
    assert not any("pixel_losses" in name for name in stage3.state_dict())
    terms = [trainer.callback_metrics[f"train/{term}"] for term in ("l1", "lpips", "differences")]
    torch.testing.assert_close(trainer.callback_metrics["train/loss"], torch.stack(terms).sum())


@pytest.mark.parametrize("older", [False, True])
def test_the_rate_of_a_resumed_run_decays_to_the_last_step_of_that_run(older: bool) -> None:
    """Also of a checkpoint whose schedule is torch's, of versions before, and whose run was shorter."""
    stage3 = module()
    stage3.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=6)
    found = stage3.configure_optimizers()
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    before = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)], lr=2e-4), T_max=3)
    for _ in range(3):
        (before if older else schedule).step()
    state = (before if older else schedule).state_dict()
    loops = {"fit_loop": stage3.trainer.fit_loop.state_dict()}
    checkpoint = {"state_dict": {}, "optimizer_states": [], "lr_schedulers": [state], "global_step": 3}
    checkpoint["loops"] = loops
    stage3.on_load_checkpoint(checkpoint)
    schedule.load_state_dict(checkpoint["lr_schedulers"][0])
    rates = []
    for _ in range(3):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"] / 2e-4)
    torch.testing.assert_close(rates, [0.25, 0.5 - 0.75**0.5 / 2, 0.0])


def test_an_adversary_learns_beside_the_denoiser_and_is_saved(tmp_path: Path) -> None:
    weights = ("module.losses.adversarial=0.1", "module.losses.features=1", "module.adversary.channels=4")
    stage3 = module(*weights)
    assert stage3.adversary is not None
    before = {name: p.detach().clone() for name, p in stage3.named_parameters()}
    samples: list = [{"hr": clip()["hr"][0], "lr": clip()["lr"][0], "epoch": 1, "number": n} for n in (0, 1)]
    trainer = pl.Trainer(
        **{"max_steps": 2, "accelerator": "cpu", "logger": False, "default_root_dir": tmp_path},
        **{"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False},
        **{"callbacks": [TrainingLoss([])], "log_every_n_steps": 1},
    )
    trainer.fit(stage3, torch.utils.data.DataLoader(samples, batch_size=1))
    moved = [name for name, p in stage3.named_parameters() if apart(p, before[name])]
    assert {name.split(".")[0] for name in moved} == {"denoiser", "adversary"}
    names = ("l1", "differences", "adversarial", "features", "discriminator")
    terms = [trainer.callback_metrics[f"train/{term}"] for term in names]
    torch.testing.assert_close(trainer.callback_metrics["train/loss"], torch.stack(terms).sum())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert any(name.startswith("adversary.") for name in state)
    assert module().adversary is None


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1)])
def test_a_run_resumes_only_with_the_discriminator_that_it_had(before: int, after: int) -> None:
    was, now = (
        module(f"module.losses.adversarial={weight}", "module.adversary.channels=4")
        for weight in (before, after)
    )
    said = f"was trained {'with' if before else 'without'} a discriminator: resume with its"
    with pytest.raises(UserError, match=said):
        now.on_load_checkpoint({"state_dict": was.state_dict()})


def test_a_run_with_another_kind_of_discriminator_is_not_resumed() -> None:
    """Checkpoints of earlier versions hold ``adversary.layers``."""
    now = module("module.losses.adversarial=1", "module.adversary.channels=4")
    state = {name.replace("adversary.heads", "adversary.layers"): p for name, p in now.state_dict().items()}
    with pytest.raises(UserError, match="with another discriminator"):
        now.on_load_checkpoint({"state_dict": state})


def test_frames_are_float32_whatever_the_precision_of_training(monkeypatch) -> None:
    stage3, seen = module(), []
    monkeypatch.setattr(stage3, "log", lambda *_, **__: None)
    monkeypatch.setattr(stage3, "log_dict", lambda *_, **__: None)
    monkeypatch.setattr(stage3, "_estimate", lambda x, *_: x.bfloat16())
    compared = stage3.pixel_losses.compared
    monkeypatch.setattr(
        stage3.pixel_losses, "compared", lambda *frames: seen.extend(frames) or compared(*frames)
    )
    stage3.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=1)
    stage3.trainer.strategy._optimizers = [torch.optim.SGD(stage3.denoiser.parameters())]
    batch = clip()
    with torch.autocast("cpu", torch.bfloat16):
        stage3.training_step(batch, 0)
    restored, true, _ = seen
    assert restored.dtype == torch.float32
    y, c = stage3.encode(batch)
    assert torch.equal(true, stage3.decode(y, y, c.latent, batch)[1])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["module.decoded=30"], "decoded=30 is not a multiple of 4 pixels from 8 on"),
        (["module.decoded=4"], "decoded=4 is not a multiple of 4 pixels from 8 on"),
        (["module.perceived=0"], "perceived must be at least 1, or null for all frames, got 0"),
        (["module.objective=l2"], "objective: 'l2' is not a choice"),
        (["module.objective=consistency", "module.levels=0"], "steps must be at least 1, got 0"),
        (["teacher.guidance=cfg"], "latent is 0, so no loss would use the teacher"),
        (["module.differentiated=0"], "differentiated must be at least 1, got 0"),
        (["+module.losses.l2=1"], "a loss: 'l2' is not a choice"),
        (["module.losses.l1=-1"], "the weight of l1 is -1"),
        (["module.losses.l1=0", "module.losses.differences=0"], "all weights of losses are 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: list[str], says: str) -> None:
    with pytest.raises(InstantiationException, match=says):
        module(*changes)


@pytest.mark.parametrize(
    "changes", [("sampler.steps=2",), ("module.objective=consistency", "sampler.steps=1")]
)
def test_fsdp_refuses_as_many_evaluations_as_each_process_draws(changes: tuple[str, ...]) -> None:
    """Processes that gather a block of the network together must evaluate it equally often."""
    stage3 = module(*changes)
    stage3._device_mesh = {"data_parallel": None}  # type: ignore[assignment]
    with pytest.raises(UserError, match="needs as many evaluations of each clip: choose trainer=ddp"):
        stage3.configure_model()
