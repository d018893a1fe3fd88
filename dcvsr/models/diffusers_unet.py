"""U-Nets in diffusers' layout as weights of a denoiser: comparison of architectures, and loading."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from inspect import signature
from typing import Any

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from safetensors import safe_open

from dcvsr.models.denoiser import Denoiser
from dcvsr.runtime.errors import UserError
from dcvsr.weights.unet_folder import UNetFiles

log = logging.getLogger(__name__)

WITHOUT_EFFECT = {"num_frames", "sample_size"}
"""Settings that the network's forward function does not use; SVD's 14 and 25 frame models differ in one."""
PER_BLOCK = {"num_attention_heads", "layers_per_block", "cross_attention_dim", "transformer_layers_per_block"}
"""Settings that have one value for all blocks or a list with one for each."""
OF_THE_AVERAGE = {
    "decay", "min_decay", "optimization_step", "update_after_step", "use_ema_warmup", "inv_gamma", "power",
}  # fmt: skip
"""Settings of diffusers' EMAModel, which writes them into the config.json of averaged weights."""


@dataclass(frozen=True)
class DiffusersUNet:
    """A trained U-Net in diffusers' layout, as the origin of a denoiser's weights."""

    files: UNetFiles

    def __str__(self) -> str:
        return str(self.files)

    def load(self, denoiser: Denoiser) -> None:
        """Load every tensor of ``denoiser``'s U-Net, in float32.

        Raises:
            UserError: if the architecture or the tensors differ from the U-Net's.
        """
        self._require_same_architecture(denoiser.unet)
        state = dict(self._tensors())
        shapes = {name: tuple(tensor.shape) for name, tensor in denoiser.unet.state_dict().items()}
        if state.keys() != shapes.keys():
            one = min(state.keys() ^ shapes.keys())
            problem = f"lacks {one}" if one in shapes else f"has {one}, which the network has not"
            raise UserError(f"{self.files.source} {problem}; it is not the network of its config.json")
        for name, tensor in state.items():
            if tuple(tensor.shape) != shapes[name]:
                raise UserError(
                    f"{self.files.source}: {name} has shape {tuple(tensor.shape)}, expected {shapes[name]}; "
                    "it is not the network of its config.json"
                )
        denoiser.unet.load_state_dict(state, assign=True)

    def record(self) -> dict[str, Any]:
        """Return source, commit, licence, file hashes and configuration for a run's JSON.

        ``sha256`` is the hash of what ``sha256sum`` prints of the files.
        """
        hashes = self.files.hashes()
        printed = "".join(f"{digest}  {name}\n" for name, digest in hashes.items())
        return {
            "file": self.files.source,
            "sha256": sha256(printed.encode()).hexdigest(),
            "repository": self.files.repository,
            "revision": self.files.revision,
            "licence": self.files.licence,
            "files": hashes,
            "config": self.files.config,
        }

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield names and float32 tensors of all weight files."""
        for name in self.files.weights:
            with safe_open(self.files.folder / name, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118
                    # A copy, because views into the file are not aligned, which changes last digits.
                    yield key, file.get_tensor(key).to(torch.float32, copy=True)

    def _require_same_architecture(self, unet: UNetSpatioTemporalConditionModel) -> None:
        found, source = self.files.config, self.files.source
        defaults = {key: each.default for key, each in signature(type(unet)).parameters.items()}
        blocks, different = len(unet.config["down_block_types"]), []
        for key in defaults.keys() - WITHOUT_EFFECT:
            theirs, ours = (_listed(each) for each in (found.get(key, defaults[key]), unet.config[key]))
            if _per_block(key, theirs, blocks) != _per_block(key, ours, blocks):
                different.append(f"{key} is {theirs}, expected {ours}")
        if different:
            raise UserError(
                f"{source} has another architecture: {'; '.join(sorted(different))}; "
                "choose the scale= that it belongs to"
            )
        unknown = {key for key in found if not key.startswith("_")} - defaults.keys() - OF_THE_AVERAGE
        if unknown:
            log.warning(
                f"{source}: unknown settings in config.json are ignored: {', '.join(sorted(unknown))}"
            )


def _per_block(key: str, value: Any, blocks: int) -> Any:
    """Return a setting that may have one value for all blocks as one value per block."""
    if key in PER_BLOCK and isinstance(value, int):
        return [value] * blocks
    return value


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
