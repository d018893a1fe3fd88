"""Parts of `make full-size` that are not a command of dcvsr: weights and clip, encoding, a training step.

Axes: video ``b f c h w`` in [0, 1].
"""

from fractions import Fraction
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks.random_weights import missing_bytes, write
from dcvsr.data.clips import VideoClip
from dcvsr.data.packaged import packaged
from dcvsr.imaging import FACTOR, to_unit
from dcvsr.models.conditioning import Conditioning
from dcvsr.models.denoiser import Condition
from dcvsr.runtime.cli import CONF
from dcvsr.runtime.device import free_memory
from dcvsr.video.io import write_clip

__all__ = ["Path", "encode", "prepare", "train"]

ENCODED = "encoded.safetensors"
PEAK = 20_000_000_000
"""Bytes of memory that the largest part needs, at 14 frames of 128x128."""


def prepare(folder: Path, frames: int, side: int) -> None:
    """Write the weights and the LR clip; stop if disk or memory do not suffice."""
    print(f"{folder}: {missing_bytes(folder) / 1e9:.1f} GB of weights to write", flush=True)
    if (free := free_memory(torch.device("cpu"))) is not None and free < PEAK:
        raise SystemExit(f"full_size: {PEAK / 1e9:.0f} GB of memory are needed, {free / 1e9:.1f} GB are free")
    write(folder)
    _, lr = _clip(folder, frames, side)
    write_clip(folder / "lr.mkv", lr[0], rate=Fraction(25), crf=0)


def encode(folder: Path, frames: int, side: int) -> None:
    """Write y and the condition of the clip, as a training step computes them."""
    model = _configured(folder).model
    upsample, latents, image_encoder = (
        instantiate(model[part], _convert_="all") for part in ("upsample", "latents", "image_encoder")
    )
    hr, lr = _clip(folder, frames, side)
    found = Conditioning(lr, upsample, latents, image_encoder, "first", None, None, None)
    condition = found.condition()
    y = latents.target(hr, found.shown)
    save_file({"y": y, "latent": condition.latent, "image": condition.image}, folder / ENCODED)


def train(folder: Path, *_: int) -> None:
    """Run the forward and backward of a training step on the encoded clip.

    The optimizer is left out: AdamW's state is 12 GB.
    """
    cfg = _configured(folder)
    denoiser = instantiate(cfg.upscaler.denoiser, _convert_="all").train()
    print("loaded", flush=True)
    encoded = load_file(folder / ENCODED)
    y, condition = encoded["y"], Condition(encoded["latent"], encoded["image"])
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    loss = instantiate(cfg.module.loss)(
        lambda x, sigma: denoiser(x, sigma, condition), y, noise, torch.tensor([2.0])
    )
    print(f"loss {loss.item():.4f}", flush=True)
    loss.backward()
    gradients = [parameter.grad for parameter in denoiser.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    number = sum(parameter.numel() for parameter in denoiser.parameters())
    print(f"gradients of {number:,} parameters are finite", flush=True)


def _clip(folder: Path, frames: int, side: int) -> tuple[Tensor, Tensor]:
    """Return HR and LR of a real clip."""
    clip, part = VideoClip(packaged("bigbuckbunny"), folder / "cache"), slice(0, FACTOR * side)
    hr = to_unit(clip.read(0, frames, part, part))
    lr = F.interpolate(hr, scale_factor=1 / FACTOR, mode="bicubic", antialias=True).clamp(0, 1)
    return hr[None], lr[None]


def _configured(folder: Path) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        weights = [f"model.weights={folder}", f"ckpt={folder / 'unet'}"]
        return compose("train", ["+experiment=stage1", "scale=svd", *weights])
