"""A training step moves what it should, and nothing else."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import lightning.pytorch as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.plugins import MixedPrecision, Precision

from dcvsr.attention.propagation import NoPropagation
from dcvsr.diffusion.guidance import NoGuidance
from dcvsr.diffusion.loss import EDMLoss
from dcvsr.imaging import upsample
from dcvsr.models.denoiser import Condition
from dcvsr.models.svd import recompute_activations
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.errors import UserError
from dcvsr.tiling.grid import TileGrid
from dcvsr.training.freeze import FreezeTemporalLayers
from dcvsr.training.module import VSRModule
from dcvsr.training.non_finite import NonFinite
from tests.comparing import apart
from tests.conftest import TINY

WITHOUT_GRADIENT = (
    # Cross-attention to one token: its softmax is constant, so queries and keys do not matter.
    "transformer_blocks.0.norm2",
    "attn2.to_q",
    "attn2.to_k",
    # The token of nano is zero, and so is what it is projected to; only the bias behind it learns.
    "attn2.to_v",
    "attn2.to_out.0.weight",
)


SMALLEST = ("model.denoiser.unet.channels=[32]", "model.denoiser.unet.heads=[1]")
"""A U-Net of one level, which torch.compile traces in half the time."""


def _module(experiment: str, *overrides: str, **changes) -> tuple[VSRModule, list[pl.Callback]]:
    given = [f"+experiment={experiment}", "ckpt=null", "metrics=fidelity", *TINY, *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", given)
    cfg.module.update(changes)
    torch.manual_seed(0)
    freeze = [instantiate(cfg.callbacks.freeze)] if "freeze" in cfg.callbacks else []
    return instantiate(cfg.module, _convert_="all"), freeze


def _clips() -> torch.utils.data.DataLoader:
    hr = torch.rand(4, 3, 64, 64)
    sample = {"hr": hr, "lr": hr[..., ::4, ::4], "epoch": 1, "number": 0}
    return torch.utils.data.DataLoader([sample], batch_size=1)  # type: ignore[arg-type]


def _fit(module, callbacks, steps: int = 1, clips=None, **options) -> None:
    trainer = pl.Trainer(
        **options,
        max_steps=steps,
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, clips or _clips())


class Gradients(pl.Callback):
    """Which parameters had a nonzero gradient."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.nonzero = {
            name for name, p in pl_module.named_parameters() if p.grad is not None and p.grad.abs().max() > 0
        }


def test_gradients_of_a_finished_step_are_freed_before_the_next():
    """Those of a part of a step are kept."""
    module, _ = _module("stage1")
    step, seen = module.training_step, []

    def training_step(*args):
        seen.append(any(p.grad is not None for p in module.parameters()))
        return step(*args)

    module.training_step = training_step  # type: ignore[method-assign]
    clips = _clips().dataset[0]  # type: ignore[index]
    many = torch.utils.data.DataLoader([clips] * 4, batch_size=1)  # type: ignore[arg-type]
    _fit(module, [], 2, many, accumulate_grad_batches=2)
    assert seen == [False, True, False, True]


def test_a_stage_2_step_moves_all_but_the_temporal_layers():
    module, [freeze] = _module("stage2")
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    gradients = Gradients()
    _fit(module, [freeze, gradients])
    frozen = {name for name in before if any(group in name.split(".") for group in freeze.groups)}
    assert frozen == {name for name, p in module.named_parameters() if not p.requires_grad}
    assert 0 < len(frozen) < len(before)
    moved = {name for name, p in module.named_parameters() if apart(p, before[name])}
    assert not frozen & moved
    assert gradients.nonzero <= moved
    still = before.keys() - frozen - gradients.nonzero
    unexpected = {name for name in still if not any(part in name for part in WITHOUT_GRADIENT)}
    assert not unexpected


