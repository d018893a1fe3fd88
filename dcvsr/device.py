"""Where the network runs."""

import torch

from dcvsr.errors import UserError


def choose(name: str) -> torch.device:
    """``auto`` takes a GPU where there is one.

    Raises:
        UserError: if the device that was asked for is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda, but torch sees no GPU here; use device=cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"device must be auto, cpu or cuda, got {name}")
    return torch.device(name)
