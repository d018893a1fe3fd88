"""Checkpoint files that are written whole or not at all."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from typing_extensions import override

from dcvsr.runtime.files import whole_file


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, beside which nothing is copied: a full disk leaves the file before.

    Lightning's own writes into the system's temporary folder and copies from there, so that a disk that fills
    up leaves half a checkpoint in place of the last whole one.

    ``finish`` is called once, after the next file is written.

    Args:
        background: copy a checkpoint to the CPU's memory and write it in a thread. The next one and the end
            of the training wait for it, and raise its errors.
    """

    def __init__(self, background: bool = False) -> None:
        super().__init__()
        self.background = background
        self.finish: Callable[[], None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint, or begin to.

        Raises:
            UserError: if it, or the one before, cannot be written.
        """
        self.wait()
        finish, self.finish = self.finish, None
        if not self.background:
            _write(checkpoint, Path(path), finish)
            return
        self._pool = self._pool or ThreadPoolExecutor(1, "checkpoint")
        snapshot = apply_to_collection(checkpoint, Tensor, _copied)
        self._pending = self._pool.submit(_write, snapshot, Path(path), finish)

    @override
    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint after the one that is being written is on the disk."""
        self.wait()
        return super().load_checkpoint(path, *args, **kwargs)

    @override
    def teardown(self) -> None:
        """Wait for the checkpoint that is being written."""
        self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            UserError: if it cannot be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


def keep_as(file: Path, name: Path) -> None:
    """Give ``file`` another name, which keeps its content when ``file`` is replaced.

    A copy is made only on file systems without hard links.
    """
    partial = name.with_name(f"{name.name}.part")
    partial.unlink(missing_ok=True)
    try:
        os.link(file, partial)
    except OSError:
        shutil.copyfile(file, partial)
    partial.replace(name)


def _write(checkpoint: dict[str, Any], path: Path, finish: Callable[[], None] | None) -> None:
    way_out = "free disk space, and go on with resume= and the checkpoint before, if there is one"
    with whole_file(path, way_out) as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())  # else a crash of the machine may leave the new name with no content
    if finish is not None:
        finish()


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
