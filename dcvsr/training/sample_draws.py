"""Random numbers of training samples, each a function of seed, epoch and number of the sample."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from dcvsr.degradation.seeds import generator
from dcvsr.models.conditioning import PixelNoise
from dcvsr.runtime.errors import UserError


def drawn(seed: int, name: str, batch: Mapping[str, Any], draw: Callable[[Generator], Tensor]) -> Tensor:
    """Draw once per clip and stack the draws to ``b ...`` on the CPU.

    A draw depends only on seed, ``name``, epoch and number, as crops do. It does not depend on number of
    processes or other clips of the batch. Draws of different names are independent.
    """
    samples = zip(batch["epoch"].tolist(), batch["number"].tolist(), strict=True)
    return torch.stack([draw(generator(seed, name, *sample)) for sample in samples])


def pixel_noise(
    seed: int, batch: Mapping[str, Any], strength: float, law: Sequence[float] | None
) -> PixelNoise | None:
    """Draw the noise augmentation of a batch (spec A14); None for none.

    Args:
        seed: seed of the draws.
        batch: the clips, with HR.
        strength: strength of the noise, unless ``law`` is given.
        law: mean and standard deviation of ln of the strength, which is then drawn for each clip.
    """
    if law is None and not strength:
        return None
    hr = batch["hr"]
    noise = drawn(seed, "pixel_noise", batch, lambda g: torch.randn(hr.shape[1:], generator=g)).to(hr.device)
    if law is None:
        return PixelNoise(strength, lambda i: noise[:, i])
    mean, std = law
    normal = drawn(seed, "noise_augmentation", batch, lambda g: torch.randn((), generator=g)).to(hr.device)
    return PixelNoise((mean + std * normal).exp(), lambda i: noise[:, i])


def require_law(law: Sequence[float] | None) -> None:
    """Raise UserError unless ``law`` is None or two numbers, a mean and a standard deviation."""
    if law is not None and len(law) != 2:
        raise UserError(f"module.noise_augmentation={law} is not a mean and a deviation, such as [-3, 0.5]")
