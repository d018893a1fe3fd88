"""Checkpoint files that are written whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from typing_extensions import override

from dcvsr.runtime.files import whole_file


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, beside which nothing is copied: a full disk leaves the file before.

    Lightning's own writes into the system's temporary folder and copies from there, so that a disk that fills
    up leaves half a checkpoint in place of the last whole one.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            UserError: if it cannot be written.
        """
        way_out = "free disk space, and go on with resume= and the checkpoint before, if there is one"
        with whole_file(Path(path), way_out) as file:
            torch.save(checkpoint, file)
