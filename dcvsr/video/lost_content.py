"""Comparison of a video file with the output made of it: lost tracks, tags, flags and chapters."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from textwrap import shorten

from av.container import InputContainer
from av.stream import AttachmentStream, Disposition, Stream

from dcvsr.video.container import (
    clock_start,
    description,
    open_video,
    other_streams,
    picture_stream,
    track_name,
)
from dcvsr.video.labels import chapters, tags

# Side data of a picture that FFmpeg writes, or that frames are converted by.
_APPLIED = ("displaymatrix", "frame cropping", "cpb", "ambient viewing environment", "mastering display")
_WARNED = ("content light level", "dovi configuration record", "icc profile", "hdr")
_REWRITTEN = ("creation_time", "location")  # in another notation, by the muxers
_OF_TRACKS = ("creation_time", "handler_name", "filename", "mimetype", "timecode")


def losses(
    source: Path,
    output: Path | None,
    left_out: Sequence[str] = (),
    audio: str = "copy",
    span: tuple[Fraction, Fraction | None] | None = None,
) -> list[str]:
    """Return descriptions of all that a video file has and the output lacks or changes.

    The number of frames is not compared. Tags that describe a file and not its content are not missed.

    Args:
        source: the file.
        output: the file that was made of it; None for a folder of images, which holds frames only.
        left_out: names of tracks whose loss is known, from ``check_tracks``.
        audio: one of ``tracks.AUDIO``; tracks that ``none`` leaves out are not missed.
        span: first and end time of the part of ``source`` that the output has, in seconds; None for all.

    Raises:
        UserError: if one cannot be read.
    """
    with open_video(source) as before, open_video(output) if output else nullcontext() as after:
        expected = [
            stream
            for stream in other_streams(source, before)
            if track_name(stream) not in left_out and not (stream.type == "audio" and audio == "none")
        ]
        pairs, missing = _pairs(expected, other_streams(output, after) if output and after else [])
        found = [track_name(stream) for stream in missing]
        kept = chapters(before, clock_start(before), span)
        written = after.chapters() if after else []
        if titles := [chapter["metadata"].get("title", "untitled") for chapter in kept[len(written) :]]:
            found.append(shorten(f"chapters {', '.join(titles)}", 80, placeholder="..."))
        has = dict(after.metadata) if after else {}
        picture = picture_stream(source, before)
        if after and output:
            pairs.insert(0, (picture, picture_stream(output, after)))
            if any("timecode" in stream.metadata for stream in after.streams):
                has["timecode"] = before.metadata.get("timecode", "")
            if data := _side_data(before, picture) - _side_data(after, picture_stream(output, after)):
                found.append(f"side data {', '.join(sorted(data))}")
        if lost := _lost_tags(before.metadata, has):
            found.append(f"tags {', '.join(lost)}")
        for stream, track in pairs:
            found += _lost_labels(stream, track)
    return found


def _pairs(
    expected: Sequence[Stream], written: Sequence[Stream]
) -> tuple[list[tuple[Stream, Stream]], list[Stream]]:
    """Return the pairs of a track and its copy, which come in the same order, and the tracks without one."""
    pairs, missing, left = list[tuple[Stream, Stream]](), list[Stream](), list(written)
    for stream in expected:
        copy = next((track for track in left if _kind(track) == _kind(stream)), None)
        if copy is None:
            missing.append(stream)
        else:
            left.remove(copy)
            pairs.append((stream, copy))
    return pairs, missing


def _kind(stream: Stream) -> str:
    return "cover" if stream.disposition & Disposition.attached_pic else stream.type


def _lost_labels(stream: Stream, track: Stream) -> Iterator[str]:
    """Yield the tags and flags of a track that its copy lacks."""
    if isinstance(stream, AttachmentStream) or _kind(stream) == "cover":  # they become each other
        return
    before, after = (
        {key: value for key, value in item.metadata.items() if key.lower() not in _OF_TRACKS}
        for item in (stream, track)
    )
    for labels in (before, after):
        if "name" in labels:  # the title of a track in MP4 and MOV
            labels.setdefault("title", labels.pop("name"))
    if before.get("language") == "und":
        before.pop("language")
    if lost := _lost_tags(before, after):
        yield f"tags {', '.join(lost)} of {track_name(stream)}"
    flags = Disposition(stream.disposition & ~track.disposition)
    if names := [flag.name for flag in Disposition if flag & flags and flag.name]:
        yield f"flags {', '.join(names)} of {track_name(stream)}"


def _lost_tags(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    written = {_normal(key): value.strip() for key, value in after.items()}
    return [
        f"{key} ({shorten(value, 40, placeholder='...')})"
        for key, value in tags(before).items()
        if value.strip() and written.get(_normal(key)) != value.strip()
        if not (_normal(key) in _REWRITTEN and _normal(key) in written)
    ]


def _normal(key: str) -> str:
    """Return the name of a tag as in Matroska, without language and in lower case."""
    return re.sub(r"-[a-z]{3}$", "", key.lower().replace(" ", "_"))


def _side_data(container: InputContainer, stream: Stream) -> set[str]:
    """Return the kinds of side data of a stream, but for those that frames are converted by or warned of."""
    own = re.search(
        rf"^  Stream #0:{stream.index}\b.*\n(?:^    .*\n?)*", description(container), re.MULTILINE
    )
    kinds = re.findall(
        r"^      ([A-Za-z][\w 3()-]*?)(?::| \(|,|$)",
        own[0].partition("Side data:")[2] if own else "",
        re.MULTILINE,
    )
    return {kind for kind in map(str.lower, kinds) if not kind.startswith((*_APPLIED, *_WARNED))}
