"""Folder of an unfinished job beside its output, ``OUTPUT.part``: all that a resumed job needs.

- ``job.json``: what the result depends on.
- ``lr``, and ``hr`` or ``hr16``: frames of the input and of the result, with checksums; 8 or 16 bits.
- ``l``, ``x0``, ..., ``sums``: stores of the shot in progress; see `dcvsr.models.upscaling_job`.
- ``position.safetensors``: shot and position, and the keys and values that the next window receives.
- ``output``: the video that is being written.
- ``delivered``: exists from just before the output is moved to its place until the folder is deleted.
- ``lock``: locked by the process at work.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dcvsr.runtime.errors import GOES_ON, UserError
from dcvsr.runtime.files import read_json, write_whole
from dcvsr.runtime.frame_stores import FramesInFile
from dcvsr.runtime.locks import lock
from dcvsr.runtime.provenance import write_json
from dcvsr.runtime.workspace import Position, Workspace


class JobFolder:
    """Folder of one job; use it inside ``locked``.

    Attributes:
        path: the folder.
        is_resumed: True if it holds the beginning of this job; set by ``claim``.
    """

    def __init__(self, output: Path) -> None:
        # Beside the file that a symbolic link points to: a file cannot be moved to another disk at once.
        self._output = output.resolve() if output.is_symlink() else output
        self.path = self._output.with_name(output.name + ".part")
        self._finished = self.path / "output" / output.name
        self.is_resumed = False

    @property
    def unfinished(self) -> Path:
        """Folder for the output while it is written."""
        return self._finished.parent

    @property
    def is_begun(self) -> bool:
        """True if there is something to go on from."""
        return (self.path / _POSITION).exists()

    @property
    def is_delivered(self) -> bool:
        """True if a folder of PNGs is in its place, and the process was ended before it deleted this one.

        A video file is written anew then, because another ``crf`` may be wanted.
        """
        return (self.path / _DELIVERED).exists() and self._output.is_dir() and not self._finished.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder, and keep other processes out of it while the block runs.

        Raises:
            UserError: if the folder cannot be written, or another process works in it.
        """
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "lock").exists():
            raise UserError(f"{self.path} is not the folder of a job; move it, or name another output=")
        try:
            self.path.mkdir(exist_ok=True)
            handle = (self.path / "lock").open("w")
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}; name another output=") from error
        with handle:
            lock(handle, f"another process works in {self.path}; wait for it, or name another output=")
            try:
                self._tidy()
                yield
            except BaseException:
                if not self.is_begun:
                    self.remove()
                raise

    def _tidy(self) -> None:
        """Delete what a killed process was writing."""
        try:
            for left in self.path.glob("*.part"):
                left.unlink()
            if not self.is_delivered:
                (self.path / _DELIVERED).unlink(missing_ok=True)
            if self.unfinished.exists():
                shutil.rmtree(self.unfinished)
            self.unfinished.mkdir()
        except OSError as error:
            raise UserError(f"cannot write {self.unfinished}: {error.strerror}; {GOES_ON}") from error

    def claim(self, job: Mapping[str, Any]) -> None:
        """Begin a job, or go on with it if the folder holds its beginning.

        Args:
            job: plain values that the result depends on.

        Raises:
            UserError: if the folder holds another job; the message names the first difference.
        """
        file = self.path / "job.json"
        wanted = json.loads(json.dumps(job))
        if not self.is_begun:
            write_json(file, wanted)
            return
        try:
            before, now = _leaves(read_json(file)), _leaves(wanted)
        except UserError as error:
            raise UserError(f"{error}; delete the folder {self.path} to start anew") from error
        for key in sorted({*before, *now}, key=lambda key: (key.count("."), key)):  # what users set is short
            if before.get(key) != now.get(key):
                raise UserError(
                    f"{self.path} holds an unfinished job with {key}={before.get(key)}, now it is "
                    f"{now.get(key)}; give the former, or delete the folder to start anew"
                )
        self.is_resumed = True

    def frames(self, name: str, shape: Sequence[int], dtype: torch.dtype, count: int = 0) -> FramesInFile:
        """Return the store of frames ``name``."""
        return FramesInFile(self.path / name, shape, dtype, count)

    def shot(self, number: int) -> "ShotFolder":
        """Return the workspace of a shot."""
        return ShotFolder(self.path, number)

    @property
    def shots_done(self) -> int:
        """Number of shots whose HR frames are all stored."""
        return _saved(self.path)[0]

    def deliver(self, keep: bool) -> None:
        """Move the finished output to its place, and delete the folder unless ``keep``.

        Raises:
            UserError: if it cannot be moved.
        """
        try:
            if not keep:
                (self.path / _DELIVERED).touch()
            os.replace(self._finished, self._output)
        except OSError as error:
            raise UserError(f"cannot write {self._output}: {error.strerror}; {GOES_ON}") from error
        if not keep:
            self.remove()

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path)


class ShotFolder(Workspace):
    """Workspace of one shot in the folder of its job.

    Args:
        folder: the job's folder.
        number: number of the shot.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number

    def store(self, name: str, shape: Sequence[int], count: int) -> FramesInFile:
        """Return the store ``name``, with disk space for ``count`` frames."""
        return FramesInFile(self._folder / name, shape, torch.float32, count)

    def load(self) -> tuple[Position, dict[str, Tensor]]:
        """Return what was saved last of this shot; the beginning if nothing was."""
        shot, position, carried = _saved(self._folder)
        return (position, carried) if shot == self._number else (Position(), {})

    def save(self, position: Position, carried: Mapping[str, Tensor]) -> None:
        """Write the position, whole or not at all."""
        self._write(self._number, position, carried)

    def finish(self) -> None:
        """Write that the shot is done."""
        self._write(self._number + 1, Position(), {})

    def _write(self, shot: int, position: Position, carried: Mapping[str, Tensor]) -> None:
        about = {"shot": shot, **position._asdict()}
        tensors = {name: tensor.contiguous().cpu() for name, tensor in carried.items()}
        write_whole(self._folder / _POSITION, save(tensors, {"position": json.dumps(about)}), GOES_ON)


_POSITION, _DELIVERED = "position.safetensors", "delivered"


def _saved(folder: Path) -> tuple[int, Position, dict[str, Tensor]]:
    """Return the shot, position and tensors of the last save; without a file, the beginning.

    Raises:
        UserError: if the file is damaged.
    """
    file = folder / _POSITION
    if not file.exists():
        return 0, Position(), {}
    try:
        with safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["position"])
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
        return about.pop("shot"), Position(**about), tensors
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged; delete the folder {folder} to start anew") from error


def _leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for key, part in value.items():
        leaves |= _leaves(part, f"{prefix}.{key}" if prefix else str(key))
    return leaves
