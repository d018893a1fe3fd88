"""Eight bits, as files hold a picture, and [0, 1], as all computation does."""

import torch
from torch import Tensor


def to_unit(frames: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return frames.float() / 255


def to_bytes(frames: Tensor) -> Tensor:
    """[0, 1] to uint8, rounded; what lies outside is clamped."""
    return frames.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)
