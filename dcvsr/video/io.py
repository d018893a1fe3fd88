"""Video input and output: reads files and frame folders; writes video files and folders of PNGs.

Axes: f frames, c channels (RGB), h height, w width.
"""

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from dcvsr.imaging import described, to_bytes, to_samples, to_unit
from dcvsr.runtime.errors import UserError
from dcvsr.video.coding import Coding
from dcvsr.video.container import CONTAINERS
from dcvsr.video.encoder import encode
from dcvsr.video.frame_folder import write_frames
from dcvsr.video.lost_content import losses
from dcvsr.video.memory import Metadata, Video
from dcvsr.video.reader import open_frames
from dcvsr.video.tracks import check_tracks

log = logging.getLogger(__name__)

__all__ = [
    "CRF",
    "Video",
    "check_output",
    "read_video",
    "to_bytes",
    "to_unit",
    "write_clip",
    "write_video",
]

CRF = 16
"""Default constant rate factor, as in ``conf/upscale.yaml``."""


def read_video(path: str | Path, rate: Fraction | float | str | None = None) -> Video:
    """Read a whole video file, or a folder of frames.

    Args:
        path: the file or folder.
        rate: frames per second of a folder, such as 24, 23.976 or ``"30000/1001"``; None for 25. Files have
            their own.

    Returns:
        The video. Its ``frames`` are uint8 ``f c h w``, RGB, on the CPU.

    Raises:
        UserError: as ``open_frames`` and ``Reader`` do.
    """
    with open_frames(path, rate) as reader:
        frames = torch.stack(list(reader))
        return Video(frames, **vars(reader.metadata))


def check_output(
    source: str | Path | None, output: str | Path, crf: float = CRF, audio: str = "copy"
) -> list[str]:
    """Check, before any long computation, that ``write_video`` can write ``output`` for this source.

    A path without suffix is a folder of PNGs and must be new or empty. An existing video file is replaced.
    One warning names what the output cannot hold.

    Returns:
        Names of the tracks that are left out of a video file.

    Raises:
        UserError: if the suffix or ``audio`` is unknown, if the output is the source or a folder with files
            in it, if its parent folder is missing or not writable, if its container cannot hold the source's
            audio, or if ``crf`` is not in [0, 51].
    """
    if not (isinstance(crf, int | float) and 0 <= crf <= 51):
        raise UserError(f"crf must be a number from 0 (best quality) to 51, got {crf}")
    source, output = Path(source) if source else None, Path(output)
    suffix = output.suffix.lower()
    if suffix and suffix not in CONTAINERS:
        kinds = ", ".join(CONTAINERS)
        raise UserError(f"cannot write {output}: end it in {kinds}, or in no suffix for a folder of PNGs")
    if source and source.exists() and output.exists() and output.samefile(source):
        raise UserError(f"{output} is the input itself; name another output")
    if suffix and output.is_dir():
        raise UserError(f"{output} is a folder; name a file")
    if not suffix and output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"{output} exists and is not an empty folder; name a new one")
    try:
        tempfile.TemporaryFile(dir=output.resolve().parent).close()
    except OSError as error:
        raise UserError(f"cannot write {output} ({output.parent}: {error.strerror})") from error
    if suffix and source and source.is_file():
        return check_tracks(source, suffix, audio)
    if source and source.is_file():
        lost = ["frame rate and times", *losses(source, None, audio=audio)]
        log.warning("%s: a folder of PNGs holds frames only; leaving out %s", source, ", ".join(lost))
    return []


def write_video(
    path: str | Path,
    frames: Tensor | Iterable[Tensor],
    video: Metadata,
    crf: float = CRF,
    audio: str = "copy",
    codec: str = "x264",
    pix_fmt: str | None = None,
    codec_options: Mapping[str, Any] | None = None,
) -> None:
    """Write frames with the times, pixel aspect, colour, names, tracks and tags of ``video``, or nothing.

    Args:
        path: ``.mp4``, ``.mkv``, ``.mov`` or ``.webm``, or a folder for PNGs.
        frames: floats in [0, 1], ``f c h w``, of any size, on any device; or an iterable of chunks of such,
            which are encoded as they arrive. A fourth channel is alpha, which PNG, FFV1 and ProRes hold.
        video: source of all but the pixels: a ``Video``, whose own ``frames`` are ignored, or a reader's
            ``metadata``. ``Video(frames, rate)`` has no source.
        crf: constant rate factor, from 0 (best quality) to 51; 16 by default, as in the command.
        audio: ``copy`` packets, encode as ``aac`` or ``flac``, or ``none``.
        codec: ``x264``, ``x265``, ``ffv1``, ``prores`` or ``av1``.
        pix_fmt: FFmpeg's name of a pixel format; by default 4:2:0 with the depth of ``video``.
        codec_options: further options of the encoder, by FFmpeg's names.

    Raises:
        UserError: from ``check_output``, before the first chunk is requested; if a chunk is not such floats,
            if frame sizes differ, or if the number of frames is not that of ``video``'s times or names.
    """
    path = Path(path)
    left_out = check_output(video.source, path, crf, audio)
    chunks = _checked([frames] if isinstance(frames, Tensor) else frames, len(video.pts or video.names))
    first = next(chunks)
    coding = Coding(codec, crf, pix_fmt, codec_options or {})
    _, channels, *size = first.shape
    coding = coding.settled(path, video.bits, channels == 4, (size[0], size[1]))
    images = _images(chain([first], chunks), torch.uint16 if coding.bits > 8 else torch.uint8)
    target = path.resolve()  # writes through a symbolic link
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
        unfinished = Path(scratch) / path.name
        if path.suffix:
            encode(unfinished, images, video, coding, audio)
            if video.source and not video.names:
                lost = losses(video.source, unfinished, left_out, audio, video.span)
                if lost:
                    log.warning("%s: %s does not keep %s", video.source, path.name, "; ".join(lost))
        else:
            write_frames(unfinished, images, video.names, video.profile)
        os.replace(unfinished, target)


def write_clip(path: str | Path, frames: Tensor, rate: Fraction, crf: float) -> None:
    """Write frames that have no source file, ``f c h w`` in [0, 1], as ``write_video`` does."""
    write_video(path, frames, Metadata(rate), crf)


def _checked(chunks: Iterable[Tensor], expected: int) -> Iterator[Tensor]:
    """Yield the chunks; check that their sizes agree and ``expected`` frames come (0: at least one)."""
    count, sizes = 0, set()
    for chunk in chunks:
        if (
            not isinstance(chunk, Tensor)
            or not chunk.is_floating_point()
            or chunk.shape[1:-2] not in ((3,), (4,))
        ):
            raise UserError(f"pass frames as floats f c h w in [0, 1] with c = 3, got {described(chunk)}")
        count += len(chunk)
        sizes.add(tuple(chunk.shape[1:]))
        if len(sizes) > 1:
            raise UserError(f"frames have two sizes: {sizes}; write them to two files")
        if 0 < expected < count:
            break
        yield chunk
    if count != (expected or max(count, 1)):
        raise UserError(
            f"{count} or more frames arrived, {expected or 'some'} were expected: pass as many frames as the "
            "video has, or Video(frames, rate) as the video"
        )


def _images(chunks: Iterable[Tensor], dtype: torch.dtype) -> Iterator[np.ndarray]:
    """Yield ``h w c`` images of a dtype."""
    for chunk in chunks:
        samples = to_samples(chunk, dtype).cpu().numpy()
        yield from np.ascontiguousarray(rearrange(samples, "f c h w -> f h w c"))
