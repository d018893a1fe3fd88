"""Headers and names of images: depth, orientation, ICC profile, pages, gaps in numbers."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image

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
        pages: number of pages or frames in the file.
    """

    name: str
    has_16_bits: bool
    orientation: int
    profile: bytes | None
    has_other_profile: bool
    pages: int

    @classmethod
    def of(cls, image: Image.Image, name: str) -> "ImageHeader":
        """Return the header of an image that Pillow has opened and not loaded."""
        profile = image.info.get("icc_profile") or None
        is_rgb = bool(profile) and profile[16:20] == b"RGB "
        return cls(
            name,
            ";16" in str(getattr(image, "tile", "")),
            image.getexif().get(0x0112, 1),
            profile if is_rgb else None,
            bool(profile) and not is_rgb,
            getattr(image, "n_frames", 1),
        )


def warn_of_headers(folder: Path, headers: Sequence[ImageHeader], bits: int) -> None:
    """Warn, once for each kind, of what the frames of a folder lose when they are read with ``bits``."""
    first = headers[0].profile
    kinds = [
        (bits < 16, "has_16_bits", "have 16 bits per sample; read as 8"),
        (True, "has_other_profile", "have an ICC profile of another colour space than RGB; left out"),
    ]
    for counts, name, text in kinds:
        found = [header.name for header in headers if getattr(header, name)]
        if counts and found:
            log.warning("%s: %d frames, first %s, %s", folder, len(found), found[0], text)
    if pages := [header.name for header in headers if header.pages > 1]:
        text = "have further pages; only the first is read"
        log.warning("%s: %d frames, first %s, %s", folder, len(pages), pages[0], text)
    if other := [header.name for header in headers if header.profile != first]:
        text = "have another ICC profile than the first frame, whose profile is kept"
        log.warning("%s: %d frames, first %s, %s", folder, len(other), other[0], text)


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
