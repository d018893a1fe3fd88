"""Whether a stored clip is what its parameters make of HR, here and now.

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
    """Between two clips' pixels.

    Args:
        frames: names of those that are not the same.
        levels: the largest, in levels of 255.
        pixels: how many differ, of
        of: so many.
    """

    frames: tuple[str, ...] = ()
    levels: int = 0
    pixels: int = 0
    of: int = 0

    def with_frame(self, name: str, here: Tensor, there: Tensor | None) -> "FrameDifference":
        """Another frame, uint8 ``c h w`` twice; one that is missing or of another size differs everywhere."""
        size = here[0].numel()
        if there is None or there.shape != here.shape:
            return FrameDifference((*self.frames, name), 255, self.pixels + size, self.of + size)
        apart = (here.int() - there.int()).abs().amax(dim=0)
        frames = (*self.frames, name) if apart.any() else self.frames
        pixels = self.pixels + int(apart.count_nonzero())
        return FrameDifference(frames, max(self.levels, int(apart.max())), pixels, self.of + size)

    def __str__(self) -> str:
        if not self.frames:
            return "no pixel differs"
        first, *others = self.frames
        more = f" and {len(others)} more" if others else ""
        share = f"{100 * self.pixels / self.of:.2g} % of the pixels"
        return f"{first}.png{more}, by up to {self.levels} of 255 levels, {share}"


@dataclass(frozen=True)
class Verdict:
    """What became of a clip.

    Args:
        hr: whether HR is what it was.
        stored: whether the stored frames are those that were made.
        rebuilt: whether the same frames are made again.
        difference: of the rebuilt from the stored; None where HR is of other frames or size.
    """

    hr: bool
    stored: bool
    rebuilt: bool
    difference: FrameDifference | None

    @property
    def identical(self) -> bool:
        return self.hr and self.stored and self.rebuilt

    def __str__(self) -> str:
        if self.identical:
            return "identical"
        if self.difference is None:
            return "HR here has other frames or another size than what it was made from"
        told = {
            "HR here is not what it was made from": self.hr,
            "its files were touched": self.stored,
            "a rebuild differs": self.rebuilt,
        }
        return f"{'; '.join(text for text, good in told.items() if not good)}: {self.difference}"


@dataclass(frozen=True)
class Verify:
    """Rebuild a clip in memory, and compare.

    Args:
        source: its HR.
        entry: what the manifest says of it.
        degradation: what made LR of it.
        folder: where it is stored.
    """

    source: Source
    entry: Entry
    degradation: Degradation
    folder: Path

    def __call__(self, tick: Tick) -> Verdict:
        """Raises UserError if HR cannot be read."""
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
    """Name -> file of every frame that is there."""
    try:
        return {path.stem: path for path in frame_paths(folder)}
    except (OSError, UserError):
        return {}


def _readable(files: Mapping[str, Path], name: str) -> Tensor | None:
    try:
        return read_frame(files[name])
    except (KeyError, UserError):
        return None
