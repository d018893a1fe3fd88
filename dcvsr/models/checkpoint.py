"""Trained weights: which run left them, and how they get back into a denoiser.

A checkpoint is Lightning's, with entries of ours: ``dcvsr``, what was trained, as plain values, and ``ema``,
the average of the weights, where the run kept one. A model that comes with the package is its weights alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from dcvsr.models.denoiser import Denoiser
from dcvsr.runtime.errors import UserError

log = logging.getLogger(__name__)

PREFIX = "denoiser."
"""Where a training module keeps the denoiser in its state."""

SHIPPED = Path(__file__).parent
"""Where the package keeps its models, ``<scale>.safetensors``."""


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

    def fits(self, denoiser: Denoiser) -> bool:
        """Whether it holds what ``denoiser`` is made of, name by name and size by size."""
        shapes, needed = (
            {name: tensor.shape for name, tensor in weights.items()}
            for weights in (self.weights, denoiser.state_dict())
        )
        return shapes == needed

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
    """Open a checkpoint of ``scale``, averaged weights where it has them, without executing anything in it.

    Raises:
        UserError: if the file is missing, is no dcvsr checkpoint, or is one of another scale.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no checkpoint at {path}; name a file, such as outputs/train/.../checkpoints/last.ckpt"
        )
    try:
        found = _of_the_package(path) if path.suffix == ".safetensors" else _of_a_run(path)
    except Exception as error:  # torch.load says 'not a checkpoint' with many types
        raise UserError(f"{path} is no dcvsr checkpoint ({type(error).__name__})") from error
    if found.scale != scale:
        raise UserError(f"{path} is of scale={found.scale}, this run is of scale={scale}; set one of them")
    return found


def _of_a_run(path: Path) -> Checkpoint:
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    about, state = content["dcvsr"], content["state_dict"]
    if "ema" in content:
        weights = content["ema"]["weights"]
    else:
        weights = {name.removeprefix(PREFIX): state[name] for name in state if name.startswith(PREFIX)}
    return Checkpoint(path, about["scale"], about["stage"], content["global_step"], weights)


def _of_the_package(path: Path) -> Checkpoint:
    """Stored in half precision, used in single."""
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return Checkpoint(path, about["scale"], int(about["stage"]), int(about["step"]), weights)


def require_resumable(resume: str | None, scale: str, stage: int) -> None:
    """Raise UserError unless a run of ``scale`` and ``stage`` can go on from ``resume``, or it is None."""
    if resume is None:
        return
    found = open_checkpoint(resume, scale)
    if found.path.suffix == ".safetensors":
        raise UserError(f"{found} holds weights alone, no run; start from them with ckpt={resume}")
    if found.stage != stage:
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


def shipped(scale: str) -> Checkpoint:
    """The model of ``scale`` that comes with the package.

    Raises:
        UserError: if none does.
    """
    path = SHIPPED / f"{scale}.safetensors"
    if not path.is_file():
        raise UserError(
            f"no model of scale={scale} comes with dcvsr; name one with ckpt=FILE, or take the newest run's: "
            "ckpt=required"
        )
    return open_checkpoint(path, scale)


def restored(denoiser: Denoiser, ckpt: str | None, runs: str, scale: str, stages: Sequence[int]) -> Denoiser:
    """Put trained weights into ``denoiser`` and note in it where they came from.

    Args:
        ckpt: a file; ``shipped``, the package's model; ``required``, the newest checkpoint under ``runs``, of
            the first of ``stages`` that has one, else the package's model where it is of this configuration;
            ``newest``, the same, but a warning where there is none; None, the model's initial weights.

    Raises:
        UserError: if the checkpoint that was asked for cannot be had.
    """
    if ckpt is None:
        return denoiser
    if ckpt == "shipped":
        checkpoint = shipped(scale)
    elif ckpt in ("newest", "required"):
        checkpoint = newest_checkpoint(runs, scale, stages) or _shipped_for(denoiser, scale)
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


def _shipped_for(denoiser: Denoiser, scale: str) -> Checkpoint | None:
    """The package's model, unless it has none or model=... describes another."""
    try:
        model = shipped(scale)
    except UserError:
        return None
    return model if model.fits(denoiser) else None
