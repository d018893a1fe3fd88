"""Figures of the paper, drawn from results by a specification."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import torch

from dcvsr.data.clips import Clip, FrameFolder
from dcvsr.data.folders import folder_of_clips
from dcvsr.figures.boxes import Box, Boxes, Frames
from dcvsr.figures.exhibits import HR, LR, Exhibit
from dcvsr.figures.picture_grid import GridRow, grid, magnified, outlined, picture, png, side_by_side
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_text, write_whole
from dcvsr.video.io import Video, write_video

PLACE = "place"


@dataclass(frozen=True)
class Compared:
    """Base of figures that compare results: label -> overrides of the command that makes the result.

    Args:
        rivals: other methods; those that cannot run, as their weights may be missing, are left out.
        results: required results, all from one checkpoint.
    """

    rivals: Mapping[str, Sequence[str]]
    results: Mapping[str, Sequence[str]]

    command: ClassVar[str] = "evaluate"
    settings: ClassVar[Sequence[str]] = ("metrics=none", "keep=png", "wandb=none")
    needs_clips: ClassVar[bool] = True

    def __post_init__(self) -> None:
        labels = [*self.rivals, *self.results, LR, HR, PLACE]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise UserError(f"two columns are named {', '.join(twice)}; rename one")
        if not self.results:
            raise UserError("results is empty; name at least one, such as bicubic: [upscaler=bicubic]")
        for label, overrides in [*self.rivals.items(), *self.results.items()]:
            if not isinstance(overrides, list) or not all(isinstance(part, str) for part in overrides):
                raise UserError(
                    f"{label}: {overrides} is not a list of overrides; write [upscaler=bicubic], say"
                )

    def without(self, labels: Collection[str]) -> Self:
        """Return a copy without some columns.

        Raises:
            UserError: if a column does not exist, or no result is left.
        """
        columns = {**self.rivals, **self.results}
        if unknown := [label for label in labels if label not in columns]:
            raise UserError(f"{', '.join(unknown)} is not a column; leave out some of {', '.join(columns)}")
        rivals, results = (
            {label: made for label, made in part.items() if label not in labels}
            for part in (self.rivals, self.results)
        )
        return replace(self, rivals=rivals, results=results)

    def kept(self, run: Path, cache: Path) -> Mapping[str, Clip]:
        """Return the clips that a run upscaled, by name.

        Raises:
            UserError: if the run kept no videos.
        """
        return folder_of_clips(run / "videos", cache)


@dataclass(frozen=True)
class Figure(Compared):
    """A picture with a column per result and a row per box and frame.

    Args:
        frames: selects the frames of a clip.
        boxes: selects boxes, from the middle one of these frames; None shows whole frames.
    """

    frames: Frames
    boxes: Boxes | None

    def write(self, path: Path, exhibits: Sequence[Exhibit]) -> list[Path]:
        """Write ``path``.png; return the files that were written.

        Raises:
            UserError: if a clip lacks a requested frame or box, or the picture cannot be written.
        """
        rows = [row for exhibit in exhibits for row in self._rows(exhibit)]
        heading = [*([] if self.boxes is None else [PLACE]), *exhibits[0].columns]
        sheet = path.with_name(f"{path.name}.png")
        write_whole(sheet, png(grid(heading, rows)))
        return [sheet]

    def _rows(self, exhibit: Exhibit) -> Iterator[GridRow]:
        frames = self.frames(exhibit.frames)
        for box in [None] if self.boxes is None else self.boxes(exhibit.guide(frames[len(frames) // 2])):
            for frame in frames:
                yield _row(exhibit, frame, box)


@dataclass(frozen=True)
class Images(Figure):
    """A picture of Stable Diffusion's images, with a column per guidance and a row per caption.

    Args:
        count: number of captions, from the first.
    """

    count: int

    command: ClassVar[str] = "text2image"
    settings: ClassVar[Sequence[str]] = ()
    needs_clips: ClassVar[bool] = False

    def kept(self, run: Path, cache: Path) -> Mapping[str, Clip]:
        """Return the images of the first captions as clips of one frame, by caption."""
        captions = read_text(run / "captions.txt").splitlines()[: self.count]
        return {
            f"{i + 1}. {caption}": FrameFolder(run / "images", start=i, stop=i + 1)
            for i, caption in enumerate(captions)
        }


@dataclass(frozen=True)
class Comparison(Compared):
    """A video per clip with all columns side by side.

    Args:
        crf: x264's constant rate factor.
    """

    crf: int

    def write(self, path: Path, exhibits: Sequence[Exhibit]) -> list[Path]:
        """Write ``path``/CLIP.mp4; return the files that were written.

        Raises:
            UserError: if a video cannot be written.
        """
        path.mkdir(parents=True, exist_ok=True)
        written = [path / f"{exhibit.name}.mp4" for exhibit in exhibits]
        for video, exhibit in zip(written, exhibits, strict=True):
            write_video(video, _joined_frames(exhibit), Video(torch.empty(0), exhibit.rate), self.crf)
        return written


def _row(exhibit: Exhibit, frame: int, box: Box | None) -> GridRow:
    whole = [read(frame) for read in exhibit.columns.values()]
    caption = exhibit.name if exhibit.frames == 1 else f"{exhibit.name}, frame {frame}"
    if box is None:
        return GridRow(caption, [magnified(picture(one)) for one in whole])
    crops = [magnified(picture(box.crop(one))) for one in whole]
    place = outlined(exhibit.guide(frame), box, crops[0].height)
    return GridRow(f"{caption}, box {box}", [place, *crops])


def _joined_frames(exhibit: Exhibit) -> Iterator[torch.Tensor]:
    from tqdm import tqdm

    for frame in tqdm(range(exhibit.frames), desc=exhibit.name, unit="frame", disable=None):
        yield side_by_side([read(frame) for read in exhibit.columns.values()], list(exhibit.columns))[None]
