"""Trained weights: which run left them, and how they get back into a denoiser.

A checkpoint is Lightning's, with one entry of ours, ``dcvsr``: what was trained, as plain values.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dcvsr.errors import UserError
from dcvsr.models.denoiser import Denoiser

log = logging.getLogger(__name__)

PREFIX = "denoiser."
"""Where a training module keeps the denoiser in its state."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has been opened."""

    path: Path
    scale: str
    stage: int
    step: int
    weights: dict[str, torch.Tensor]

    def __str__(self) -> str:
        return f"{self.path} (scale={self.scale}, stage {self.stage}, step {self.step})"

    def load(self, denoiser: Denoiser) -> None:
        """Put the weights into ``denoiser``, every tensor of it.

        Raises:
            UserError: if the checkpoint was made with another model configuration.
        """
        try:
            denoiser.load_state_dict(self.weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f"{self.path} holds another model than model=... describes: {reason}") from error


def open_checkpoint(path: str | Path, scale: str) -> Checkpoint:
    """Open a checkpoint of ``scale`` without executing anything in it.

    Raises:
        UserError: if the file is missing, is no dcvsr checkpoint, or is one of another scale.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no checkpoint at {path}; name a file, such as outputs/train/.../checkpoints/last.ckpt"
        )
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        about, state = content["dcvsr"], content["state_dict"]
        weights = {name.removeprefix(PREFIX): state[name] for name in state if name.startswith(PREFIX)}
        found = Checkpoint(path, about["scale"], about["stage"], content["global_step"], weights)
    except Exception as error:  # torch.load says 'not a checkpoint' with many types
        raise UserError(f"{path} is no dcvsr checkpoint ({type(error).__name__})") from error
    if found.scale != scale:
        raise UserError(f"{path} is of scale={found.scale}, this run is of scale={scale}; set one of them")
    return found


def require_resumable(resume: str | None, scale: str, stage: int) -> None:
    """Raise UserError unless a run of ``scale`` and ``stage`` can go on from ``resume``, or it is None."""
    if resume is not None and (found := open_checkpoint(resume, scale)).stage != stage:
        raise UserError(
            f"{found} is of another stage than {stage}; start from its weights with ckpt={resume}"
        )


def newest_checkpoint(runs: str | Path, scale: str, stages: Sequence[int]) -> Checkpoint | None:
    """The newest checkpoint of ``scale`` under ``runs``, of the first of ``stages`` that has any."""
    files = sorted(
        Path(runs).rglob("checkpoints/last.ckpt"), key=lambda file: file.stat().st_mtime, reverse=True
    )
    for stage in stages:
        for file in files:
            try:
                checkpoint = open_checkpoint(file, scale)
            except UserError:  # of another scale, or cut off by a kill: no candidate
                continue
            if checkpoint.stage == stage:
                return checkpoint
    return None


def restored(denoiser: Denoiser, ckpt: str | None, runs: str, scale: str, stages: Sequence[int]) -> Denoiser:
    """Put trained weights into ``denoiser`` and note in it where they came from.

    Args:
        ckpt: a file; ``required``, the newest checkpoint under ``runs``, of the first of ``stages`` that has
            one; ``newest``, the same, but a warning where there is none; None, the model's initial weights.

    Raises:
        UserError: if the checkpoint that was asked for cannot be had.
    """
    if ckpt is None:
        return denoiser
    if ckpt in ("newest", "required"):
        checkpoint = newest_checkpoint(runs, scale, stages)
    else:
        checkpoint = open_checkpoint(ckpt, scale)
    if checkpoint is not None:
        checkpoint.load(denoiser)
        denoiser.origin = checkpoint
        return denoiser
    command = f"python -m dcvsr.train +experiment=stage{stages[-1]} scale={scale}"
    missing = f"no stage-{' or -'.join(map(str, stages))} checkpoint of scale={scale} under {runs}"
    if ckpt == "required":
        raise UserError(f"{missing}: make one with `{command}`, or name one with ckpt=FILE")
    log.warning(f"{missing}; `{command}` would make one; starting from the model's initial weights")
    return denoiser
