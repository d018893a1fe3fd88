"""Verification of stored LR clips: each is rebuilt from HR and compared.

Axes: f frames, c colours, h w pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dcvsr.degradation.pipeline import Degradation
from dcvsr.degrade.building import lr_frames
from dcvsr.degrade.clip_hash import Digest
from dcvsr.degrade.hr_clips import Source
from dcvsr.degrade.manifest import Entry
from dcvsr.degrade.worker_pool import Tick
from dcvsr.runtime.errors import UserError
from dcvsr.video.frame_folder import frame_paths, read_frame


@dataclass(frozen=True)
class FrameDifference:
    """Difference between the pixels of two clips.

    Args:
        frames: names of the frames that differ.
        levels: largest difference in levels of 255.
        pixels: number of pixels that differ.
        total: number of pixels compared.
    """

    frames: tuple[str, ...] = ()
    levels: int = 0
    pixels: int = 0
    total: int = 0

    def with_frame(self, name: str, here: Tensor, there: Tensor | None) -> "FrameDifference":
        """Return this difference with two uint8 ``c h w`` frames added; a missing one differs everywhere."""
        size = here[0].numel()
        if there is None or there.shape != here.shape:
            return FrameDifference((*self.frames, name), 255, self.pixels + size, self.total + size)
        levels = (here.int() - there.int()).abs().amax(dim=0)
        frames = (*self.frames, name) if levels.any() else self.frames
        pixels = self.pixels + int(levels.count_nonzero())
        return FrameDifference(frames, max(self.levels, int(levels.max())), pixels, self.total + size)

    def __str__(self) -> str:
        if not self.frames:
            return "no pixel differs"
        first, *others = self.frames
        more = f" and {len(others)} more" if others else ""
        share = f"{100 * self.pixels / self.total:.2g} % of the pixels"
        return f"{first}.png{more}, by up to {self.levels} of 255 levels, {share}"


@dataclass(frozen=True)
class Verdict:
    """Result of verifying a clip.

    Args:
        hr: True if HR has the hash in the manifest.
        stored: True if the stored frames have the hash in the manifest.
        rebuilt: True if the rebuilt frames have the hash in the manifest.
        difference: difference of rebuilt and stored frames; None if HR has another length or size.
    """

    hr: bool
    stored: bool
    rebuilt: bool
    difference: FrameDifference | None

    @property
    def identical(self) -> bool:
        """True if HR, stored frames and rebuilt frames all match the manifest."""
        return self.hr and self.stored and self.rebuilt

    def __str__(self) -> str:
        if self.identical:
            return "identical"
        if self.difference is None:
            return "HR has another length or size than in the manifest"
        checks = {
            "HR differs from the manifest": self.hr,
            "its files were changed": self.stored,
            "a rebuild differs": self.rebuilt,
        }
        return f"{'; '.join(text for text, passed in checks.items() if not passed)}: {self.difference}"


@dataclass(frozen=True)
class Verify:
    """Job that rebuilds a clip in memory and compares it with the stored one.

    Args:
        source: HR clip.
        entry: entry of the manifest.
        degradation: makes LR from HR.
        folder: folder of the stored LR frames.
    """

    source: Source
    entry: Entry
    degradation: Degradation
    folder: Path

    def __call__(self, tick: Tick) -> Verdict:
        """Rebuild and compare the clip; raise UserError if HR cannot be read."""
        entry, opened = self.entry, self.source.open()
        width, height = entry.size
        if opened.shape != (entry.frames, 3, height, width):
            return Verdict(hr=False, stored=False, rebuilt=False, difference=None)
        files = _files(self.folder)
        hr_digest, rebuilt = Digest(entry.frames, height, width), _lr_digest(entry)
        stored, whole, difference = _lr_digest(entry), files.keys() == set(opened.names), FrameDifference()
        made = lr_frames(opened, self.degradation, entry.parameters, hr_digest)
        for name, lr in zip(opened.names, made, strict=True):
            rebuilt.update(lr)
            there = _readable(files, name)
            whole = whole and there is not None and there.shape == lr.shape
            if whole and there is not None:
                stored.update(there)
            difference = difference.with_frame(name, lr, there)
            tick(1)
        return Verdict(
            hr=hr_digest.digits == entry.hr_sha256,
            stored=whole and stored.digits == entry.lr_sha256,
            rebuilt=rebuilt.digits == entry.lr_sha256,
            difference=difference,
        )


def _lr_digest(entry: Entry) -> Digest:
    width, height = entry.lr_size
    return Digest(entry.frames, height, width)


def _files(folder: Path) -> dict[str, Path]:
    """Return the path of every stored frame by name."""
    try:
        return {path.stem: path for path in frame_paths(folder)}
    except (OSError, UserError):
        return {}


def _readable(files: Mapping[str, Path], name: str) -> Tensor | None:
    try:
        return read_frame(files[name])
    except (KeyError, UserError):
        return None
