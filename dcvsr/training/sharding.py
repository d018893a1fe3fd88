"""Training with weights, gradients and optimizer state shared out over processes: FSDP2 (``fully_shard``)."""

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only
from typing_extensions import override

from dcvsr.models.denoiser import Denoiser
from dcvsr.models.operations import keep_unsharded
from dcvsr.runtime.errors import UserError


def shard(module: Any, mesh: DeviceMesh, precision: str) -> None:
    """Share out the U-Net of a training module; each of its blocks is gathered while it computes.

    Under ``bf16-mixed`` the blocks compute in bfloat16. Shares and sums of gradients stay float32.

    Args:
        module: with ``denoiser``.
        mesh: the processes.
        precision: of Lightning's trainer.

    Raises:
        UserError: if weights outside of the U-Net are trained, or adapters.
    """
    unet = module.denoiser.unet
    inside = {id(p) for p in unet.parameters()}
    if any(p.requires_grad and id(p) not in inside for p in module.parameters()):
        raise UserError("trainer=fsdp does not train a discriminator; choose trainer=ddp")
    if any(hasattr(layer, "lora_A") for layer in unet.modules()):
        raise UserError("trainer=fsdp does not train adapters, whose gradients are small; choose trainer=ddp")
    keep_unsharded(unet)
    # The U-Net changes no output of a block in place; tests compare the gradients.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    mixed = MixedPrecisionPolicy(torch.bfloat16, torch.float32, output_dtype=torch.float32)
    policy = mixed if precision == "bf16-mixed" else MixedPrecisionPolicy()
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(unet, mesh=mesh)


def gather_unet(denoiser: Denoiser) -> None:
    """Put a whole copy in the place of a U-Net that is shared out, until `put_back`.

    Tiles in lockstep are inside of the same block at the same time, and the first that left it would free its
    weights. All processes must call this together.
    """
    unet = denoiser.unet
    if isinstance(unet, FSDPModule):
        copied = copy.deepcopy(vars(unet)["unsharded"][0]).eval()
        copied.load_state_dict({name: whole(value) for name, value in unet.state_dict().items()}, assign=True)
        denoiser.unet = copied
        vars(denoiser)["shared_out"] = (unet,)


def put_back(denoiser: Denoiser) -> None:
    """Undo `gather_unet`, if it has changed anything."""
    if shared_out := vars(denoiser).pop("shared_out", None):
        (denoiser.unet,) = shared_out


def local(value: Tensor) -> Tensor:
    """Return the share of this process, without a copy; a tensor that is not shared out is returned."""
    return value.to_local() if isinstance(value, DTensor) else value


def whole(value: Tensor) -> Tensor:
    """Gather a tensor from its shares; all processes must call this together."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def gathered(values: Any, keep: bool) -> Any:
    """Gather the shared-out tensors inside of dicts and lists, one by one, to the CPU.

    All processes must call this together. Where ``keep`` is false, empty tensors take their place.
    """

    def gather(value: DTensor) -> Tensor:
        found = value.full_tensor()
        return found.cpu() if keep else found.new_empty(0)

    return tree_map_only(DTensor, gather, values)


@torch.no_grad()
def share_like(value: Tensor, like: Tensor) -> Tensor:
    """Share ``value`` out as ``like``, of the same shape, is; a value that is shared out is returned."""
    if isinstance(value, DTensor) or not isinstance(like, DTensor) or value.shape != like.shape:
        return value  # such as Adam's count of steps, which is one number
    shares, rank = value.chunk(like.device_mesh.size()), like.device_mesh.get_local_rank()
    share = torch.empty_like(like, dtype=value.dtype)
    local(share).copy_(shares[rank] if rank < len(shares) else value[:0])
    return share


class Sharded(ModelParallelStrategy):
    """Strategy whose checkpoints are those of a single process; see `shard`."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    @override
    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    @override
    def restore_checkpoint_after_setup(self) -> bool:
        return False

    @property
    @override
    def lightning_restore_optimizer(self) -> bool:
        return True

    def _sharded(self) -> list[FSDPModule]:
        assert self.model is not None
        return [module for module in self.model.modules() if isinstance(module, FSDPModule)]

    @contextmanager
    @override
    def block_backward_sync(self) -> Iterator[None]:
        """Return a context in which gradients add up in each process, whole and in float32."""
        for module in self._sharded():
            module.set_requires_gradient_sync(False, recurse=False)
        yield
        for module in self._sharded():
            module.set_requires_gradient_sync(True, recurse=False)

    @override
    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return gathered(self.lightning_module.state_dict(), self.is_global_zero)

    @override
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        own: dict[str, Tensor] = self.lightning_module.state_dict()
        state = {
            name: share_like(value, own[name]) if name in own else value
            for name, value in checkpoint["state_dict"].items()
        }
        self.lightning_module.load_state_dict(state, strict=strict)

    @override
    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        plain = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return gathered(plain.state_dict(), self.is_global_zero)

    @override
    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            shares = {
                number: {name: share_like(value, weights[number]) for name, value in values.items()}
                for number, values in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": shares})

    @override
    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    @override
    def teardown(self) -> None:
        super().teardown()
        self.checkpoint_io.teardown()  # waits for a checkpoint that is being written; the base leaves it out