def test_a_stage_1_step_moves_the_temporal_layers_too():
    module, callbacks = _module("stage1")
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    _fit(module, callbacks)
    moved = {name for name, p in module.named_parameters() if apart(p, before[name])}
    for group in ("temporal_transformer_blocks", "temporal_res_block", "time_mixer"):
        assert any(group in name for name in moved)


def test_freezing_what_does_not_exist_is_refused():
    module, _ = _module("stage1")
    with pytest.raises(ValueError, match="temporal_resblock"):
        _fit(module, [FreezeTemporalLayers(["temporal_resblock"])])


def test_the_loss_goes_down_on_one_clip():
    module, _ = _module("stage1")
    y, c = module.encode(next(iter(_clips())))
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def loss() -> float:
        return module.loss(lambda x, s: module.denoiser(x, s, c), y, noise, torch.tensor([0.5])).item()

    before = loss()
    _fit(module, [], steps=1)
    for _ in range(5):
        _fit(module, [], steps=1)
    assert loss() < before


def test_latents_are_float32_whatever_the_precision_of_training():
    module, _ = _module("stage1")
    batch = next(iter(_clips()))
    y, c = module.encode(batch)
    with torch.autocast("cpu", torch.bfloat16):
        mixed_y, mixed_c = module.encode(batch)
    assert torch.equal(y, mixed_y)
    assert torch.equal(c.latent, mixed_c.latent)


def test_dropping_parts_of_a_condition_zeroes_those_of_that_clip_alone():
    latent, image = torch.tensor([True, False, False]), torch.tensor([False, True, False])
    c = Condition(torch.ones(3, 3, 4, 5, 5), torch.ones(3, 1, 8)).dropped(latent, image)
    assert c.latent[0].abs().max() == c.image[1].abs().max() == 0
    assert c.latent[1:].min() == c.image[[0, 2]].min() == 1


def _seen(module, clips: int) -> tuple[torch.Tensor, torch.Tensor, Condition]:
    """Noisy latent, noise level and condition that the network gets in a training step on clean zeros."""
    y, seen = torch.zeros(clips, 1, 2, 2, 2), []
    module.encode = lambda batch: (y, Condition(torch.ones_like(y), torch.ones(clips, 1, 3)))
    module._estimate = lambda x, sigma, c: seen.append((x, sigma, c)) or torch.zeros_like(x)
    module.log = lambda *_, **__: None
    module.trainer = SimpleNamespace(optimizers=[module.configure_optimizers()])
    numbers = torch.arange(clips)
    module.training_step({"hr": y, "lr": y, "epoch": torch.ones_like(numbers), "number": numbers}, 0)
    return seen[0]


@pytest.mark.parametrize("dropout", [None, 0.0, 0.5, 1.0])
def test_a_training_step_drops_the_condition_of_as_many_clips_as_configured(dropout):
    """Both parts of a tenth of the clips as conf/module has it (spec A22), to four standard deviations."""
    module, _ = _module("stage1", **({} if dropout is None else {"dropout": dropout}))
    _, _, c = _seen(module, 2000)
    dropped = c.latent.flatten(1).abs().amax(1) == 0
    assert torch.equal(dropped, c.image.flatten(1).abs().amax(1) == 0)
    assert torch.equal(c.latent[~dropped], torch.ones_like(c.latent[~dropped]))
    expected = 0.1 if dropout is None else dropout
    assert abs(dropped.double().mean() - expected) <= 4 * (expected * (1 - expected) / 2000) ** 0.5


