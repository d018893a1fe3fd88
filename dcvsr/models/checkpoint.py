"""Checkpoints: search, reading and loading into a denoiser.

A checkpoint is Lightning's file with two entries of ours: ``dcvsr`` describes the training as plain values,
and ``ema`` holds the averaged weights, if the run kept an average. A shipped model is a file of weights only.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from dcvsr.diffusion.sampler import Sampler
from dcvsr.models.denoiser import Denoiser
from dcvsr.models.diffusers_unet import DiffusersUNet
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.provenance import file_record
from dcvsr.weights.unet_folder import CONFIG
from dcvsr.weights.unets import names_unet, unet_files

log = logging.getLogger(__name__)

PREFIX = "denoiser."
"""Prefix of the denoiser in the training module's state."""

SHIPPED = Path(__file__).parent
"""Folder of the shipped models, ``<scale>.safetensors``."""


@dataclass(frozen=True)
class Checkpoint:
    """Contents of an opened checkpoint.

    Attributes:
        sampler: the sampler that stage 3 trained for, else None.
        losses: terms of the loss of stage 3, some of which are metrics too.
        seed: seed of the training; None if the file does not tell.
    """

    path: Path
    scale: str
    stage: int
    step: int
    weights: dict[str, torch.Tensor]
    sampler: Sampler | None = None
    losses: tuple[str, ...] = ()
    seed: int | None = None

    def __str__(self) -> str:
        return f"{self.path} (scale={self.scale}, stage {self.stage}, step {self.step})"

    def record(self) -> dict[str, Any]:
        """Return file, hash, stage, step and losses for a run's JSON."""
        losses = {"losses": [*self.losses]} if self.losses else {}
        return file_record(self.path, self.stage, self.step) | losses

    def fits(self, denoiser: Denoiser) -> bool:
        """Return True if names and shapes of the weights match those of ``denoiser``."""
        shapes, needed = (
            {name: tensor.shape for name, tensor in weights.items()}
            for weights in (self.weights, denoiser.state_dict())
        )
        return shapes == needed

    def load(self, denoiser: Denoiser) -> None:
        """Load every tensor of ``denoiser``.

        Raises:
            UserError: if the checkpoint was made with another model configuration.
        """
        try:
            denoiser.load_state_dict(self.weights, assign=any(p.is_meta for p in denoiser.parameters()))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f"{self.path} holds another model than model=... describes: {reason}") from error


