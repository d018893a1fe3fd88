"""Videos of a clip, read one at a time so that memory holds at most two."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange

from dcvsr.report.scenes import Scene
from dcvsr.runtime.errors import UserError

if TYPE_CHECKING:
    from dcvsr.video.io import Video

TRUTH = "truth"


@dataclass(frozen=True, eq=False)
class Takes:
    """Ground truth of a clip, if known, and the result of each row.

    Args:
        reference: video of the row that others are compared with; all have its length, rate and size.
        truth: None if there is none.
    """

    scene: Scene
    reference: "Video"
    truth: "Video | None"

    def __iter__(self) -> Iterator[tuple[str, "Video"]]:
        """Yield labels and videos, the ground truth first.

        Raises:
            UserError: if a video is damaged, or differs from the reference in length, rate or size.
        """
        if self.truth is not None:
            yield TRUTH, self.truth
        for label in self.scene.videos:
            yield label, self.read(label)

    @property
    def base(self) -> tuple[str, "Video"]:
        """Video that others are compared with, and its label."""
        return (self.scene.reference, self.reference) if self.truth is None else (TRUTH, self.truth)

    @property
    def compared(self) -> list[str]:
        """Labels of the videos whose worst regions are searched."""
        reference = self.scene.reference
        others = [label for label in self.scene.videos if label != reference]
        return others if self.truth is None else [reference]

    def read(self, label: str) -> "Video":
        """Read the video of ``label``, checked against the reference."""
        from dcvsr.video.io import read_video

        path = self.scene.videos[label]
        rate = self.reference.rate if path.is_dir() else None  # a folder of frames has no rate
        return _alike(path, read_video(path, rate), self.reference)


def takes(scene: Scene) -> Takes:
    """Open the reference and the ground truth of a clip.

    Raises:
        UserError: if one of them is damaged, or the two differ.
    """
    from dcvsr.video.io import read_video

    reference = read_video(scene.videos[scene.reference])
    if scene.truth is None:
        return Takes(scene, reference, None)
    truth = replace(read_video(scene.truth), rate=reference.rate)  # which evaluate gives to any clip
    return Takes(scene, reference, _alike(scene.truth, truth, reference))


def pixels(video: "Video") -> np.ndarray:
    """Convert a video to uint8 ``f h w c``."""
    return rearrange(video.frames.numpy(), "f c h w -> f h w c")


def _alike(path: Path, video: "Video", reference: "Video") -> "Video":
    told, expected = _told(video), _told(reference)
    if told != expected:
        raise UserError(
            f"{path} is {told}, the reference's video {expected}: name runs on the same clips, or media=0"
        )
    return video


def _told(video: "Video") -> str:
    frames, _, height, width = video.frames.shape
    return f"{frames} frames of {width}x{height} at {video.rate} per second"