@pytest.mark.parametrize("dropout", [0.1, 0.2, 1 / 3])
def test_triple_dropout_hides_the_image_both_or_the_latents_of_as_many_clips_each(dropout):
    """Spec A22 (b), to four standard deviations; all others keep both."""
    module, _ = _module("stage1", dropout_mode="triple", dropout=dropout)
    _, _, c = _seen(module, 2000)
    latent, image = (part.flatten(1).abs().amax(1) == 0 for part in (c.latent, c.image))
    for case in (image & ~latent, image & latent, latent & ~image):
        assert abs(case.double().mean() - dropout) <= 4 * (dropout * (1 - dropout) / 2000) ** 0.5
    assert c.latent[~latent].min() == c.image[~image].min() == 1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"dropout": 1.01}, "got 1.01"),
        ({"dropout": -0.01}, "got -0.01"),
        ({"dropout": float("nan")}, "got nan"),
        ({"dropout": 0.4, "dropout_mode": "triple"}, "3 of which sum to at most 1, got 0.4"),
        ({"dropout_mode": "double"}, "dropout_mode: 'double' is not a choice; choose joint or triple"),
    ],
)
def test_a_dropout_that_cannot_be_is_refused(changed, says):
    with pytest.raises(InstantiationException, match=says):
        _module("stage1", **changed)


def test_a_training_step_adds_unit_noise_at_the_levels_of_the_loss():
    module, _ = _module("stage1")
    x, sigma, _ = _seen(module, 2000)
    ln_sigma, noise = sigma.log(), x / sigma[:, None, None, None, None]
    assert abs(ln_sigma.mean() - module.loss.P_mean) < 4 * module.loss.P_std / 2000**0.5
    assert abs(ln_sigma.std() / module.loss.P_std - 1) < 4 / 4000**0.5
    assert abs(noise.mean()) < 4 / noise.numel() ** 0.5
    assert abs(noise.var() - 1) < 4 * (2 / noise.numel()) ** 0.5
    assert abs((noise[1:] * noise[:-1]).mean()) < 4 / noise.numel() ** 0.5  # every clip has its own


def test_training_shows_the_image_encoder_the_first_frame_of_each_clip():
    module, _ = _module("stage1")
    seen, upscaler = [], module.upscaler
    embedding = torch.arange(64.0).reshape(2, 1, 32)
    module.upscaler = replace(upscaler, image_encoder=lambda frames: seen.append(frames) or embedding)
    lr = torch.rand(2, 4, 3, 16, 16)
    _, c = module.encode({"hr": torch.rand(2, 4, 3, 64, 64), "lr": lr})
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], upscaler.upsample(lr[:, 0]))
    assert torch.equal(c.image, embedding)


def test_training_shows_the_image_encoder_each_frame_where_asked():
    module, _ = _module("stage1")
    picture = lambda frames: frames.flatten(1)[:, None]  # noqa: E731
    module.upscaler = replace(module.upscaler, image_encoder=picture, image_frames="each")
    lr = torch.rand(2, 4, 3, 16, 16)
    _, c = module.encode({"hr": torch.rand(2, 4, 3, 64, 64), "lr": lr})
    expected = [[module.upscaler.upsample(frame[None]).flatten() for frame in clip] for clip in lr]
    torch.testing.assert_close(c.image, torch.stack([torch.stack(clip) for clip in expected]))


class Shown(torch.nn.Module):
    """A denoiser that keeps the conditions it is called with."""

    origin, propagated = None, nullcontext

    def __init__(self) -> None:
        super().__init__()
        self.conditions = []

    def forward(self, x, sigma, condition):
        self.conditions.append(condition)
        return torch.zeros_like(x)


@pytest.mark.parametrize("frames", ["first", "each", "first_of_video"])
def test_training_and_inference_condition_the_denoiser_alike(frames):
    """On a clip of one tile, dropout apart."""
    module, _ = _module("stage1")
    picture = lambda frames: frames.flatten(1)[:, None]  # noqa: E731
    module.upscaler = replace(
        module.upscaler,
        upsample=upsample,  # the network of nano rounds by the number of frames of a call
        image_encoder=picture,
        image_frames=frames,
        denoiser=Shown(),
        guidance=NoGuidance(),
        propagation=NoPropagation(),
        grid=TileGrid(16, 4, 0.25),
    )
    lr = torch.rand(1, 4, 3, 16, 16)
    _, training = module.encode({"hr": torch.rand(1, 4, 3, 64, 64), "lr": lr})
    module.upscaler(lr[0])
    for inference in module.upscaler.denoiser.conditions:
        assert torch.equal(inference.latent, training.latent)
        assert torch.equal(inference.image, training.image)
        assert inference.noise_augmentation is training.noise_augmentation is None
    assert len(module.upscaler.denoiser.conditions) == module.upscaler.sampler.steps