def open_checkpoint(path: str | Path, scale: str | None = None) -> Checkpoint:
    """Open a checkpoint without executing its content; averaged weights are preferred.

    Args:
        path: the file.
        scale: the scale that the checkpoint must have; None accepts any.

    Raises:
        UserError: if the file is missing, is not a dcvsr checkpoint, or belongs to another scale.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no checkpoint at {path}; name a file, such as outputs/train/.../checkpoints/last.ckpt, "
            "a folder or OWNER/NAME of a U-Net, or shipped, newest or required"
        )
    if path.suffix == ".safetensors" and (path.parent / CONFIG).is_file():
        raise UserError(f"{path} belongs to a U-Net in diffusers' layout; give its folder: {path.parent}")
    try:
        found = _of_the_package(path) if path.suffix == ".safetensors" else _of_a_run(path)
    except Exception as error:  # torch.load raises many types
        raise UserError(f"{path} is not a dcvsr checkpoint ({type(error).__name__})") from error
    if scale not in (None, found.scale):
        raise UserError(f"{path} has scale={found.scale} and this run scale={scale}; change one of them")
    return found


def _of_a_run(path: Path) -> Checkpoint:
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    about, state = content["dcvsr"], content["state_dict"]
    if "ema" in content:
        weights = content["ema"]["weights"]
    else:
        weights = {name.removeprefix(PREFIX): state[name] for name in state if name.startswith(PREFIX)}
    return _checkpoint(path, about, content["global_step"], weights)


def _of_the_package(path: Path) -> Checkpoint:
    """Read a shipped model, stored in half precision, as float32."""
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    stage3 = {name: json.loads(about[name]) for name in ("sampler", "losses") if name in about}
    return _checkpoint(path, about | stage3, int(about["step"]), weights)


def _checkpoint(path: Path, about: dict[str, Any], step: int, weights: dict[str, torch.Tensor]) -> Checkpoint:
    sampler = Sampler(**about["sampler"]) if "sampler" in about else None
    losses = tuple(term for term, weight in about.get("losses", {}).items() if weight > 0)
    stage, seed = int(about["stage"]), about.get("seed")
    return Checkpoint(path, about["scale"], stage, step, weights, sampler, losses, seed)


def require_resumable(
    resume: str | None, scale: str, stage: int, steps: int, sampler: Sampler, seed: int
) -> None:
    """Raise UserError unless ``resume`` is None or a run of ``scale`` and ``stage`` can resume from it.

    Args:
        resume: a checkpoint of a run.
        scale: scale of the run that resumes.
        stage: its training stage.
        steps: optimizer steps that the run takes, those of the checkpoint included.
        sampler: its sampler, which must be the checkpoint's if that was trained for one.
        seed: its seed; another one would draw other crops and noise than those that are left.
    """
    if resume is None:
        return
    found = open_checkpoint(resume, scale)
    if found.path.suffix == ".safetensors":
        raise UserError(
            f"{found} holds only weights and cannot be resumed; start from them with ckpt={resume}"
        )
    if found.stage != stage:
        raise UserError(
            f"{found} belongs to another stage than {stage}; start from its weights with ckpt={resume}"
        )
    if found.sampler and (mismatch := sampler.mismatch(found.sampler)):
        raise UserError(f"{found} {mismatch}, or start from its weights with ckpt={resume}")
    if found.seed not in (None, seed):
        raise UserError(
            f"{found} was trained with seed={found.seed}, this run has seed={seed}: add seed={found.seed}, "
            f"or start from its weights with ckpt={resume}"
        )
    if found.step >= steps:
        raise UserError(f"{found}: all {steps} steps are done; raise trainer.max_steps")


def newest_checkpoint(runs: str | Path, scale: str, stages: Sequence[int]) -> Checkpoint | None:
    """Return the newest checkpoint of ``scale`` under ``runs``, of the first of ``stages`` that has one."""
    files = sorted(
        Path(runs).rglob("checkpoints/last.ckpt"), key=lambda file: file.stat().st_mtime, reverse=True
    )
    for stage in stages:
        for file in files:
            try:
                checkpoint = open_checkpoint(file, scale)
            except UserError:  # another scale, or truncated by a kill
                continue
            if checkpoint.stage == stage:
                return checkpoint
    return None


def shipped(scale: str) -> Checkpoint:
    """Return the shipped model of ``scale``.

    Raises:
        UserError: if there is none.
    """
    path = SHIPPED / f"{scale}.safetensors"
    if not path.is_file():
        raise UserError(
            f"dcvsr ships no model of scale={scale}; give one with ckpt=FILE, or use the newest run's: "
            "ckpt=required"
        )
    return open_checkpoint(path, scale)


def restored(denoiser: Denoiser, ckpt: str | None, runs: str, scale: str, stages: Sequence[int]) -> Denoiser:
    """Load trained weights into ``denoiser`` and record their origin in it.

    Args:
        denoiser: the denoiser to fill.
        ckpt: a file; a folder or hub id of a U-Net (`dcvsr.weights.unets`); ``shipped`` for the shipped
            model; ``required`` for the newest checkpoint under ``runs`` of the first of ``stages`` that has
            one, else the shipped model if it fits the configuration; ``newest`` for the same with a warning
            instead of an error; None for initial weights.
        runs: folder of runs.
        scale: scale of the checkpoint.
        stages: training stages in order of preference.

    Raises:
        UserError: if there is no such checkpoint.
    """
    if ckpt is None:
        return denoiser
    if ckpt == "shipped":
        checkpoint = shipped(scale)
    elif ckpt in ("newest", "required"):
        checkpoint = newest_checkpoint(runs, scale, stages) or _shipped_for(denoiser, scale)
    elif names_unet(ckpt):
        checkpoint = DiffusersUNet(unet_files(ckpt))
    else:
        checkpoint = open_checkpoint(ckpt, scale)
    if checkpoint is not None:
        checkpoint.load(denoiser)
        denoiser.origin = checkpoint
        return denoiser
    command = f"python -m dcvsr.train +experiment=stage{stages[-1]} scale={scale}"
    missing = f"no stage-{' or -'.join(map(str, stages))} checkpoint of scale={scale} under {runs}"
    if ckpt == "required":
        raise UserError(f"{missing}: train one with `{command}`, or give one with ckpt=FILE")
    log.warning(f"{missing}; `{command}` trains one; starting from initial weights")
    return denoiser


def _shipped_for(denoiser: Denoiser, scale: str) -> Checkpoint | None:
    """Return the shipped model if there is one and it fits the configuration."""
    try:
        model = shipped(scale)
    except UserError:
        return None
    return model if model.fits(denoiser) else None
