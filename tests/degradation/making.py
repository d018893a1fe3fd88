"""Degradations as the configuration builds them, clips to degrade, and what draws are compared with."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from functools import cache

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from scipy.stats import chisquare, kstest
from torch import Generator, Tensor

from dcvsr.degradation.pipeline import Degradation
from dcvsr.runtime.cli import CONF


@cache
def configured(name: str, *overrides: str) -> Degradation:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", [f"degradation={name}", *overrides, "ckpt=null"])
    return instantiate(cfg.degradation, _convert_="all")


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def clip(frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth blobs and fine noise, ``f c h w``: something to blur, and something to code."""
    generator = rng(seed)
    smooth = torch.rand(frames, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    smooth = torch.nn.functional.interpolate(smooth, (height, width), mode="bilinear")
    return (smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def psnr(image: Tensor, other: Tensor) -> float:
    return -10 * (image.double() - other.double()).square().mean().log10().item()


def drawn_as_often(drawn: Iterable[Hashable], odds: Mapping[Hashable, float]) -> bool:
    """Tell if a chi-square test accepts the odds; they need not sum to one."""
    counts, total = Counter(drawn), sum(odds.values())
    expected = {name: weight / total * counts.total() for name, weight in odds.items()}
    return counts.keys() <= odds.keys() and _believed(
        chisquare([counts[name] for name in odds], list(expected.values())).pvalue
    )


def uniform_between(values: Iterable[float], low: float, high: float) -> bool:
    """Tell if a Kolmogorov-Smirnov test accepts it, no value lies outside, and both ends are reached."""
    values, reach = np.array(list(values)), (high - low) / 50
    inside = low <= values.min() < low + reach and high - reach < values.max() <= high
    return bool(inside) and _believed(kstest(values, "uniform", (low, high - low)).pvalue)


def _believed(p: float) -> bool:
    """Seeds are fixed: what is believed once always is."""
    return p > 1e-3
