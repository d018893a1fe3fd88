"""Stage 3: training at the noise levels of a few sampler steps, with losses on decoded frames.

The paper has no such stage; it samples in 25 steps.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import cos, pi
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from typing_extensions import override

from dcvsr.diffusion.protocols import Guidance
from dcvsr.diffusion.schedule import karras_sigmas
from dcvsr.models.denoiser import Condition
from dcvsr.runtime.choices import require_choice
from dcvsr.runtime.errors import UserError
from dcvsr.training.adversary import Adversary
from dcvsr.training.module import Batch, Losses, VSRModule
from dcvsr.training.pixel_losses import PixelLosses
from dcvsr.training.teacher import Teacher

ADVERSARIAL = ("adversarial", "features")
"""Terms of the loss that need a discriminator."""

Objective = Literal["regression", "consistency"]


class FewStepModule(VSRModule):
    """Training of the estimates that the upscaler's own sampler computes, by losses on decoded frames.

    For each clip a noise level is drawn. The loss compares the estimate there with a target, and the decoded
    video with true frames. Under ``regression`` levels are those of the sampler's evaluations, the target is
    y, or the teacher's estimate, and true frames are HR. Under ``consistency`` (Song et al. 2023) the target
    is the denoiser's own estimate at the next lower level, where the teacher's estimate, or y, leads the
    state, and true frames are decoded from it; the last target is the teacher's estimate, or y.

    Args:
        objective: ``regression`` or ``consistency``.
        levels: noise levels of ``consistency``, spaced as the sampler's from its sigma_max to sigma_min.
        teacher: guidance of the teacher, a copy of the denoiser as given; None for no teacher.
        losses: term -> weight; see `PixelLosses` and `Adversary.restoring_losses`.
        adversary: the discriminator; trained and kept only where a weight of its terms is above 0.
        adversary_lr: its learning rate.
        perceived: frames of a clip that LPIPS, DISTS and the discriminator compare, null for all.
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
        objective: Objective,
        levels: int,
        teacher: Guidance[Condition] | None,
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
        require_choice("objective", objective, get_args(Objective))
        self.objective: Objective = objective
        self.teacher = None if teacher is None else Teacher(self.denoiser, teacher)
        sampler = self.upscaler.sampler
        self.levels = [sigma for _, sigma in sampler.evaluations]
        if objective == "consistency":
            ends = sampler.sigma_min, sampler.sigma_max
            self.levels = karras_sigmas(levels, *ends, sampler.rho)[:-1].tolist()
        factor = self.upscaler.latents.autoencoder.factor
        if decoded is not None and (decoded < 2 * factor or decoded % factor):
            raise ValueError(f"decoded={decoded} is not a multiple of {factor} pixels from {2 * factor} on")
        if differentiated < 1:
            raise ValueError(f"differentiated must be at least 1, got {differentiated}")
        if perceived is not None and perceived < 1:
            raise ValueError(f"perceived must be at least 1, or null for all frames, got {perceived}")
        self.perceived, self.latent, self.rollout = perceived, latent, rollout
        self.differentiated, self.decoded = differentiated, decoded
        self.adversarial = {term: losses[term] for term in ADVERSARIAL if losses[term] > 0}
        self.adversary = adversary if self.adversarial else None
        self.adversary_lr = adversary_lr
        pixels = {term: losses[term] for term in losses if term not in ADVERSARIAL}
        self.pixel_losses = PixelLosses(pixels, features=bool(self.adversarial))
        if not (self.pixel_losses.weights or self.adversarial or latent):
            raise ValueError("all weights of losses are 0; set one above")
        if teacher is not None and objective == "regression" and not latent:
            raise ValueError("latent is 0, so no loss would use the teacher; set module.latent above")

    @override
    def configure_model(self) -> None:
        """Refuse drawn numbers of evaluations where processes gather each block together; see the base."""
        drawn = self.objective == "consistency" or (self.rollout and len(self.levels) > 1)
        if self.device_mesh is not None and drawn:
            raise UserError(
                "trainer=fsdp needs as many evaluations of each clip: choose trainer=ddp, or "
                "module.objective=regression with sampler.steps=1 or module.rollout=false"
            )
        super().configure_model()

    @override
    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.pixel_losses.to(self.device)
        if self.teacher is not None:
            self.teacher.to(self.device)

    @override
    def configure_optimizers(self) -> Any:
        """Return the optimizer, with a cosine decay of its rates to 0 at the last step."""
        optimizer = super().configure_optimizers()
        if self.adversary is not None:
            optimizer.add_param_group({"params": [*self.adversary.parameters()], "lr": self.adversary_lr})
        steps = self.trainer.max_steps
        # In closed form: CosineAnnealingLR would keep the last step of the run before a resumed one.
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + cos(pi * step / steps)) / 2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume with another discriminator, with one where there was none, or without it."""
        had, has = (
            {name for name in state if name.startswith("adversary.")}
            for state in (checkpoint["state_dict"], self.state_dict())
        )
        if had != has:
            which = "without a" if not had else "with a" if not has else "with another"
            raise UserError(
                f"the run was trained {which} discriminator: resume with its module.losses.adversarial and "
                "features and its version of dcvsr, or start from its weights with ckpt=..."
            )
        for schedule in checkpoint["lr_schedulers"]:  # of older versions: a CosineAnnealingLR
            schedule.setdefault("lr_lambdas", [None] * len(schedule["base_lrs"]))
        super().on_load_checkpoint(checkpoint)

    @override
    def batch_loss(self, batch: Batch, y: Tensor, noise: Tensor, seen: Condition, l: Tensor) -> Losses:
        """Compute the weighted losses at a drawn noise level of each clip; see the base."""
        numbers = self.drawn("evaluation", batch, lambda g: torch.randint(len(self.levels), (), generator=g))
        pairs = [
            self.estimates(y[i : i + 1], noise[i : i + 1], _clip(seen, i), int(number))
            for i, number in enumerate(numbers)
        ]
        D_x, target = map(torch.cat, zip(*pairs, strict=True))
        with torch.autocast(self.device.type, enabled=False):  # frames in float32, as in inference
            restored, true = self.decode(D_x.float(), target.float(), l, batch)
            compared = self.pixel_losses.compared(restored, true, self._perceived(batch))
            terms = self.pixel_losses(restored, true, compared)
            if self.adversary is not None:
                features = [frames.features[2:5] for frames in compared]
                found = self.adversary.restoring_losses(*features)
                terms |= {term: weight * found[term] for term, weight in self.adversarial.items()}
                terms["discriminator"] = self.adversary.judging_loss(*features)
            if self.latent:
                sigmas = y.new_tensor(self.levels)[numbers]
                terms["latent"] = self.latent * self.loss.of(D_x, target, sigmas).mean()
        self.log_dict({f"train/{term}": value for term, value in terms.items()}, batch_size=len(y))
        return {"loss": torch.stack([*terms.values()]).sum()}

    def estimates(self, y: Tensor, noise: Tensor, c: Condition, number: int) -> tuple[Tensor, Tensor]:
        """Compute the denoiser's estimate of one clip at a noise level, and its target.

        Args:
            y: clean latent, ``1 f k h w``.
            noise: of standard deviation 1, like y.
            c: condition of the clip.
            number: index in ``levels``.
        """
        sigma = self.levels[number]
        x = self.state(y, noise, c, number)
        D_x = self._estimated(x, sigma, c)
        target = y if self.teacher is None else self.teacher(x.detach(), sigma, c)
        if self.objective == "regression":
            return D_x, target
        sigma_next = [*self.levels, 0.0][number + 1]
        with torch.no_grad():
            x = x + (sigma_next - sigma) * (x - target) / sigma  # without a teacher: y + sigma_next noise
            return D_x, self._estimated(x, sigma_next, c) if sigma_next else x

    def state(self, y: Tensor, noise: Tensor, c: Condition, number: int) -> Tensor:
        """Compute the noisy latent that the denoiser sees at a noise level; see ``estimates``."""
        if self.objective == "consistency" or not self.rollout:
            return y + self.levels[number] * noise
        sampler = self.upscaler.sampler
        before = x = sampler.initial(noise)
        for earlier in range(number):
            with torch.set_grad_enabled(torch.is_grad_enabled() and earlier > number - self.differentiated):
                before, x = x, sampler.update(earlier, x, self._estimated(x, self.levels[earlier], c), before)
        return x

    def _estimated(self, x: Tensor, sigma: float, c: Condition) -> Tensor:
        return self._estimate(x, x.new_tensor([sigma]), c)

    def decode(self, D_x: Tensor, target: Tensor, l: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Decode estimates, or a drawn crop of each, and return them with true frames of the same place.

        True frames are HR, or for consistency what ``target`` decodes to.

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
            if self.objective == "regression":
                true.append(hr[(slice(i, i + 1), ..., *pixels)][inner])
            else:
                true.append(self.upscaler.latents.decode(target[crop], l[crop])[inner])
        return torch.cat(restored), torch.cat(true)

    def _perceived(self, batch: Batch) -> Tensor | None:
        if self.perceived is None:
            return None
        frames, count = batch["hr"].shape[1], self.perceived
        return self.drawn("perceived", batch, lambda g: torch.randperm(frames, generator=g)[:count])


def _clip(c: Condition, i: int) -> Condition:
    """Return the condition of clip ``i`` of a batch."""
    noise = c.noise_augmentation
    return replace(
        c,
        latent=c.latent[i : i + 1],
        image=c.image[i : i + 1],
        noise_augmentation=None if noise is None else noise[i : i + 1],
    )
