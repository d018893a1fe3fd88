"""Headers and names of images: depth, orientation, ICC profile, pages, labels, gaps in numbers."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import shorten

from PIL import Image

from dcvsr.video.image_labels import colour_tag_of, is_stretched, labels_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageHeader:
    """Properties of an image.

    Attributes:
        name: name of the file.
        has_16_bits: True if its samples have 16 bits.
        orientation: EXIF's number, from 1 (upright) to 8.
        profile: ICC profile of RGB; None without.
        has_other_profile: True if it has a profile of another colour space, such as CMYK.
        has_pages: True if the file has more than one page or frame.
        is_stretched: True if its pixels are not square.
        colour_tag: name of a PNG chunk that asks for other colours than sRGB; None without.
        labels: names of its EXIF tags and texts.
    """

    name: str
    has_16_bits: bool
    orientation: int
    profile: bytes | None
    has_other_profile: bool
    has_pages: bool
    is_stretched: bool
    colour_tag: str | None
    labels: tuple[str, ...]

    @classmethod
    def of(cls, image: Image.Image, path: Path) -> "ImageHeader":
        """Return the header of an image that Pillow has opened and not loaded."""
        profile = image.info.get("icc_profile") or None
        is_rgb = bool(profile) and profile[16:20] == b"RGB "
        return cls(
            path.name,
            ";16" in str(getattr(image, "tile", "")),
            image.getexif().get(0x0112, 1),
            profile if is_rgb else None,
            bool(profile) and not is_rgb,
            getattr(image, "n_frames", 1) > 1,
            is_stretched(image),
            colour_tag_of(image, path),
            labels_of(image, path),
        )


def warn_of_headers(folder: Path, headers: Sequence[ImageHeader], bits: int) -> None:
    """Warn, once for each kind, of what the frames of a folder lose when they are read with ``bits``."""
    profile = headers[0].profile
    names = ", ".join(dict.fromkeys(name for header in headers for name in header.labels))
    kinds: list[tuple[Callable[[ImageHeader], object], str]] = [
        (lambda header: bits < 16 and header.has_16_bits, "16 bits per sample; read as 8"),
        (lambda header: header.has_other_profile, "an ICC profile of another space than RGB; left out"),
        (lambda header: header.has_pages, "further pages; only the first is read"),
        (
            lambda header: header.profile != profile,
            "another ICC profile than the first frame, whose profile is kept",
        ),
        (lambda header: header.is_stretched, "pixels that are not square; taken as square"),
        (lambda header: header.colour_tag, "colour tags of PNG (cICP, gAMA) other than sRGB; left out"),
        (lambda header: header.labels, f"EXIF or text ({shorten(names, 80, placeholder='...')}); left out"),
    ]
    for has, text in kinds:
        if found := [header.name for header in headers if has(header)]:
            log.warning("%s: %d frames, first %s, have %s", folder, len(found), found[0], text)


def warn_of_gaps(folder: Path, paths: Sequence[Path]) -> None:
    """Warn of numbers that are missing between the frames of a folder; frames in equal steps have no gap."""
    numbers = [re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", path.stem, re.DOTALL) for path in paths]
    pairs = [
        (before, int(b[2]) - int(a[2]))
        for (before, a), (_, b) in pairwise(zip(paths, numbers, strict=True))
        if a and b and (a[1], a[3]) == (b[1], b[3])
    ]
    step = min((step for _, step in pairs), default=1)
    if gaps := [(before, apart // step - 1) for before, apart in pairs if step and apart > step]:
        missing = sum(count for _, count in gaps)
        log.warning(
            "%s: %d frame numbers are missing, first after %s; the frames are taken as consecutive",
            folder,
            missing,
            gaps[0][0].name,
        )
