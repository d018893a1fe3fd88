"""Reader of videos as a stream: one frame at a time, in memory that does not grow with length.

Axes: c channels (RGB), h height, w width.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.video.decoder import Decoder
from dcvsr.video.frame_folder import FolderFrames
from dcvsr.video.memory import Metadata
from dcvsr.video.tracks import open_video


class Reader:
    """Frames of an open video, uint8 ``c h w`` on the CPU, read once and in order.

    Attributes:
        length: number of frames by the header, which may be wrong.
        shape: height and width.
        rate: average frames per second.
        metadata: all that an output keeps; set when the last frame has been read.
    """

    metadata: Metadata

    def __init__(self, source: Decoder | FolderFrames) -> None:
        self._source = source
        self.length, self.shape, self.rate = source.length, source.shape, source.rate

    def __iter__(self) -> Iterator[Tensor]:
        """Read the frames.

        Raises:
            UserError: if the file or a frame is damaged, or frame sizes differ.
        """
        for read in self._source:
            yield read()
        self.metadata = self._source.metadata()


@contextmanager
def open_frames(path: str | Path, rate: Fraction | float | str | None = None) -> Iterator[Reader]:
    """Open a video file or a folder of frames for reading.

    Args:
        path: the file or folder.
        rate: frames per second of a folder, such as 24, 23.976 or ``"30000/1001"``; None for 25. Files have
            their own.

    Raises:
        UserError: if the path is missing, empty or not a video, or its first frame cannot be read; if
            ``rate`` is not a number above 0, or given for a file.
    """
    path = Path(path)
    if not os.path.exists(path):  # unlike path.exists(), never raises
        raise UserError(f"{path} does not exist; pass a video file or a folder of frames")
    if path.is_dir():
        exact = _exact(25 if rate is None else rate)
        if exact <= 0:
            raise UserError(f"the frame rate of {path} must be above 0, got {rate}")
        yield Reader(FolderFrames(path, exact))
        return
    if rate is not None:
        raise UserError(f"{path} has its own frame rate; leave {rate} out, a rate is for folders of frames")
    with open_video(path) as container:
        yield Reader(Decoder(path, container))


def _exact(rate: Fraction | float | str) -> Fraction:
    """Return a frame rate as it is written: 23.976 is 2997/125.

    Raises:
        UserError: if it is not a number.
    """
    try:
        return Fraction(str(rate))
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"frame rate {rate} is not a number: pass such as 24 or 30000/1001") from error
