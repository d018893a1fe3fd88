"""Runs to resume: the newest checkpoint of one, what it started from, and its run in wandb."""

import secrets
from pathlib import Path

from omegaconf import OmegaConf

from dcvsr.models.checkpoint import Checkpoint, newest_checkpoint, open_checkpoint
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import write_whole
from dcvsr.training.checkpoints import LAST

WANDB_ID = "wandb_id.txt"


def newest_to_resume(folder: Path, runs: str | None, scale: str, stage: int) -> Checkpoint | None:
    """Return the newest whole checkpoint of the run in ``folder``, else of the newest run.

    Checkpoints that are not whole are passed over.

    Args:
        folder: folder of the run that starts.
        runs: folder of all runs; None to look in ``folder`` only.
        scale: scale of the run.
        stage: its training stage.
    """
    files = (folder / "checkpoints").glob("*.ckpt")
    for file in sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name == LAST), reverse=True):
        try:
            return open_checkpoint(file, scale)
        except UserError:
            continue
    return None if runs is None else newest_checkpoint(runs, scale, [stage])


def run_folder(ckpt: Path) -> Path:
    """Return the folder of the run that left a checkpoint."""
    return ckpt.resolve().parent.parent


def start_of(ckpt: Path) -> str | None:
    """Return the weights that the run of a checkpoint started from; None if its folder does not tell."""
    config = run_folder(ckpt) / "config.yaml"
    return OmegaConf.select(OmegaConf.load(config), "start") if config.is_file() else None


def start_file(ckpt: Path) -> str:
    """Return the file that the run of a checkpoint started from.

    Raises:
        UserError: if it is not known, or holds other weights by now.
    """
    start = str(start_of(ckpt))
    file = start.rpartition(" (scale=")[0]
    if not file or not Path(file).is_file() or str(open_checkpoint(file)) != start:
        raise UserError(
            "a resumed run with a teacher needs the weights that it started from: add ckpt=FILE, "
            f"'start' in {run_folder(ckpt) / 'config.yaml'}"
        )
    return file


def wandb_id(resume: str | None, folder: Path) -> str:
    """Return the id of the run in wandb: that of the run to resume, or a new one; keep it in ``folder``.

    Args:
        resume: the checkpoint to resume from.
        folder: folder of the run's checkpoints.
    """
    kept = Path(resume).parent / WANDB_ID if resume else None
    name = kept.read_text().strip() if kept is not None and kept.is_file() else secrets.token_hex(4)
    write_whole(folder / WANDB_ID, name + "\n")
    return name