NUMBERS = {"epoch": torch.ones(3, dtype=torch.long), "number": torch.arange(3)}


@pytest.mark.parametrize("drawn", [None, [-3.0, 0.5]])
def test_training_encodes_noisy_pixels_and_targets_what_they_lack(drawn):
    """Spec A14: y and l still give back HR, the noise has the strength that the network is told."""
    module, _ = _module("stage1", noise_augmentation=drawn)
    if drawn is None:
        module.upscaler = replace(module.upscaler, noise_augmentation=0.02)
    hr, lr = torch.rand(3, 4, 3, 64, 64), torch.rand(3, 4, 3, 16, 16)
    y, c = module.encode({"hr": hr, "lr": lr, **NUMBERS})
    latents = module.upscaler.latents
    torch.testing.assert_close(latents.decode(y, c.latent), hr, atol=1e-4, rtol=0)
    noise = latents.decode(torch.zeros_like(y), c.latent) - module.upscaler.condition(lr).up
    told = torch.full((3,), 0.02) if drawn is None else c.noise_augmentation
    torch.testing.assert_close(2 * noise.flatten(1).std(1), told, rtol=0.03, atol=0)
    assert len(set(told.tolist())) == (1 if drawn is None else 3)


def test_the_strength_of_pixel_noise_is_log_normal():
    module, _ = _module("stage1", noise_augmentation=[-3.0, 0.5])
    clips = 2000
    batch = {"epoch": torch.ones(clips, dtype=torch.long), "number": torch.arange(clips)}
    strengths = module._pixel_noise({**batch, "hr": torch.zeros(clips, 1, 1, 1, 1)}).strength
    assert abs(strengths.log().mean() + 3) < 4 * 0.5 / clips**0.5
    assert abs(strengths.log().std() / 0.5 - 1) < 4 / (2 * clips) ** 0.5


def test_the_network_is_told_the_strength_of_pixel_noise_as_its_third_id():
    """Of each clip alike whether configured or drawn, also where its condition is dropped or empty."""
    module, _ = _module("stage1")
    unet, x, image = module.denoiser.unet, torch.randn(2, 4, 48, 8, 8), torch.zeros(2, 1, 32)
    told, sigma, drop = [], torch.ones(2), torch.tensor([True, False])
    unet.register_forward_pre_hook(
        lambda _, __, given: told.append(given["added_time_ids"]), with_kwargs=True
    )
    drawn = Condition(x, image, torch.tensor([0.02, 0.05]))
    for c in (drawn, drawn.null, drawn.without_image, drawn.dropped(drop, drop)):
        module.denoiser(x, sigma, c)
        torch.testing.assert_close(told.pop(), torch.tensor([[8, 127, 0.02], [8, 127, 0.05]]))
    module.denoiser(x, sigma, Condition(x, image))
    torch.testing.assert_close(told.pop(), torch.tensor([[8.0, 127.0, 0.0]] * 2))


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nan_stops_before_a_weight_is_touched(where):
    module, _ = _module("stage1")
    if where == "loss":
        module.loss = EDMLoss(P_mean=float("nan"), P_std=1.0)
    else:
        next(iter(module.denoiser.parameters())).register_hook(lambda gradient: gradient * float("nan"))
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    with pytest.raises(UserError, match=f"the {where} is nan at step 0.*last good checkpoint"):
        _fit(module, [])
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


def _planted(module: VSRModule, steps: Iterable[int]) -> None:
    """Make the loss NaN in these steps, which start at 0."""
    seen, loss = count(), module.loss
    module.loss = Mock(wraps=loss)
    module.loss.side_effect = lambda *given: loss(*given) * (float("nan") if next(seen) in steps else 1)


