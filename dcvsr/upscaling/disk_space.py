"""Disk space of a job, held against what is free before the work."""

import logging
from pathlib import Path

from dcvsr.diffusion.protocols import Upscaler
from dcvsr.models.upscaler import TiledUpscaler
from dcvsr.runtime.files import free_space, require_space, size_text
from dcvsr.upscaling.reading import ReadVideo
from dcvsr.upscaling.target_size import TargetSize
from dcvsr.video.coding import Coding
from dcvsr.video.reader import Reader

log = logging.getLogger(__name__)

_BITS = {"x264": 0.3, "x265": 0.2, "av1": 0.2}
"""Bits per pixel at a rate factor of 18; half of them for 6 more. A rough guess: grain takes several times as
many, a screen recording a tenth."""

_LOSSLESS = 0.5
"""Size of PNG and FFV1 relative to the samples; of noise it is 1."""

_PRORES = 4.0
"""Bits per pixel of ProRes 422 HQ."""


def stored(upscaler: Upscaler, video: ReadVideo, bits: int = 8) -> int:
    """Return the bytes of the job's folder, without the output, whose samples have ``bits``."""
    (frames, height, width), (rows, columns), depth = video.shape, video.target.hr, video.metadata.bits
    lr = video.channels * frames * height * width * (2 if depth > 8 else 1)
    hr = 3 * frames * rows * columns * (2 if max(bits, depth) > 8 else 1)
    return lr + hr + (upscaler.stored(*video.longest) if isinstance(upscaler, TiledUpscaler) else 0)


def result_size(frames: int, size: tuple[int, int], coding: Coding, output: Path) -> float:
    """Return a guess of the bytes of a result of ``size``, height and width."""
    pixels = frames * size[0] * size[1]
    if not output.suffix or coding.codec == "ffv1":
        return _LOSSLESS * 3 * pixels * (2 if coding.bits > 8 else 1)
    if coding.codec == "prores":
        return _PRORES * pixels / 8
    return _BITS[coding.codec] * 2 ** ((18 - coding.crf) / 6) * pixels / 8


def warn_by_header(reader: Reader, target: TargetSize, folder: Path) -> None:
    """Warn, before a video is read, if a new job seems not to fit; headers may be wrong."""
    pixels = target.hr[0] * target.hr[1] + reader.shape[0] * reader.shape[1]
    needed = 3 * reader.length * pixels * (2 if reader.bits > 8 else 1)
    if not folder.is_dir() and needed > (free := free_space(folder.parent)):
        need = size_text(needed)
        log.warning(f"{folder.parent} has {size_text(free)} free; {reader.path} takes {need}, by its header")


def require_disk(upscaler: Upscaler, video: ReadVideo, coding: Coding, folder: Path, output: Path) -> None:
    """Check that the disk has room for the stores of a job; warn if the result may not fit beside them.

    Args:
        upscaler: the method.
        video: the video.
        coding: of the output.
        folder: the job's folder, which may hold some of its stores.
        output: the file or folder of the result.

    Raises:
        UserError: if the stores do not fit.
    """
    files = folder.iterdir() if folder.is_dir() else ()
    there = sum(512 * file.stat().st_blocks for file in files if file.is_file())
    stores = max(0, stored(upscaler, video, coding.bits) - there)
    require_space(folder.parent, stores, f"the job of {output.name}")
    result = result_size(video.shape[0], video.target.hr, coding, output)
    if stores + result > (free := free_space(folder.parent)):
        log.warning(
            f"{folder.parent} has {size_text(free)} free; the job takes {size_text(stores)} of it, and the "
            f"result may not fit: about {size_text(result)}"
        )
