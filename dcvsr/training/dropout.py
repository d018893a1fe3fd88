"""Conditioning dropout: training steps hide parts of a clip's condition at random (spec A22)."""

from typing import Literal

from torch import Tensor

from dcvsr.runtime.choices import require_choice

DropoutMode = Literal["joint", "triple"]


def dropped_parts(draw: Tensor, rate: float, mode: DropoutMode) -> tuple[Tensor, Tensor]:
    """Choose the clips whose LR latents and those whose image embeddings are dropped.

    ``joint`` drops both with probability ``rate``. ``triple`` drops the embeddings alone, both, or the
    latents alone, each with probability ``rate`` (Brooks et al. 2023, InstructPix2Pix; SVD_Xtend).

    Args:
        draw: uniform on [0, 1), one number for each clip; ``b``.
        rate: probability, as above.
        mode: ``joint`` or ``triple``.

    Returns:
        Latents and embeddings, bool, ``b``.
    """
    if mode == "joint":
        return draw < rate, draw < rate
    return (rate <= draw) & (draw < 3 * rate), draw < 2 * rate


def require_rate(rate: float, mode: DropoutMode) -> None:
    """Raise ValueError unless ``rate`` is a probability, or at most 1/3 where mode has three cases."""
    cases = {"joint": 1, "triple": 3}
    require_choice("dropout_mode", mode, cases)
    if not 0 <= rate * cases[mode] <= 1:
        three = ", 3 of which sum to at most 1" if mode == "triple" else ""
        raise ValueError(f"dropout is a probability{three}, got {rate}")