@pytest.mark.parametrize("fused", [True, False])
def test_a_skipped_step_leaves_weights_and_optimizer_as_they_are(fused):
    """Four steps, two of them skipped, are two steps, bit for bit."""
    states = []
    for steps, nan in ((4, (1, 2)), (2, ())):
        module, _ = _module("stage1", on_nan="skip")
        module.optimizer = partial(torch.optim.AdamW, lr=1e-3, fused=fused)
        _planted(module, nan)
        _fit(module, [], steps, gradient_clip_val=1.0)
        assert module.trainer.callback_metrics["train/skipped_steps"] == len(nan)
        states.append((module.state_dict(), module.trainer.optimizers[0].state_dict()["state"]))
    (weights, state), (others, other_state) = states
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    for number, values in state.items():
        assert all(torch.equal(value, other_state[number][name]) for name, value in values.items())


def test_ten_skipped_steps_in_a_row_stop_the_run_and_nine_do_not():
    module, _ = _module("stage1", on_nan="skip")
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    decide, weight = NonFinite("skip"), next(module.denoiser.parameters())
    optimizer = module.optimizer([weight])
    nan, one = torch.tensor(float("nan")), torch.tensor(1.0)
    for norms in ([nan] * 9, [one], [nan] * 9):
        for norm in norms:
            weight.grad = torch.ones_like(weight)
            assert (
                decide.skip(optimizer, norm, SimpleNamespace(global_step=5))
                == (weight.grad is None)
                == bool(norm.isnan())
            )
    assert decide.skipped == 18
    _planted(module, range(100))
    with pytest.raises(UserError, match=r"the gradient of 10 steps in a row is nan at step 9; the last good"):
        _fit(module, [], 100)
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


class Scaled(MixedPrecision):
    """The gradient scaler of 16-mixed alone: what overflows here is planted."""

    def __init__(self) -> None:
        super().__init__("16-mixed", "cpu", torch.amp.GradScaler("cpu"))

    def autocast_context_manager(self):
        return torch.autocast("cpu", enabled=False)


def _overflow(module: VSRModule, steps: Iterable[int]) -> list[int]:
    """Make the gradient of one weight infinite in these steps; returns the steps of which it was asked."""
    seen: list[int] = []

    def planted(gradient):
        seen.append(len(seen))
        return gradient * float("inf") if seen[-1] in steps else gradient

    next(iter(module.denoiser.parameters())).register_hook(planted)
    return seen


@pytest.mark.parametrize("fused", [True, False])
def test_the_scaler_skips_the_steps_that_overflow_and_no_others(fused):
    weights = {}
    for overflows in ([], [0, 1]):
        module, _ = _module("stage1")
        module.optimizer = partial(torch.optim.SGD, lr=1, fused=fused)
        seen = _overflow(module, overflows)
        scaled = Scaled()
        _fit(module, [], 1 + len(overflows), plugins=[scaled], gradient_clip_val=1.0)
        assert len(seen) == 1 + len(overflows)
        assert scaled.scaler.get_scale() == 65536 / 2 ** len(overflows)
        weights[len(overflows)] = module.state_dict()
    plain, _ = _module("stage1")
    before = {name: p.detach().clone() for name, p in plain.state_dict().items()}
    plain.optimizer = partial(torch.optim.SGD, lr=1, fused=fused)
    _fit(plain, [], gradient_clip_val=1.0)
    for name, weight in plain.state_dict().items():
        for trained in weights.values():
            torch.testing.assert_close(
                trained[name] - before[name], weight - before[name], rtol=1e-3, atol=1e-6
            )
    assert any(not torch.equal(plain.state_dict()[name], before[name]) for name in before)


def test_a_gradient_that_always_overflows_stops_the_run_at_scale_1():
    module, _ = _module("stage1")
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    seen = _overflow(module, range(100))
    with pytest.raises(UserError, match=r"the gradient, its scale 1, is (inf|nan) at step 16; the last good"):
        _fit(module, [], steps=100, plugins=[Scaled()])
    assert len(seen) == 17
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


