"""Memory of training by kind."""

import mmap
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

from dcvsr.training.ema import EMA
from dcvsr.training.training_memory import kinds, stored, used


def test_every_kind_counts_its_tensors_once() -> None:
    """A denoiser of 6 + 2 weights, half of it frozen, a frozen VAE of 4 weights, Adam and an average."""
    denoiser, vae = nn.Linear(3, 2), nn.Linear(1, 2)
    denoiser.bias.requires_grad_(False)
    module: Any = nn.Module()
    module.denoiser, module.upscaler = denoiser, SimpleNamespace(networks=[denoiser, vae])
    optimizer = torch.optim.Adam([denoiser.weight])
    denoiser(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    average = EMA(0.5)
    average.average = {"weight": torch.zeros(2, 3)}
    trainer: Any = SimpleNamespace(optimizers=[optimizer], callbacks=[average])
    found = {kind: stored(tensors) for kind, tensors in kinds(trainer, module).items()}
    step = 4  # Adam's own count
    assert found == {"weights": 4 * 12, "gradients": 4 * 6, "optimizer": 4 * 12 + step, "average": 4 * 6}


def test_parts_of_a_tensor_subclass_count_as_they_are_stored() -> None:
    quantised = TwoTensor(torch.zeros(5), torch.zeros(5))
    assert stored([quantised, torch.zeros(2, dtype=torch.int8)]) == 2 * 20 + 2


def test_resident_memory_grows_by_what_is_held() -> None:
    """A mapping of its own: a process that has freed memory may take a tensor's from there."""
    mapping = mmap.mmap(-1, 64_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    before = used(torch.device("cpu"))["resident"]
    torch.frombuffer(mapping, dtype=torch.uint8).fill_(1)
    assert 50e6 < used(torch.device("cpu"))["resident"] - before < 90e6
