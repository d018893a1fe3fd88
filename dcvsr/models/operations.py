"""Counting of floating-point operations on meta tensors, which hold no data."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

T = TypeVar("T")


SHAPE_KEPT = {
    torch.ops.aten.native_group_norm.default: 3,
    torch.ops.aten.native_layer_norm.default: 3,
    torch.ops.aten._safe_softmax.default: 1,
}
"""Operation whose first output has the shape of its input -> number of outputs; the others are not read."""


class Operations(TorchDispatchMode):
    """Recorder of the FLOPs of each product and convolution, in order.

    torch's FlopCounterMode counts the same; its bookkeeping by module takes as long as the operations. Norms
    and softmax do not count and keep the shape of their input; their meta kernels would take a third of the
    time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        formula, options = flop_registry.get(func._overloadpacket), kwargs or {}
        if outputs := SHAPE_KEPT.get(func):
            made = [torch.empty_like(args[0], memory_format=torch.contiguous_format) for _ in range(outputs)]
            return tuple(made) if outputs > 1 else made[0]
        if formula is None:
            with self:
                result = func.decompose(*args, **options)
            if result is not NotImplemented:
                return result
        result = func(*args, **options)
        if formula is not None:
            self.flops.append(formula(*args, **options, out_val=result))
        return result


def counted(run: Callable[[], object]) -> list[int]:
    """Count the FLOPs of each product and convolution of ``run``, in order."""
    with torch.no_grad(), Operations() as operations:
        run()
    return operations.flops


def weights(parts: Sequence[object]) -> list[Tensor]:
    """Return the parameters and buffers of ``parts`` and of the modules that they hold."""
    return [tensor for module in _modules(parts) for tensor in (*module.parameters(), *module.buffers())]


def on_meta(parts: Sequence[T]) -> Sequence[T]:
    """Copy ``parts`` with all weights on the meta device."""
    inner = [module for part in _modules(parts) for module in part.modules()]
    kept = {id(module): vars(module)["unsharded"][0] for module in inner if "unsharded" in vars(module)}
    copies: dict[int, Any] = {module: copy.deepcopy(unsharded) for module, unsharded in kept.items()}
    for tensor in weights(parts):
        if not isinstance(tensor, DTensor):
            copies[id(tensor)] = torch.empty_like(tensor, device="meta")
    return copy.deepcopy(parts, copies)


def keep_unsharded(module: nn.Module) -> None:
    """Keep a copy on the meta device for `on_meta`, because sharded modules cannot be copied."""
    copies = {
        id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=False)
        for weight in module.parameters()
    }
    vars(module)["unsharded"] = (copy.deepcopy(module, copies),)


def _modules(parts: Sequence[object]) -> list[nn.Module]:
    return [value for part in parts for value in (part, *vars(part).values()) if isinstance(value, nn.Module)]


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a meta tensor."""
    return torch.empty(shape, dtype=dtype, device="meta")
