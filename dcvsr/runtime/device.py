"""Choice of device and precision, and a check of free memory."""

from bisect import bisect_right
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from dcvsr.runtime.errors import UserError


def choose(name: str) -> torch.device:
    """Return the device ``name``; ``auto`` is a GPU if there is one.

    Raises:
        UserError: if the device does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda, but torch finds no GPU; use device=cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"device must be auto, cpu or cuda, got {name}")
    return torch.device(name)


def computes_bfloat16(device: torch.device) -> bool:
    """Return True if ``device`` has instructions for bfloat16.

    A CPU without them emulates it: with AVX2 alone, a convolution takes 40 times as long as in float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(name.endswith("bf16") and has for name, has in torch.cpu.get_capabilities().items())


def settled_precision(name: str, device: torch.device) -> str:
    """Return the precision that ``auto`` stands for on ``device``; any other name is returned unchanged."""
    if name != "auto":
        return name
    return "bfloat16" if computes_bfloat16(device) else "float32"


def trainer_precision(name: str, device: torch.device) -> str:
    """Return Lightning's name of the precision that ``auto`` stands for; other names are unchanged."""
    if name != "auto":
        return name
    return "bf16-mixed" if computes_bfloat16(device) else "32-true"


def precision(name: str) -> torch.dtype:
    """Return the dtype named ``auto``, ``float32``, ``bfloat16`` or ``float16``.

    Raises:
        UserError: if ``name`` is another.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    name = settled_precision(name, choose("auto"))
    if name not in known:
        raise UserError(f"precision must be auto, {', '.join(known)}, got {name}")
    return known[name]


def require_memory(needed: Callable[[int], int], frames: int, device: torch.device) -> None:
    """Refuse a job that needs more memory than is free.

    Args:
        needed: length of a video in frames -> bytes; grows with the length.
        frames: length of the video.
        device: the device that runs the job.

    Raises:
        UserError: if less than that is known to be free on ``device``.
    """
    free = free_memory(device)
    if free is None or needed(frames) <= free:
        return
    fitting = bisect_right(range(1, frames), free, key=needed)
    parts = f"upscale them in parts of at most {fitting} frames" if fitting else "not one frame fits"
    raise UserError(f"{frames} frames of this size need {_too_much(needed(frames), free, device)}: {parts}")


def require_working_memory(needed: int, device: torch.device) -> None:
    """Refuse a job of any length that needs more memory than is free.

    Raises:
        UserError: if less than ``needed`` bytes are known to be free on ``device``.
    """
    free = free_memory(device)
    if free is not None and needed > free:
        way_out = "use smaller tile.frames, or model.latents.autoencoder.tile with scale=svd"
        raise UserError(f"frames of this size need {_too_much(needed, free, device)}: {way_out}")


def _too_much(needed: int, free: int, device: torch.device) -> str:
    return f"about {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free on {device}"


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on ``device``; None if they are not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context that keeps the precision of tensors on ``device``; autocast does not know meta."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
