"""Stage 3: training at the noise levels of a few sampler steps, with losses on decoded frames.

The paper has no such stage; it samples in 25 steps.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from dcvsr.models.denoiser import Condition
from dcvsr.training.adversary import Adversary
from dcvsr.training.module import Batch, VSRModule
from dcvsr.training.pixel_losses import PixelLosses

ADVERSARIAL = ("adversarial", "features")
"""Terms of the loss that need a discriminator."""


class FewStepModule(VSRModule):
    """Training of the estimates that the upscaler's own sampler computes, by losses on decoded frames.

    For each clip an evaluation of the sampler is drawn. The loss compares the video decoded from its estimate
    with HR, and the estimate with y.

    Args:
        losses: term -> weight; see `PixelLosses` and `Adversary.restoring_losses`.
        adversary: the discriminator; trained and kept only where a weight of its terms is above 0.
        adversary_lr: its learning rate.
        perceived: frames of a clip that LPIPS and DISTS compare, null for all.
        latent: weight of Eq. (11) on the estimate.
        rollout: whether the state comes from the sampler, run from pure noise by the evaluations before; else
            it is y with noise of the evaluation's level, as in stages 1 and 2.
        differentiated: last evaluations through which gradients flow.
        decoded: HR pixels of a side of the crop that is decoded, null for all; a multiple of the
            autoencoder's factor.
        settings: of `VSRModule`.
    """

    def __init__(
        self,
        losses: Mapping[str, float],
        adversary: Adversary,
        adversary_lr: float,
        perceived: int | None,
        latent: float,
        rollout: bool,
        differentiated: int,
        decoded: int | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        factor = self.upscaler.latents.autoencoder.factor
        if decoded is not None and (decoded < factor or decoded % factor):
            raise ValueError(f"decoded={decoded} is not a multiple of {factor} pixels")
        if differentiated < 1:
            raise ValueError(f"differentiated must be at least 1, got {differentiated}")
        if perceived is not None and perceived < 1:
            raise ValueError(f"perceived must be at least 1, or null for all frames, got {perceived}")
        self.perceived, self.latent, self.rollout = perceived, latent, rollout
        self.differentiated, self.decoded = differentiated, decoded
        self.adversarial = {term: losses[term] for term in ADVERSARIAL if losses[term] > 0}
        self.adversary = adversary if self.adversarial else None
        self.adversary_lr = adversary_lr
        self.pixel_losses = PixelLosses({term: losses[term] for term in losses if term not in ADVERSARIAL})
        if not self.pixel_losses.weights and not latent:
            raise ValueError("all weights of losses are 0; set one above")

    @override
    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.pixel_losses.to(self.device)

    @override
    def configure_optimizers(self) -> Any:
        """Return the optimizer, with a cosine decay of its rates to 0 at the last step."""
        optimizer = super().configure_optimizers()
        if self.adversary is not None:
            optimizer.add_param_group({"params": [*self.adversary.parameters()], "lr": self.adversary_lr})
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}

    @override
    def batch_loss(self, batch: Batch, y: Tensor, noise: Tensor, seen: Condition, l: Tensor) -> Tensor:
        """Compute the weighted losses at a drawn evaluation of the sampler for each clip; see the base."""
        evaluations = len(self.upscaler.sampler.evaluations)
        numbers = self.drawn("evaluation", batch, lambda g: torch.randint(evaluations, (), generator=g))
        estimates = [
            self.estimate(y[i : i + 1], noise[i : i + 1], _clip(seen, i), int(number))
            for i, number in enumerate(numbers)
        ]
        D_x = torch.cat(estimates)
        with torch.autocast(self.device.type, enabled=False):  # frames in float32, as in inference
            restored, hr = self.decode(D_x.float(), l, batch)
            terms = self.pixel_losses(restored, hr, self._perceived(batch))
            if self.adversary is not None:
                found = self.adversary.restoring_losses(restored, hr)
                terms |= {term: weight * found[term] for term, weight in self.adversarial.items()}
                terms["discriminator"] = self.adversary.judging_loss(restored, hr)
            if self.latent:
                terms["latent"] = self.latent * self.loss.of(D_x, y, self._sigmas(numbers))
        self.log_dict({f"train/{term}": value for term, value in terms.items()}, batch_size=len(y))
        return torch.stack([*terms.values()]).sum()

    def estimate(self, y: Tensor, noise: Tensor, c: Condition, number: int) -> Tensor:
        """Compute the denoiser's estimate of one clip at an evaluation of the sampler.

        Args:
            y: clean latent, ``1 f k h w``.
            noise: of standard deviation 1, like y.
            c: condition of the clip.
            number: index in ``sampler.evaluations``.
        """
        sampler = self.upscaler.sampler
        levels = [sigma for _, sigma in sampler.evaluations]
        if not self.rollout:
            return self._estimate(y + levels[number] * noise, y.new_tensor(levels[number : number + 1]), c)
        before = x = sampler.initial(noise)
        for earlier in range(number):
            with torch.set_grad_enabled(torch.is_grad_enabled() and earlier > number - self.differentiated):
                D_x = self._estimate(x, x.new_tensor(levels[earlier : earlier + 1]), c)
                before, x = x, sampler.update(earlier, x, D_x, before)
        return self._estimate(x, x.new_tensor(levels[number : number + 1]), c)

    def decode(self, D_x: Tensor, l: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Decode estimates, or a drawn crop of each, and return them with HR of the same place.

        Both are cropped once more by a drawn shift below the autoencoder's factor. Strides of the networks of
        LPIPS and DISTS would otherwise meet the latent's grid at the same place in every step.
        """
        factor, hr, limit = self.upscaler.latents.autoencoder.factor, batch["hr"], self.decoded
        lengths = D_x.shape[-2:]
        rows, columns = (length if limit is None else min(length, limit // factor) for length in lengths)
        places = self.drawn("crop", batch, lambda g: torch.rand(2, generator=g)).tolist()
        shifts = self.drawn("shift", batch, lambda g: torch.randint(factor, (2,), generator=g)).tolist()
        restored, true = [], []
        for i, ((v, u), (down, right)) in enumerate(zip(places, shifts, strict=True)):
            top, left = int(v * (lengths[0] - rows + 1)), int(u * (lengths[1] - columns + 1))
            crop = (slice(i, i + 1), ..., slice(top, top + rows), slice(left, left + columns))
            pixels = (slice(factor * at, factor * (at + n)) for at, n in ((top, rows), (left, columns)))
            inner = (..., *(slice(at, at + factor * (n - 1)) for at, n in ((down, rows), (right, columns))))
            restored.append(self.upscaler.latents.decode(D_x[crop], l[crop])[inner])
            true.append(hr[(slice(i, i + 1), ..., *pixels)][inner])
        return torch.cat(restored), torch.cat(true)

    def _perceived(self, batch: Batch) -> Tensor | None:
        if self.perceived is None:
            return None
        frames, count = batch["hr"].shape[1], self.perceived
        return self.drawn("perceived", batch, lambda g: torch.randperm(frames, generator=g)[:count])

    def _sigmas(self, numbers: Tensor) -> Tensor:
        levels = numbers.new_tensor([s for _, s in self.upscaler.sampler.evaluations], dtype=torch.float32)
        return levels[numbers]


def _clip(c: Condition, i: int) -> Condition:
    """Return the condition of clip ``i`` of a batch."""
    noise = c.noise_augmentation
    return replace(
        c,
        latent=c.latent[i : i + 1],
        image=c.image[i : i + 1],
        noise_augmentation=None if noise is None else noise[i : i + 1],
    )
