"""The paper's figures: what a specification asks for, drawn from results."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import torch

from dcvsr.data.clips import Clip, FrameFolder
from dcvsr.data.folders import folder_of_clips
from dcvsr.figures.boxes import Box, Boxes, Frames
from dcvsr.figures.exhibits import HR, LR, Exhibit
from dcvsr.figures.picture_grid import GridRow, beside, grid, magnified, outlined, picture, png
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_text, write_whole
from dcvsr.video.io import Video, write_video

PLACE = "place"


@dataclass(frozen=True)
class Compared:
    """Results beside each other: label -> overrides of the command that makes it.

    Args:
        rivals: left out, by name, where they cannot be made: their weights may be missing.
        results: without which there is no figure; all of one checkpoint.
    """

    rivals: Mapping[str, Sequence[str]]
    results: Mapping[str, Sequence[str]]

    command: ClassVar[str] = "evaluate"
    settings: ClassVar[Sequence[str]] = ("metrics=none", "keep=png", "wandb=none")
    needs_clips: ClassVar[bool] = True

    def __post_init__(self) -> None:
        labels = [*self.rivals, *self.results, LR, HR, PLACE]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise UserError(f"two columns are called {', '.join(twice)}; rename one")
        if not self.results:
            raise UserError("results has no entry; name at least one, such as bicubic: [upscaler=bicubic]")
        for label, overrides in [*self.rivals.items(), *self.results.items()]:
            if not isinstance(overrides, list) or not all(isinstance(part, str) for part in overrides):
                raise UserError(f"{label} is no list of overrides, such as [upscaler=bicubic]: {overrides}")

    def without(self, labels: Collection[str]) -> Self:
        """The same without some columns.

        Raises:
            UserError: if one is not there, or no result is left.
        """
        columns = {**self.rivals, **self.results}
        if unknown := [label for label in labels if label not in columns]:
            raise UserError(f"there is no column {', '.join(unknown)} to leave out of {', '.join(columns)}")
        rivals, results = (
            {label: made for label, made in part.items() if label not in labels}
            for part in (self.rivals, self.results)
        )
        return replace(self, rivals=rivals, results=results)

    def kept(self, run: Path, cache: Path) -> Mapping[str, Clip]:
        """What a run restored, by clip.

        Raises:
            UserError: if it kept nothing.
        """
        return folder_of_clips(run / "videos", cache)


@dataclass(frozen=True)
class Figure(Compared):
    """Columns of results, rows of places.

    Args:
        frames: which of a clip.
        boxes: which parts of these, by the middle one; None: whole frames.
    """

    frames: Frames
    boxes: Boxes | None

    def write(self, path: Path, exhibits: Sequence[Exhibit]) -> list[Path]:
        """``path``.png; gives what was written.

        Raises:
            UserError: if a frame or box that is asked for is not there, or the picture cannot be written.
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
    """Columns of guidances, rows of captions, whose images Stable Diffusion made.

    Args:
        count: of captions, the first.
    """

    count: int

    command: ClassVar[str] = "text2image"
    settings: ClassVar[Sequence[str]] = ()
    needs_clips: ClassVar[bool] = False

    def kept(self, run: Path, cache: Path) -> Mapping[str, Clip]:
        captions = read_text(run / "captions.txt").splitlines()[: self.count]
        return {
            f"{i + 1}. {caption}": FrameFolder(run / "images", start=i, stop=i + 1)
            for i, caption in enumerate(captions)
        }


@dataclass(frozen=True)
class Comparison(Compared):
    """Videos of everything at once.

    Args:
        crf: x264's constant rate factor.
    """

    crf: int

    def write(self, path: Path, exhibits: Sequence[Exhibit]) -> list[Path]:
        """``path``/CLIP.mp4; gives what was written.

        Raises:
            UserError: if a video cannot be written.
        """
        path.mkdir(parents=True, exist_ok=True)
        written = [path / f"{exhibit.name}.mp4" for exhibit in exhibits]
        for video, exhibit in zip(written, exhibits, strict=True):
            write_video(video, _side_by_side(exhibit), Video(torch.empty(0), exhibit.rate), self.crf)
        return written


def _row(exhibit: Exhibit, frame: int, box: Box | None) -> GridRow:
    whole = [read(frame) for read in exhibit.columns.values()]
    told = exhibit.name if exhibit.frames == 1 else f"{exhibit.name}, frame {frame}"
    if box is None:
        return GridRow(told, [magnified(picture(one)) for one in whole])
    cuts = [magnified(picture(box.cut(one))) for one in whole]
    place = outlined(exhibit.guide(frame), box, cuts[0].height)
    return GridRow(f"{told}, box {box}", [place, *cuts])


def _side_by_side(exhibit: Exhibit) -> Iterator[torch.Tensor]:
    from tqdm import tqdm

    for frame in tqdm(range(exhibit.frames), desc=exhibit.name, unit="frame", disable=None):
        yield beside([read(frame) for read in exhibit.columns.values()], list(exhibit.columns))[None]
