"""No-reference image quality of frames: NIQE and MUSIQ, averaged over frames."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from dcvsr.imaging import limited_range_luma
from dcvsr.metrics.framewise import Framewise
from dcvsr.runtime import basicsr
from dcvsr.runtime.errors import UserError
from dcvsr.weights.registry import locate
from dcvsr.weights.state_dicts import fill

BLOCK = 96  # side of NIQE's blocks in pixels


class Unreferenced(Framewise):
    """Mean of `score` over all frames since ``reset`` whose score is not NaN; NaN if there are none."""

    needs_reference = False

    @torch.no_grad()
    def update(self, restored: Tensor, reference: Tensor | None) -> None:
        """Score the frames of a clip, ``f c h w`` in [0, 1]; ``reference`` is ignored.

        Raises:
            UserError: if the frames are too small to score.
        """
        super().update(restored, restored)

    def compute(self) -> Tensor:
        """Compute the mean over frames, a scalar."""
        return dim_zero_cat(self.scores).nanmean()


class NIQE(Unreferenced):
    """Natural image quality evaluator (Mittal et al. 2013) with basicsr's parameters; in numpy, on the CPU.

    Follows basicsr: `luma` in float32, nothing cropped. baboon.png then scores 5.7296, as in the authors'
    MATLAB code. The official values that pyiqa cites use gray, .299 R + .587 G + .114 B, rounded, in float64;
    on sharp images the same function reproduces them. A frame with fewer than two textured blocks scores NaN.

    Raises:
        UserError: if basicsr is not installed.
    """

    higher_is_better = False
    smallest = BLOCK

    def __init__(self) -> None:
        super().__init__()
        self._niqe = basicsr.module("metrics.niqe")
        with np.load(Path(self._niqe.__file__).with_name("niqe_pris_params.npz")) as stored:
            self._pristine = [stored[name] for name in ("mu_pris_param", "cov_pris_param", "gaussian_window")]

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the NIQE of a frame, NaN without enough texture.

        Raises:
            UserError: if the frame has fewer than two blocks.
        """
        height, width = restored.shape[-2:]
        if (height // BLOCK) * (width // BLOCK) < 2:
            raise UserError(
                f"NIQE needs two blocks of {BLOCK}x{BLOCK} pixels, got a frame of {width}x{height}"
            )
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NIQE divides by zero in flat blocks and skips them
            try:
                return restored.new_tensor(self._niqe.niqe(luma(restored), *self._pristine))
            except np.linalg.LinAlgError:
                return restored.new_tensor(torch.nan)


class MUSIQ(Unreferenced):
    """Multi-scale image quality transformer (Ke et al. 2021) by pyiqa, trained on KonIQ-10k: 0 to 100.

    pyiqa has the PolyForm Noncommercial License 1.0.0 and is not installed with dcvsr.

    Args:
        weights: a file, or the name of one that pyiqa publishes.

    Raises:
        UserError: if pyiqa is not installed, or the weights cannot be found or belong to another network.
    """

    higher_is_better = True

    def __init__(self, weights: str) -> None:
        super().__init__()
        try:
            pyiqa: Any = importlib.import_module("pyiqa.archs.musiq_arch")
        except ModuleNotFoundError as error:
            raise UserError(
                f"MUSIQ needs pyiqa ({error}), for noncommercial use (PolyForm-Noncommercial-1.0.0): "
                "pip install --no-deps pyiqa==0.1.16"
            ) from error
        path = locate(weights)
        with torch.random.fork_rng(devices=[]):
            self.network = pyiqa.MUSIQ(pretrained=False)
        fill(self.network, path)
        self.network.eval().requires_grad_(False)

    def score(self, restored: Tensor, reference: Tensor) -> Tensor:
        """Compute the MUSIQ of a frame."""
        return self.network(restored)


def luma(frame: Tensor) -> np.ndarray:
    """Return luma from 16 to 235, rounded, of a frame ``1 3 h w`` in [0, 1]; float32 ``h w``."""
    return limited_range_luma(frame, peak=255)[0, 0].round().float().cpu().numpy()