def test_a_loss_that_is_not_finite_stops_the_run_despite_a_scaler():
    module, _ = _module("stage1")
    module.loss = EDMLoss(P_mean=float("nan"), P_std=1.0)
    with pytest.raises(UserError, match="the loss is nan at step 0"):
        _fit(module, [], plugins=[Scaled()])


def test_only_the_denoiser_is_saved():
    module, _ = _module("stage1")
    assert {name.split(".")[0] for name in module.state_dict()} == {"denoiser"}


@pytest.mark.parametrize("largest", [None, 1e-3, 1e3])
def test_gradients_are_clipped_by_their_norm_over_all_weights(largest):
    module, _ = _module("stage1")
    gradients = [torch.randn_like(p) for p in module.denoiser.parameters()]
    for parameter, gradient in zip(module.denoiser.parameters(), gradients, strict=True):
        parameter.grad = gradient.clone()
    logged = {}
    module.log = lambda name, value: logged.update({name: value})  # type: ignore[method-assign, assignment]
    module.trainer = SimpleNamespace(precision_plugin=Precision())  # type: ignore[assignment]
    module.configure_gradient_clipping(module.configure_optimizers(), largest)
    norm = torch.cat([g.double().flatten() for g in gradients]).norm()
    assert logged["train/grad_norm"] == pytest.approx(norm.item())
    factor = 1 if largest is None else min(1, largest / norm)
    for parameter, gradient in zip(module.denoiser.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient * factor, rtol=1e-4, atol=0)


def test_a_compiled_step_is_the_plain_one(monkeypatch):
    compiling = Mock(side_effect=partial(torch.compile, backend="eager"))  # inductor takes minutes
    monkeypatch.setattr(torch, "compile", compiling)
    [batch] = _clips()
    losses, gradients, names = {}, {}, {}
    for compiled in (False, True):
        module, _ = _module("stage1", *SMALLEST, compile=compiled, dropout=0)
        module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        module.trainer = SimpleNamespace(optimizers=[module.configure_optimizers()])  # type: ignore[assignment]
        torch.manual_seed(1)
        losses[compiled] = module.training_step(batch, 0)["loss"]
        losses[compiled].backward()
        gradients[compiled] = module.denoiser.unet.conv_in.weight.grad
        names[compiled] = list(module.state_dict())
    torch.testing.assert_close(losses[True], losses[False])
    torch.testing.assert_close(gradients[True], gradients[False])
    assert names[True] == names[False]
    compiling.assert_called_once()


def test_compiled_blocks_train_with_recomputing_as_plain_ones_and_validate_plain(monkeypatch):
    graphs: list[Any] = []

    def counted(graph: torch.fx.GraphModule, _: object) -> Any:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counted))
    [batch] = _clips()
    losses, gradients, restored = {}, {}, {}
    for compiled in (False, "blocks"):
        module, _ = _module("stage1", compile=compiled, dropout=0)
        recompute_activations(module.denoiser.unet)
        module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        module.trainer = SimpleNamespace(optimizers=[module.configure_optimizers()])  # type: ignore[assignment]
        module._scores.start(module.device)
        with torch.inference_mode():
            restored[compiled] = module.validation_step({**batch, "name": "clip"}, 0)["restored"]
        assert not graphs
        losses[compiled] = module.training_step(batch, 0)["loss"]
        losses[compiled].backward()
        gradients[compiled] = {name: p.grad for name, p in module.named_parameters()}
    assert graphs
    assert torch.equal(restored[False], restored["blocks"])
    torch.testing.assert_close(losses["blocks"], losses[False])
    torch.testing.assert_close(gradients["blocks"], gradients[False])


def test_a_way_to_compile_that_does_not_exist_is_refused():
    with pytest.raises(InstantiationException, match="compile must be true, false or blocks, got layers"):
        _module("stage1", compile="layers")
