"""Subjects of a calibration: images with published scores, and an upscaler's results on a dataset."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcvsr.diffusion.protocols import Upscaler
from dcvsr.evaluation.calibration.published_scores import PublishedScore
from dcvsr.evaluation.inputs import Sources
from dcvsr.imaging import to_bytes, to_unit
from dcvsr.runtime.errors import UserError
from dcvsr.runtime.files import read_text
from dcvsr.video.frame_folder import read_frame

Compared = tuple[str, Tensor, Tensor | None]
"""A clip's name, a result and its reference, or None: ``f c h w`` in [0, 1]."""


@dataclass(frozen=True)
class Subject:
    """Results to score.

    Args:
        name: for tables.
        published: published scores; if empty, all metrics are computed.
        clips: function that reads the clips.
    """

    name: str
    published: Sequence[PublishedScore]
    clips: Callable[[], Iterable[Compared]]


@dataclass(frozen=True)
class ScoredImage:
    """An image with published scores.

    Args:
        restored, reference: names of files in one folder; None if there is no reference.
        source: of the scores.
        published: metric -> value, as text.
    """

    restored: str
    reference: str | None
    source: str
    published: Mapping[str, str]

    def subject(self, folder: Path, device: torch.device) -> Subject:
        """Return the image in ``folder`` as a subject.

        Raises:
            UserError: if the folder lacks one of its files.
        """
        files = [folder / name for name in (self.restored, self.reference) if name is not None]
        for file in files:
            _require(file)

        def clips() -> Iterator[Compared]:
            restored, *reference = (to_unit(read_frame(file)[None]).to(device) for file in files)
            yield self.restored, restored, reference[0] if reference else None

        published = [PublishedScore(metric, value, self.source) for metric, value in self.published.items()]
        return Subject(self.restored, published, clips)


@dataclass(frozen=True)
class Scoreboard:
    """CSV file of scores with a row per metric, a column per image, and the metrics' names under ``Method``.

    Args:
        file: name of the CSV file in the folder of the images.
        restored, reference: names of an image's files; ``*`` stands for the header of its column.
        source: of the scores.
        rows: metric -> rows that hold its scores.
    """

    file: str
    restored: str
    reference: str
    source: str
    rows: Mapping[str, Sequence[str]]

    def subjects(self, folder: Path, device: torch.device) -> list[Subject]:
        """Return one subject per image.

        Raises:
            UserError: if the folder lacks a file, or the CSV file lacks a row or a value.
        """
        path = folder / self.file
        _require(path)
        scores = {row.get("Method"): row for row in csv.DictReader(read_text(path).splitlines())}
        found = []
        for image in [key for key in next(iter(scores.values()), {}) if key != "Method"]:
            restored, reference = (name.replace("*", image) for name in (self.restored, self.reference))
            subject = ScoredImage(restored, reference, self.source, {}).subject(folder, device)
            published = [
                PublishedScore(metric, _value(scores, row, image, path), f"{self.source}, row {row}")
                for metric, rows in self.rows.items()
                for row in rows
            ]
            found.append(Subject(subject.name, published, subject.clips))
        if not found:
            raise UserError(f"{path} holds no scores; its first line must be Method and the images' names")
        return found


def results(
    name: str, published: Sequence[PublishedScore], sources: Sources, upscaler: Upscaler, device: torch.device
) -> Subject:
    """Return an upscaler's results on a dataset as a subject, rounded to eight bits.

    Args:
        name: of the results, for tables.
        published: published scores of these results.
        sources: LR and reference clips.
        upscaler: ``f c h w`` -> ``f c 4h 4w``.
        device: of the computation.
    """

    def clips() -> Iterator[Compared]:
        for clip in sources.clips:
            source = sources.read(clip)
            restored = to_unit(to_bytes(upscaler(source.lr.to(device))))
            yield clip, restored, None if source.hr is None else source.hr.to(device)

    return Subject(name, published, clips)


def _require(file: Path) -> None:
    if not file.is_file():
        raise UserError(
            f"golden={file.parent} lacks {file.name}; name a folder that holds the images and scores of "
            "conf/calibration/published.yaml"
        )


def _value(scores: Mapping[Any, Mapping[Any, Any]], row: str, image: str, path: Path) -> str:
    value = scores.get(row, {}).get(image)
    if value is None:
        raise UserError(f"{path} has no {row} of {image}; give a complete file")
    return value
