"""Stores of frames, in memory or in a file: what a video of any length is kept in while it is upscaled.

Frames of a store have one shape and dtype. Each carries a tag, a number that tells what round wrote it.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dcvsr.runtime.errors import GOES_ON, UserError

_HEADER = struct.Struct("<QI4x")  # tag, CRC-32 of tag and content


class FrameStore(Protocol):
    """Frames by number."""

    def write(self, start: int, frames: Tensor, tag: int = 0) -> None:
        """Store ``frames``, ``f ...``, from number ``start`` on."""
        ...

    def read(self, frames: range, tag: int = 0) -> Tensor:
        """Return frames ``f ...`` on the CPU, as they were stored with ``tag``."""
        ...


class FramesInMemory(FrameStore):
    """Store in memory."""

    def __init__(self) -> None:
        self._frames: dict[int, tuple[int, Tensor]] = {}

    def write(self, start: int, frames: Tensor, tag: int = 0) -> None:
        """Store copies of frames."""
        for number, frame in enumerate(frames.detach().to("cpu", copy=True), start):
            self._frames[number] = tag, frame

    def read(self, frames: range, tag: int = 0) -> Tensor:
        """Return a copy of frames."""
        stored = [self._frames[number] for number in frames]
        assert all(found == tag for found, _ in stored)
        return torch.stack([frame for _, frame in stored])

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()


class FramesInFile(FrameStore):
    """Store in a file of records of one size, each with a checksum.

    Args:
        path: the file; one that exists is used on.
        shape: shape of a frame.
        dtype: type of its values.
        count: number of frames that disk space is reserved for; 0 if it is not known.

    Raises:
        UserError: if the file cannot be created or the disk is full.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: torch.dtype, count: int = 0) -> None:
        self.path, self._shape, self._dtype = path, tuple(shape), dtype
        self._size = torch.Size(shape).numel() * dtype.itemsize
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            if count and hasattr(os, "posix_fallocate"):  # macOS lacks it
                os.posix_fallocate(self._file, 0, count * self._record)
        except OSError as error:
            raise self._refused(error) from error

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    @property
    def _record(self) -> int:
        return _HEADER.size + self._size

    def write(self, start: int, frames: Tensor, tag: int = 0) -> None:
        """Store frames.

        Raises:
            UserError: if the file cannot be written.
        """
        for number, frame in enumerate(frames.detach().to(self._dtype).cpu(), start):
            content = frame.contiguous().view(torch.uint8).numpy().data.cast("B")
            header = _HEADER.pack(tag, _checksum(tag, content))
            try:
                written = os.pwritev(self._file, [header, content], number * self._record)
                if written < self._record:  # a full disk; writing the rest says so
                    os.pwrite(self._file, bytes(self._record - written), number * self._record + written)
            except OSError as error:
                raise self._refused(error) from error

    def read(self, frames: range, tag: int = 0) -> Tensor:
        """Return frames.

        Raises:
            UserError: if a frame was not stored with ``tag``, or is damaged.
        """
        found = torch.empty(len(frames), *self._shape, dtype=self._dtype)
        for number, frame in zip(frames, found, strict=True):
            header, content = bytearray(_HEADER.size), frame.view(torch.uint8).numpy().data.cast("B")
            try:
                size = os.preadv(self._file, [header, content], number * self._record)
            except OSError as error:
                raise self._refused(error) from error
            if size < self._record or _HEADER.unpack(header) != (tag, _checksum(tag, content)):
                raise UserError(
                    f"{self.path} is damaged at frame {number}; delete the folder {self.path.parent} to "
                    "start anew"
                )
        return found

    def _refused(self, error: OSError) -> UserError:
        return UserError(f"cannot keep frames in {self.path}: {error.strerror}; {GOES_ON}")


def _checksum(tag: int, content: memoryview) -> int:
    return zlib.crc32(content, zlib.crc32(struct.pack("<Q", tag)))
