"""Low-rank adapters of the denoiser (LoRA, Hu et al., arXiv 2106.09685), by peft.

A layer of weight W computes with W + alpha / rank B A. A and B are trained. B starts from 0, so that the
adapted network starts as the given one.
"""

import logging
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from typing_extensions import override

from dcvsr.runtime.errors import UserError
from dcvsr.runtime.extras import needed
from dcvsr.training.freeze import FreezeTemporalLayers

log = logging.getLogger(__name__)


class LoRA(pl.Callback):
    """Callback that freezes the denoiser and trains adapters of some of its layers.

    Layers that `FreezeTemporalLayers` freezes get no adapters, whichever callback comes first.

    A checkpoint holds merged weights under their usual names, and so does the average of `EMA`. Beside them
    it holds W, A and B of the adapted layers under ``lora``, from which a run resumes exactly.

    Args:
        rank: rows of A and columns of B.
        alpha: scale of the adapters, times rank.
        targets: last parts of the names of linear and convolution layers, such as ``to_q``.
    """

    def __init__(self, rank: int, alpha: float, targets: Sequence[str]) -> None:
        with needed("lora", "lora"):
            import peft
        self.settings = {"rank": rank, "alpha": alpha, "targets": [*targets]}
        self._inject = peft.inject_adapter_in_model
        self._config = peft.LoraConfig(r=rank, lora_alpha=alpha)  # type: ignore[arg-type]

    @override
    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if stage != "fit":
            return
        for other in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(other, FreezeTemporalLayers):
                other.freeze(pl_module)
        unet = pl_module.denoiser.unet
        self._config.target_modules = self._layers(unet)
        self._inject(self._config, unet)  # peft freezes the other weights
        unet.register_load_state_dict_pre_hook(_load_merged)
        sizes = [(p.numel(), p.requires_grad) for p in unet.parameters()]
        trained, total = sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)
        log.info(
            f"adapters of {len(adapted(unet))} layers: "
            f"{trained / 1e6:.2f} of {total / 1e6:.1f} M parameters are trained"
        )

    def _layers(self, unet: nn.Module) -> list[str]:
        """Return the names of the layers to adapt."""
        kinds = (nn.Linear, nn.Conv2d, nn.Conv3d)
        layers = {f".{name}": layer for name, layer in unet.named_modules() if isinstance(layer, kinds)}
        for target in self.settings["targets"]:
            if not any(name.endswith(f".{target}") for name in layers):
                raise UserError(
                    f"callbacks.lora.targets: {target} is not a linear or convolution layer of the U-Net; "
                    "name some of to_q, to_k, to_v, to_out.0"
                )
        ends = tuple(f".{target}" for target in self.settings["targets"])
        found = [
            name[1:] for name, layer in layers.items() if name.endswith(ends) and layer.weight.requires_grad
        ]
        if not found:
            raise UserError("callbacks.lora.targets names only frozen layers, or none; add others")
        return found

    @override
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        weights: dict[str, Tensor] = {}
        for name, layer in adapted(pl_module.denoiser):
            weights |= layer.state_dict(prefix=f"{name}.")
        checkpoint["lora"] = {"settings": self.settings, "weights": weights}
        checkpoint["state_dict"] = merged_weights(pl_module)

    @override
    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Load W, A and B of a run to resume; its merged weights are loaded already."""
        settings = checkpoint["lora"]["settings"] if "lora" in checkpoint else "no adapters"
        if settings != self.settings:
            raise UserError(
                f"the run to resume has {settings} and callbacks.lora {self.settings}; resume it "
                "with the same, or start from its weights with ckpt=..."
            )
        pl_module.denoiser.load_state_dict(checkpoint["lora"]["weights"], strict=False)


def adapted(network: nn.Module) -> list[tuple[str, Any]]:
    """Return names and peft's layers of all layers with adapters."""
    return [(name, layer) for name, layer in network.named_modules() if hasattr(layer, "lora_A")]


@torch.no_grad()
def merged_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the state of ``network`` as it is without adapters, with W + alpha / rank B A for W."""
    weights = network.state_dict()
    for name, layer in adapted(network):
        for part in layer.state_dict(prefix=f"{name}."):
            del weights[part]
        weights |= layer.base_layer.state_dict(prefix=f"{name}.")
        weights[f"{name}.weight"] = layer.base_layer.weight + layer.get_delta_weight("default")
    return weights


def _load_merged(unet: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Load merged weights as W, with 0 for B, before a state is loaded; other states are unchanged."""
    for name, layer in adapted(unet):
        if f"{prefix}{name}.weight" not in state:
            continue
        for part in layer.base_layer.state_dict():
            state[f"{prefix}{name}.base_layer.{part}"] = state.pop(f"{prefix}{name}.{part}")
        for part, value in layer.state_dict().items():
            if part.startswith("lora_"):
                state[f"{prefix}{name}.{part}"] = torch.zeros_like(value) if "lora_B" in part else value
