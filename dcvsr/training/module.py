"""Lightning module that trains the denoiser of an upscaler.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Generator, Tensor
from typing_extensions import override

from dcvsr.diffusion.loss import EDMLoss
from dcvsr.metrics.video_metric import VideoMetric
from dcvsr.models.conditioning import PixelNoise
from dcvsr.models.denoiser import Condition
from dcvsr.models.svd import compile_blocks
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.errors import UserError
from dcvsr.training.dropout import DropoutMode, dropped_parts, require_rate
from dcvsr.training.lora import adapted
from dcvsr.training.non_finite import NonFinite, OnNaN
from dcvsr.training.optimizer import plain, quantized
from dcvsr.training.progress_counts import continue_after_step
from dcvsr.training.sample_draws import drawn, pixel_noise, require_law
from dcvsr.training.sharding import gather_unet, put_back, shard, whole
from dcvsr.training.validation_scores import ValidationScores

Batch = dict[str, Any]
"""``hr`` and ``lr`` video; training batches add ``epoch`` and ``number``, ``b``; validation adds ``name``.

Training batches of a `LatentSet` have ``y``, ``l`` and ``image`` in place of video."""

Losses = dict[str, Tensor]
"""``loss``, to minimise; optionally ``clip_losses`` and ``sigma``, ``b``, of each clip."""


class VSRModule(pl.LightningModule):
    """Training with the EDM loss, and validation that upscales and scores whole clips.

    Only the denoiser is registered, so only it is trained and saved; the frozen VAE and CLIP stay in
    ``upscaler``.

    Args:
        upscaler: upscaler whose denoiser is trained; validation uses it unchanged.
        loss: Eq. (11).
        optimizer: parameters -> optimizer.
        dropout: probability of dropping a clip's condition (spec A22).
        dropout_mode: ``joint`` drops both parts of the condition; ``triple`` each part and both.
        noise_augmentation: mean and standard deviation of ln of the strength of pixel noise, which is drawn
            for each clip and passed to the network; None for the upscaler's own strength (spec A14).
        seed: seed of noise levels, noise, dropout and noise augmentation.
        compile: compile the whole U-Net of a training step with torch.compile, or its transformer ``blocks``;
            validation is not compiled.
        on_nan: ``stop`` at a loss or gradient that is not finite, or ``skip`` its step; see `NonFinite`.
        metrics: name -> metric on (restored, HR), logged as ``val/<name>``; on the device in validation only.
        about: plain values stored in each checkpoint under ``dcvsr``.
    """

    def __init__(
        self,
        upscaler: TiledUpscaler,
        loss: EDMLoss,
        optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer],
        dropout: float,
        dropout_mode: DropoutMode,
        noise_augmentation: Sequence[float] | None,
        seed: int,
        compile: bool | Literal["blocks"],
        on_nan: OnNaN,
        metrics: Mapping[str, VideoMetric],
        about: Mapping[str, Any],
    ) -> None:
        super().__init__()
        require_rate(dropout, dropout_mode)
        require_law(noise_augmentation)
        self.upscaler = upscaler
        self.denoiser = upscaler.denoiser
        if compile not in (True, False, "blocks"):
            raise ValueError(f"compile must be true, false or blocks, got {compile}")
        self._estimate = torch.compile(self.denoiser.forward) if compile is True else self.denoiser.forward
        if compile == "blocks":
            compile_blocks(self.denoiser.unet)
        self.loss = loss
        self.optimizer = optimizer
        self.dropout = dropout
        self.dropout_mode: DropoutMode = dropout_mode
        self.noise_augmentation = noise_augmentation
        self.seed = seed
        self.non_finite = NonFinite(on_nan)
        self.metrics = dict(metrics)
        self._scores = ValidationScores(metrics)
        self.about = dict(about)
        self._has_stepped = False

    @override
    def configure_model(self) -> None:
        """Share out the U-Net's weights where the strategy has a mesh of processes."""
        if self.device_mesh is not None:
            shard(self, self.device_mesh["data_parallel"], self.trainer.precision)

    @override
    def on_fit_start(self) -> None:
        self.upscaler.to(self.device)

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(p for p in self.denoiser.parameters() if p.requires_grad)

    @override
    def training_step(self, batch: Batch, _: int) -> Losses:
        y, c = self.encode(batch)
        draw = self.drawn("dropout", batch, lambda g: torch.rand((), generator=g))
        seen = c.dropped(*dropped_parts(draw, self.dropout, self.dropout_mode))
        noise = self.drawn("noise", batch, lambda g: torch.randn(y.shape[1:], generator=g))
        found = self.batch_loss(batch, y, noise, seen, c.latent)
        if not self.non_finite.skips:
            self.non_finite.add_loss(found["loss"])
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=len(y))
        return found

    def batch_loss(self, batch: Batch, y: Tensor, noise: Tensor, seen: Condition, l: Tensor) -> Losses:
        """Compute Eq. (11) at a drawn noise level of each clip.

        Args:
            batch: the clips.
            y: clean latent.
            noise: of standard deviation 1, like y.
            seen: condition, of some clips dropped.
            l: LR latent, of all clips.
        """
        sigma = self.drawn("sigma", batch, lambda g: self.loss.sigma(1, g)[0])
        losses = self.loss(lambda x, sigma: self._estimate(x, sigma, seen), y, noise, sigma)
        return {"loss": losses.mean(), "clip_losses": losses, "sigma": sigma}

    def drawn(self, name: str, batch: Batch, draw: Callable[[Generator], Tensor]) -> Tensor:
        """Draw once per clip and stack the draws to ``b ...`` on the module's device.

        See `sample_draws.drawn`; draws do not depend on the device.
        """
        return drawn(self.seed, name, batch, draw).to(self.device)

    def encode(self, batch: Batch) -> tuple[Tensor, Condition]:
        """Compute the clean latent y of a batch and its condition, in float32 for any trainer precision.

        A batch of latents has both already.
        """
        if "y" in batch:
            return batch["y"], Condition(batch["l"], batch["image"], batch.get("noise_augmentation"))
        with torch.autocast(self.device.type, enabled=False):
            found = self.upscaler.condition(batch["lr"], self._pixel_noise(batch))
            y, c = self.upscaler.latents.target(batch["hr"], found.shown), found.condition()
        # Rounding of convolutions depends on the memory format, and stored latents are contiguous.
        return y.contiguous(), replace(c, latent=c.latent.contiguous())

    def _pixel_noise(self, batch: Batch) -> PixelNoise | None:
        """Draw the noise augmentation of a batch, and its strength where that is configured (spec A14)."""
        return pixel_noise(self.seed, batch, self.upscaler.noise_augmentation, self.noise_augmentation)

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self._has_stepped = True
        if not self.non_finite.skips:
            self.non_finite.require_finite_losses(self)

    @override
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Free the gradients of a finished step, which Lightning keeps beside the next activations."""
        if self._has_stepped:
            self.zero_grad(set_to_none=True)
        self._has_stepped = False

    @override
    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each group by the norm over its weights; Lightning's implementation refuses fused optimizers.

        Under ``16-mixed`` the gradient scaler skips a step that overflows and halves its scale. At scale 1 an
        overflow is not the scale's, and stops the run, or skips the step, as it does in other precisions.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # a fused optimizer would unscale in its step, after clipping
        groups = [[p for p in group["params"] if p.grad is not None] for group in optimizer.param_groups]
        norms = [whole(torch.nn.utils.get_total_norm(p.grad for p in group)) for group in groups]
        self.log("train/grad_norm", norms[0])
        scale = 1.0 if scaler is None else scaler.get_scale()
        if scale > 1 and not all(p.grad.isfinite().all() for group in groups for p in group):
            return
        if self.non_finite.skips:
            skips = self.non_finite.skip(optimizer, torch.stack(norms).sum(), self)
            self.log("train/skipped_steps", float(self.non_finite.skipped))
            if skips:
                return
        name = "gradient" if scaler is None else f"gradient, its scale {scale:g},"
        for group, norm in zip(groups, norms, strict=True):
            self.non_finite.require_finite(name, norm, self)
            if gradient_clip_val:
                torch.nn.utils.clip_grads_with_norm_(group, gradient_clip_val, norm)

    @override
    def validation_step(self, batch: Batch, _: int) -> dict[str, Tensor]:
        """Upscale and score one clip; return the compared frames ``f c h w``."""
        lr, hr = batch["lr"][0], batch["hr"][0]
        with torch.compiler.set_stance("force_eager"):
            restored = self.upscaler(lr)
        self._scores.update(batch["name"], restored, hr)
        return {"lr": lr, "restored": restored, "hr": hr}

    @override
    def on_validation_epoch_start(self) -> None:
        gather_unet(self.denoiser)
        self._scores.start(self.device)

    @override
    def on_validation_epoch_end(self) -> None:
        put_back(self.denoiser)
        means = self._scores.finish(lambda scored: self.trainer.strategy.reduce(scored, reduce_op="max"))
        self.log_dict({f"val/{name}": mean for name, mean in means.items()})

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue a resumed run after its last optimizer step."""
        if "lora" in checkpoint and not adapted(self.denoiser):
            raise UserError(
                "the run to resume trains adapters; resume it with lora=attention, or start from its weights "
                "with ckpt=..."
            )
        checkpoint["optimizer_states"] = quantized(checkpoint["optimizer_states"])
        continue_after_step(checkpoint, self.trainer.accumulate_grad_batches)

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["dcvsr"] = self.about
        checkpoint["optimizer_states"] = plain(checkpoint["optimizer_states"])
