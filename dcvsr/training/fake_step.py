"""Bytes and FLOPs of a training step, computed on fake tensors: without weights, data and GPU.

Axes: video ``b f c h w`` in [0, 1]; latent ``b f k h w``.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count
from typing_extensions import override

from dcvsr.models.conditioning import pictures
from dcvsr.models.denoiser import Condition
from dcvsr.models.live_bytes import LiveBytes
from dcvsr.models.operations import weights
from dcvsr.models.svd import recompute_activations
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.tiling.grid import Tile
from dcvsr.training.module import VSRModule
from dcvsr.training.optimizer import eight_bit_bytes

aten = torch.ops.aten

_ATTENTION: dict[Any, Callable[..., int]] = {
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
        q.shape, k.shape, v.shape
    ),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *_, **__: (
        sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape)
    ),
}
"""FLOPs of the attention that fake tensors run; torch's registry has that of GPUs only."""


@dataclass(frozen=True)
class Needs:
    """Cost of a part of a training step.

    Attributes:
        bytes: of tensors at the peak, beside those that the caller counts.
        flops: products and convolutions, as in torch's FlopCounterMode.
    """

    bytes: int
    flops: int


class FakeStep:
    """Training step of a module at its true size; fake tensors know shape, dtype and life, and hold no data.

    torch's autograd runs on them as on real tensors of a CPU. Fused attention, saved tensors, autocast and
    recomputation are its own. For a GPU, autocast of normalisation is that of CUDA.

    Args:
        module: its parameters on any device; those without ``requires_grad`` are frozen.
        clips, frames, crop: size of a batch of one process; crop in HR pixels.
        dtype: of autocast; float32 for none.
        device: ``cpu`` or ``cuda``; neither is used.
    """

    def __init__(
        self, module: VSRModule, clips: int, frames: int, crop: int, dtype: torch.dtype, device: str
    ) -> None:
        self.module, self.upscaler = module, module.upscaler
        self.clips, self.frames, self.crop = clips, frames, crop
        self.dtype, self.device = dtype, device

    def denoising(self, recomputes: bool, accumulates: bool, sharded: bool = False) -> Needs:
        """Compute the needs of loss and gradients, without weights, gradients and optimizer state.

        Stage 3 draws an evaluation of its sampler: the bytes are those of the last, and the FLOPs the mean.

        Args:
            recomputes: with gradient checkpointing.
            accumulates: gradients of earlier batches exist already.
            sharded: weights exist in ``dtype`` while a block needs them, and nothing is cast.
        """
        ends = {0, len(getattr(self.module, "levels", (0,))) - 1}
        needs = [self._evaluation(number, recomputes, accumulates, sharded) for number in ends]
        return Needs(max(need.bytes for need in needs), sum(need.flops for need in needs) // len(needs))

    def _evaluation(self, number: int, recomputes: bool, accumulates: bool, sharded: bool) -> Needs:
        """Compute the needs of `denoising` where stage 3 draws evaluation ``number``."""
        with FakeTensorMode():
            module: Any = _fake(self.module, self.dtype if sharded else None)
            upscaler, denoiser = module.upscaler, module.upscaler.denoiser
            for layer in denoiser.modules() if self.device == "cuda" else ():
                if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
                    layer.register_forward_pre_hook(_raised)
            if recomputes:
                recompute_activations(denoiser.unet)
            trained = [p for p in module.parameters() if p.requires_grad]
            for p in trained if accumulates else ():
                p.grad = torch.empty_like(p)
            y, noise, latent, image = self._latents(upscaler)
            sigma = torch.empty(self.clips)
            frames = torch.empty(self.clips, getattr(module, "perceived", None) or 1, dtype=torch.long)
            places = np.zeros((self.clips, 2), int)  # a fake tensor has no numbers to read
            draws = {"sigma": sigma, "evaluation": [number] * self.clips}
            draws |= {"crop": places, "shift": places, "perceived": frames}
            module.drawn = lambda name, *_: draws[name]
            module.log_dict = lambda *_, **__: None
            known = [*weights(_parts(module)), *(p.grad for p in trained if p.grad is not None)]
            with self._recorded([*known, y, noise, latent, image, sigma, frames]) as live:
                hr = (self.clips, self.frames, 3, self.crop, self.crop)
                batch = {"hr": torch.empty(hr)} if hasattr(module, "decode") else {}
                with self._autocast():
                    loss = module.batch_loss(batch, y, noise, Condition(latent, image), latent)["loss"]
                loss.backward()
            return Needs(live.peak - (0 if accumulates else _bytes(trained)), live.flops)

    def encoding(self) -> Needs:
        """Compute the needs of upsampling and encoding a batch, with its videos."""
        with FakeTensorMode(), torch.no_grad():
            upscaler = _fake(self.module).upscaler
            side = self.crop // upscaler.factor
            with self._recorded(weights([upscaler, upscaler.latents])) as live:
                hr = torch.empty(self.clips, self.frames, 3, self.crop, self.crop)
                found = upscaler.condition(torch.empty(self.clips, self.frames, 3, side, side))
                kept = upscaler.latents.target(hr, found.shown), found.condition()
            del kept
            return Needs(live.peak, live.flops)

    def step(self) -> tuple[int, int]:
        """Return the bytes of the optimizer's state, and those that its step needs beside them."""
        if getattr(self.module.optimizer, "keywords", {}).get("bits") == 8:  # no fake tensor runs its tables
            trained = (p for p in self.module.parameters() if p.requires_grad)
            return eight_bit_bytes(p.numel() for p in trained), 0
        with FakeTensorMode():
            trained = [p for p in _fake(self.module).parameters() if p.requires_grad]
            for p in trained:
                p.grad = torch.empty_like(p)
            optimizer = self.module.optimizer(trained)
            with self._recorded([*trained, *(p.grad for p in trained if p.grad is not None)]) as live:
                optimizer.step()
            state = live.live[0]
            return state, live.peak - state

    @property
    def frozen_bytes(self) -> int:
        """Bytes of the networks that the module does not register: VAE, CLIP, teacher and those of losses."""
        own = {id(p) for p in self.module.parameters()}
        others = {id(w): w for w in weights(_parts(self.module)) if isinstance(w, nn.Parameter)}
        return _bytes(w for key, w in others.items() if key not in own)

    @property
    def sample_bytes(self) -> dict[str, int]:
        """Bytes of l, y and the image embeddings of one clip in float32."""
        y, _, latent, image = (t[:1] for t in self._latents(self.upscaler, device="meta"))
        return {"condition": latent.nbytes, "target": y.nbytes, "image": image.nbytes}

    def _latents(self, upscaler: TiledUpscaler, device: str = "cpu") -> list[Tensor]:
        """Return y, its noise, l and the image embeddings of a batch."""
        coder = upscaler.latents.autoencoder
        side = self.crop // coder.factor
        latent = (self.clips, self.frames, coder.channels, side, side)
        tile = Tile(slice(0, self.frames), slice(0, side), slice(0, side))
        tokens = len(pictures(tile, upscaler.image_frames, latent[1:4]))
        image = (self.clips, tokens, upscaler.denoiser.embedding_size)
        return [torch.empty(shape, device=device) for shape in (latent, latent, latent, image)]

    @contextmanager
    def _recorded(self, known: Iterable[Tensor]) -> Iterator["_Recorder"]:
        with _Recorder(known, self.device) as live, live.running(0):
            yield live

    def _autocast(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast("cpu", self.dtype)


class _Recorder(LiveBytes):
    """Recorder of bytes and FLOPs; autograd has resolved composite operations already."""

    flops = 0

    @override
    def _run(self, func: Any, packet: Any, args: Any, options: Any) -> Any:
        result = func(*args, **options)
        if packet in _ATTENTION:
            self.flops += _ATTENTION[packet](*args, **options)
        elif formula := flop_registry.get(packet):
            self.flops += formula(*args, **options, out_val=result)
        return result


def autocast_dtype(precision: str) -> torch.dtype:
    """Return the dtype that Lightning's ``precision`` computes in; float32 where it has no autocast."""
    return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision, torch.float32)


def _raised(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    """Raise the input of a normalisation layer to float32, as CUDA's autocast does and a CPU's does not."""
    return (args[0].float(),) if torch.is_autocast_enabled("cpu") else args


def _parts(module: Any) -> list[object]:
    """Return the objects that hold the networks of a training module, frozen ones included."""
    of_stage_3 = (getattr(module, name, None) for name in ("pixel_losses", "teacher"))
    return [module, module.upscaler, module.upscaler.latents, *filter(None, of_stage_3)]


def _fake(module: VSRModule, dtype: torch.dtype | None = None) -> VSRModule:
    """Copy ``module`` with fake weights, those of the U-Net in ``dtype``; call it in a FakeTensorMode."""
    lowered = {id(p) for p in module.denoiser.unet.parameters()} if dtype else set()
    copies: dict[int, Tensor] = {}
    for tensor in weights(_parts(module)):
        empty = torch.empty(tensor.shape, dtype=dtype if id(tensor) in lowered else tensor.dtype)
        is_parameter = isinstance(tensor, nn.Parameter)
        copies[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
    return copy.deepcopy(module, copies)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
