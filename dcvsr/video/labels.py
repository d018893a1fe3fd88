"""Titles, languages, dispositions, chapters and other tags of files and their tracks."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream

if TYPE_CHECKING:
    from av.container.core import Chapter

_TECHNICAL = (
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "vendor_id",
    "duration",
    "software",
    "alpha_mode",
)
_STATISTICS = ("bps", "number_of_", "_statistics_", "duration-", "source_id")
"""Tags that describe the file or its encoding, not its content; the last ones are mkvmerge's."""


def tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that belong to the content, in any file."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _TECHNICAL and not key.lower().startswith(_STATISTICS)
    }


def label_track(source: Stream, target: Stream) -> None:
    """Copy title, language, other tags and dispositions of a track."""
    labels = tags(source.metadata)
    if "name" in labels:  # the title of a track in MP4 and MOV; FFmpeg writes it from title only
        labels.setdefault("title", labels.pop("name"))
    target.metadata.update(labels)
    is_cover = source.disposition & Disposition.attached_pic
    # MP4 takes a picture with any other disposition for video.
    target.disposition = Disposition.attached_pic if is_cover else source.disposition


def label_file(
    source: InputContainer,
    target: OutputContainer,
    start: Fraction,
    span: tuple[Fraction, Fraction | None] | None,
) -> None:
    """Copy title, other tags and chapters of a file.

    Args:
        source: the file.
        target: the file to write.
        start: time in seconds that the clock of ``source`` counts from.
        span: first and end time of a part in seconds from ``start``, to which chapters are cut; None for all.
    """
    target.metadata.update(tags(source.metadata))
    if span and span[0]:  # that of the first frame of the whole
        target.metadata.pop("timecode", None)
    target.set_chapters(chapters(source, start, span))


def chapters(
    source: InputContainer, start: Fraction, span: tuple[Fraction, Fraction | None] | None
) -> list["Chapter"]:
    """Return the chapters of a file, cut to a part and shifted to its start, as ``label_file`` writes."""
    begin, end = span or (Fraction(0), None)
    length = None if end is None else end - begin
    cut = (_cut(chapter, start + begin, length) for chapter in source.chapters())
    return [chapter for chapter in cut if chapter]


def _cut(chapter: "Chapter", begin: Fraction, length: Fraction | None) -> "Chapter | None":
    """Return a chapter with ``begin`` as time 0, cut to ``[0, length)``; None if nothing is left."""
    tick = chapter["time_base"] or Fraction(1)
    first = max(chapter["start"] - round(begin / tick), 0)
    last = chapter["end"] - round(begin / tick)
    if length is not None:
        last = min(last, round(length / tick))
    return None if last <= first else {**chapter, "start": first, "end": last}
