"""Warnings of samples and metadata of colour that are not read as they are."""

import logging
from pathlib import Path
from typing import Any

import av

from dcvsr.runtime.errors import UserError
from dcvsr.video.colour import Colour, lacking_matrix
from dcvsr.video.deep_colour import bits_of

log = logging.getLogger(__name__)

_LEFT_OUT = {
    "MASTERING_DISPLAY_METADATA": "mastering display",
    "CONTENT_LIGHT_LEVEL": "content light level",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_METADATA": "Dolby Vision",
    "AMBIENT_VIEWING_ENVIRONMENT": "ambient viewing environment",
    "ICC_PROFILE": "ICC profile",
}


def warn_of(path: Path, frame: av.VideoFrame, bits: int) -> None:
    """Warn of a depth, a matrix or metadata of the first frame of a video that is not kept.

    Args:
        path: the video.
        frame: its first frame.
        bits: bits per sample that it is read with.
    """
    stored = bits_of(frame.format)
    if stored > bits or stored > 16:
        log.warning("%s has %d bits per sample; read as %d", path, stored, min(bits, 16))
    if matrix := lacking_matrix(frame):
        used = "BT.709" if Colour.of(frame).matrix == 1 else "BT.601"
        log.warning("%s has the colour matrix %s, which swscale lacks; read as %s", path, matrix, used)
    if hdr := Colour.of(frame).hdr:
        log.warning("%s is HDR (%s); its samples are upscaled in this transfer function", path, hdr)
    # PyAV's side data and their frame refer to each other, so each frame looked at stays until a collection.
    items: Any = frame.side_data  # iterates over values
    kinds = {item.type.name for item in items}
    if left_out := [name for kind, name in _LEFT_OUT.items() if kind in kinds]:
        log.warning("%s: the metadata %s cannot be written; left out", path, ", ".join(left_out))


def check_hdr(path: Path, colour: Colour | None, hdr: str) -> None:
    """Raise UserError if ``hdr`` is ``refuse`` and the video is HDR, or ``hdr`` is not a treatment of HDR."""
    if hdr not in ("keep", "refuse"):
        raise UserError(f"hdr={hdr} is not a treatment of HDR; choose keep or refuse")
    if hdr == "refuse" and colour and colour.hdr:
        raise UserError(
            f"{path} is HDR ({colour.hdr}), unlike what models were trained on; use hdr=keep, or convert it "
            "to SDR first"
        )
