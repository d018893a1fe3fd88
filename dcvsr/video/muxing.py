"""Writing of packets into a container that may refuse some."""

import logging
from collections.abc import Iterable
from pathlib import Path

import av
from av.container import OutputContainer

from dcvsr.runtime.errors import UserError
from dcvsr.video.container import url

log = logging.getLogger(__name__)


def mux(output: OutputContainer, packets: Iterable[av.Packet]) -> None:
    """Write packets, but for damaged ones of copied tracks that the container refuses, with a warning.

    FFmpeg reports the error of a packet that waited when another one arrives, so a packet of the picture may
    be lost too: call ``require_frames`` on the finished file.

    Raises:
        OSError: if the disk is full, for example.
    """
    refused = 0
    for packet in packets:
        try:
            output.mux(packet)
        except OSError:
            raise
        except av.FFmpegError:
            refused += 1
    if refused:
        log.warning("%d damaged packets of audio or subtitles are left out", refused)


def require_frames(path: Path, count: int) -> None:
    """Raise UserError unless a file that was written has ``count`` frames."""
    with av.open(url(path)) as written:
        found = sum(packet.size > 0 for packet in written.demux(video=0))
    if found != count:
        raise UserError(
            f"FFmpeg could write {found} of {count} frames of {path.name}, because of their times; write a "
            "folder of frames instead"
        )
