"""Reader of videos as a stream: one frame at a time, in memory that does not grow with length.

Axes: c channels (RGB), h height, w width.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dcvsr.runtime.errors import UserError
from dcvsr.video.colour_warnings import check_hdr
from dcvsr.video.container import open_video
from dcvsr.video.decoder import Decoder
from dcvsr.video.frame_folder import FolderFrames
from dcvsr.video.memory import Metadata
from dcvsr.video.part import Part
from dcvsr.video.picture import Alpha, require_alpha


class Reader:
    """Frames of an open video, ``c h w`` on the CPU, read once and in order; c is ``channels``.

    Attributes:
        path: the whole video.
        length: number of frames by the header, which may be wrong.
        shape: height and width.
        whole: those of the whole picture.
        rate: average frames per second.
        channels: 4 if alpha is read beside RGB, else 3.
        bits: bits per sample.
        dtype: uint16 if ``bits`` is above 8, else uint8.
        metadata: all that an output keeps; set when the last frame has been read.

    Args:
        source: the whole video.
        part: the part to read. Frames before it are decoded and dropped, and one after it is decoded for its
            time.

    Raises:
        UserError: if the region of ``part`` is not inside the picture.
    """

    metadata: Metadata

    def __init__(self, source: Decoder | FolderFrames, part: Part) -> None:
        self.path, self._source, self._part, self.rate = source.path, source, part, source.rate
        self._stop = part.stop(source.rate)
        ends = source.length if self._stop is None else min(source.length, self._stop)
        self.length = max(1, ends - part.start)
        self.whole, self.shape = source.shape, part.size(source.path, *source.shape)
        self.channels, self.bits = source.channels, source.bits
        self.dtype = torch.uint16 if source.bits > 8 else torch.uint8

    def __iter__(self) -> Iterator[Tensor]:
        """Read the frames.

        Raises:
            UserError: if the file or a frame is damaged, frame sizes differ, or the part begins after the
                last frame.
        """
        part, count, is_end = self._part, 0, True
        for read in self._source:
            if count == self._stop:
                is_end = False
                break
            count += 1
            if count > part.start:
                yield part.cropped(read())
        if count <= part.start:
            raise UserError(f"start={part.start} is beyond the end of {self.path}, which has {count} frames")
        self.metadata = part.metadata(self._source.metadata(), count, is_end)


@contextmanager
def open_frames(
    path: str | Path,
    rate: Fraction | float | str | None = None,
    part: Part | None = None,
    alpha: Alpha = "refuse",
    deinterlace: Literal["none", "bwdif"] = "none",
    on_damage: str = "error",
    deep: bool = False,
    hdr: Literal["keep", "refuse"] = "keep",
) -> Iterator[Reader]:
    """Open a video file or a folder of frames for reading.

    Args:
        path: the file or folder.
        rate: frames per second of a folder, such as 24, 23.976 or ``"30000/1001"``; None for 25. Files have
            their own.
        part: the part to read; None for all.
        alpha: treatment of transparent pixels; ``bicubic`` reads alpha as a fourth channel.
        deinterlace: filter for interlaced video files.
        on_damage: frames of a file that do not decode are an ``error``, ``repeat`` the frame before, or
            ``drop`` out. The last two warn.
        deep: True to read samples of more than 8 bits as uint16, False to round them to uint8.
        hdr: treatment of video in PQ or HLG.

    Raises:
        UserError: if ``alpha``, ``deinterlace`` or ``hdr`` is none of its values, or ``hdr`` refuses the
            video; if the path is missing, empty or not a video, or its first frame cannot be read; if
            ``rate`` is not a number above 0, or given for a file; if the region of ``part`` is not inside the
            picture.
    """
    path, part = Path(path), part or Part()
    require_alpha(alpha)
    if deinterlace not in ("none", "bwdif"):
        raise UserError(f"deinterlace={deinterlace} is not a deinterlacing filter; choose none or bwdif")
    if not os.path.exists(path):  # unlike path.exists(), never raises
        raise UserError(f"{path} does not exist; pass a video file or a folder of frames")
    if path.is_dir():
        exact = _exact(25 if rate is None else rate)
        if exact <= 0:
            raise UserError(f"the frame rate of {path} must be above 0, got {rate}")
        if deinterlace != "none":
            raise UserError(f"{path} is a folder of frames; deinterlace={deinterlace} is for video files")
        yield Reader(FolderFrames(path, exact, alpha, deep), part)
        return
    if rate is not None:
        raise UserError(f"{path} has its own frame rate; leave {rate} out, a rate is for folders of frames")
    with open_video(path) as container:
        decoder = Decoder(path, container, alpha, deinterlace == "bwdif", on_damage, deep)
        check_hdr(path, decoder.colour, hdr)
        yield Reader(decoder, part)


def _exact(rate: Fraction | float | str) -> Fraction:
    """Return a frame rate as it is written: 23.976 is 2997/125.

    Raises:
        UserError: if it is not a number.
    """
    try:
        return Fraction(str(rate))
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"frame rate {rate} is not a number: pass such as 24 or 30000/1001") from error
