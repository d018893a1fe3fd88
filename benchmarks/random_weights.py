"""SVD's three networks at their true size with seeded random weights, as files in diffusers' layout."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from dcvsr.models import svd_architecture

Networks = Mapping[str, tuple[str, Callable[[], nn.Module]]]
"""Folder -> name of its file of weights, and its network."""

BYTES = 2
"""Bytes of a weight in bfloat16."""

TRUE_SIZE: Networks = {
    "unet": ("diffusion_pytorch_model.safetensors", svd_architecture.unet),
    "vae": ("diffusion_pytorch_model.safetensors", svd_architecture.vae),
    "image_encoder": ("model.safetensors", svd_architecture.clip),
}


def missing_bytes(folder: Path, networks: Networks = TRUE_SIZE) -> int:
    """Return the size of the files that `write` would write to ``folder``."""
    lacking = [make for name, (file, make) in networks.items() if not _is_whole(folder / name, file)]
    return sum(BYTES * tensor.numel() for make in lacking for tensor in _on_meta(make).state_dict().values())


def write(folder: Path, networks: Networks = TRUE_SIZE, seed: int = 0) -> None:
    """Write the networks that ``folder`` lacks in bfloat16, one layer in memory at a time.

    Raises:
        SystemExit: if the disk has no room for them.
    """
    needed = missing_bytes(folder, networks)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SystemExit(
            f"the weights need {needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free: "
            "name another folder with FOLDER=..."
        )
    for name, (file, make) in networks.items():
        if not _is_whole(folder / name, file):
            network = _on_meta(make)
            (folder / name).mkdir(exist_ok=True)
            _write_weights(network, folder / name / file, seed)
            _write_config(network, folder / name)


def _is_whole(folder: Path, file: str) -> bool:
    return (folder / file).is_file() and (folder / "config.json").is_file()  # which is written last


def _on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()


def _write_config(network: nn.Module, folder: Path) -> None:
    if isinstance(network, CLIPVisionModelWithProjection):
        network.config.save_pretrained(folder)
    else:
        network.save_config(folder)  # type: ignore[operator]


def _write_weights(network: nn.Module, path: Path, seed: int) -> None:
    """Write safetensors' format: the length of the header, the header, and the tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in network.state_dict().items():
        start, end = end, end + BYTES * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8
    with path.open("wb") as file, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in _weights(network):
            file.seek(8 + len(text) + header[name]["data_offsets"][0])
            file.write(tensor.bfloat16().view(torch.int16).numpy().tobytes())


@torch.no_grad()
def _weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield names and values of the parameters, layer by layer: PyTorch's initial weights.

    Parameters of modules without an initialisation are normal with deviation 0.02: a token of CLIP, and the
    mixtures of spatial and temporal layers, which become about one half.
    """
    for prefix, module in network.named_modules():
        layer = dict(module.named_parameters(recurse=False))
        if hasattr(module, "reset_parameters"):
            initial = copy.deepcopy(module).to_empty(device="cpu")
            initial.reset_parameters()
            layer = dict(initial.named_parameters())
        for name, parameter in layer.items():
            value = 0.02 * torch.randn(parameter.shape) if parameter.is_meta else parameter
            yield f"{prefix}.{name}", value
