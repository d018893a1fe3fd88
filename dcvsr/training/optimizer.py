"""AdamW with moments in 32 or 8 bits, and the state of 8 bits as plain tensors, for checkpoints."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import needed

_MARK = "quantized"
"""Key of a quantized tensor's parts in a checkpoint."""


def adamw(
    parameters: Iterable[Tensor],
    lr: float,
    betas: Sequence[float],
    weight_decay: float,
    fused: bool,
    bits: int,
) -> torch.optim.Optimizer:
    """Build AdamW.

    With 8 bits, torchao's optimizer (Dettmers et al. 2022, block-wise quantization) compiles its step once.
    Weights of fewer than 4096 numbers keep float32 moments.

    Args:
        parameters: weights that are trained.
        lr: learning rate.
        betas: decay rates of the moments.
        weight_decay: of AdamW.
        fused: one kernel for all weights; for 32 bits.
        bits: of each number of the moments, 32 or 8.

    Raises:
        ValueError: if ``bits`` is another number.
        UserError: for 8 bits, without torchao, or if weights are shared out over processes.
    """
    rates = betas[0], betas[1]
    if bits == 32:
        return torch.optim.AdamW(parameters, lr=lr, betas=rates, weight_decay=weight_decay, fused=fused)
    if bits != 8:
        raise ValueError(f"bits must be 32 or 8, got {bits}")
    with needed("module.optimizer.bits=8", "8bit"):
        from torchao.optim import AdamW8bit  # type: ignore[import-not-found]
    weights = list(parameters)
    if any(isinstance(weight, DTensor) for weight in weights):
        raise UserError(
            "module.optimizer.bits=8 does not work with trainer=fsdp; choose trainer=ddp, or bits=32"
        )
    return AdamW8bit(weights, lr=lr, betas=rates, weight_decay=weight_decay)


def eight_bit_bytes(sizes: Iterable[int]) -> int:
    """Return the bytes of the moments of weights of these sizes, as torchao stores them.

    A moment of at least 4096 numbers in whole blocks of 256 has a byte for each, a scale for each block,
    and a table of 256 numbers. Others are float32.
    """
    return sum(
        2 * (size + 4 * size // 256 + 4 * 256) if size >= 4096 and size % 256 == 0 else 8 * size
        for size in sizes
    )


def plain(state: Any) -> Any:
    """Return an optimizer's state with quantized tensors as dicts of plain ones, to load without torchao."""
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    if isinstance(state, list):
        return [plain(value) for value in state]
    if type(state).__module__.startswith("torchao."):
        names, about = state.__tensor_flatten__()
        return {_MARK: {name: getattr(state, name) for name in names}, "about": list(about)}
    return state


def quantized(state: Any) -> Any:
    """Return the state that ``plain`` was given.

    Raises:
        UserError: if it is that of 8 bits, and torchao is not installed.
    """
    if isinstance(state, list):
        return [quantized(value) for value in state]
    if not isinstance(state, dict):
        return state
    if _MARK not in state:
        return {name: quantized(value) for name, value in state.items()}
    with needed("resuming with module.optimizer.bits=8", "8bit"):
        from torchao.optim.subclass_8bit import OptimState8bit  # type: ignore[import-not-found]
    return OptimState8bit.__tensor_unflatten__(state[_MARK], state["about"])
