"""Copying of the tracks beside the picture: audio, subtitles, attachments and cover art."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import AttachmentStream, Disposition, Stream

from dcvsr.runtime.errors import UserError
from dcvsr.video.audio_encoder import add_encoded
from dcvsr.video.container import (
    CONTAINERS,
    clock_start,
    open_video,
    other_streams,
    picture_stream,
    track_name,
)
from dcvsr.video.labels import label_file, label_track
from dcvsr.video.track_packets import track_packets

log = logging.getLogger(__name__)

AUDIO = ("copy", "aac", "flac", "none")
"""Ways to treat audio: copy its packets, encode it anew, or leave it out."""

_PICTURES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}


def check_tracks(source: Path, suffix: str, audio: str = "copy") -> list[str]:
    """Check that the container ``suffix`` (a key of ``CONTAINERS``) can hold the audio of a file.

    One warning names the tracks that are left out, for example because FFmpeg does not know their codec, and
    one the further video tracks.

    Args:
        source: the file.
        suffix: the container.
        audio: one of ``AUDIO``.

    Returns:
        Names of the tracks that are left out.

    Raises:
        UserError: if it cannot, or ``audio`` is unknown; the message names what can.
    """
    if audio not in AUDIO:
        raise UserError(f"audio={audio} is not a way to treat audio; pass {', '.join(AUDIO)}")
    left_out, pictures = list[str](), list[str]()
    with open_video(source) as container:
        for stream in other_streams(source, container):
            if (stream.type == "audio" and audio == "none") or _can_hold(suffix, source, stream, audio):
                continue
            if stream.type == "audio" and stream.codec_context:
                raise UserError(_refusal(suffix, source, stream, audio))
            is_picture = stream.type == "video" and not stream.disposition & Disposition.attached_pic
            names = pictures if is_picture and stream.codec_context else left_out
            names.append(track_name(stream))
        _try_header(source, suffix, audio)
    if left_out:
        log.warning("%s: %s cannot hold %s; leaving out", source, suffix, ", ".join(left_out))
    if pictures:
        log.warning("%s: one video track is upscaled; leaving out %s", source, ", ".join(pictures))
    return left_out + pictures


def _try_header(source: Path, suffix: str, audio: str) -> None:
    """Write a header with all tracks to memory; raise UserError if FFmpeg cannot."""
    try:
        with av.open(io.BytesIO(), "w", CONTAINERS[suffix]) as trial:
            trial.add_stream("libsvtav1" if suffix == ".webm" else "libx264", 25)
            with copy_tracks(source, trial, suffix, None, audio):
                trial.start_encoding()
    except (av.FFmpegError, ValueError) as error:
        way_out = "write to another container, or pass audio=none"
        raise UserError(f"{suffix} cannot hold the tracks of {source} ({error}); {way_out}") from error


def _refusal(suffix: str, source: Path, stream: Stream, audio: str) -> str:
    """Return the error for an audio track that the container refuses, with the ways out that work."""
    others = [other for other in CONTAINERS if _can_hold(other, source, stream, audio)]
    ways = [f"write to {' or '.join(others)}"] if others else []
    ways += [f"pass audio={way}" for way in ("aac", "none") if _can_hold(suffix, source, stream, way)][:1]
    held = track_name(stream) if audio == "copy" else f"{audio} of {track_name(stream)}"
    return f"{suffix} cannot hold {held} of {source}; {', or '.join(ways)}"


@contextmanager
def copy_tracks(
    source: Path | None,
    output: OutputContainer,
    suffix: str,
    span: tuple[Fraction, Fraction | None] | None = None,
    audio: str = "copy",
) -> Iterator[Iterator[av.Packet]]:
    """Add a file's tracks beside the picture to ``output``; yield an iterator of their packets, in order.

    The titles, chapters and other tags of the file and of its picture are copied too.

    Tracks that the container cannot hold are left out. Call ``check_tracks`` first, which names them.

    Args:
        source: the file; None for no tracks.
        output: the file to write.
        suffix: its suffix, a key of ``CONTAINERS``.
        span: first and end time of a part of ``source``, in seconds from ``clock_start``; an end of None is
            that of the file. Packets that overlap it are copied, and the first time becomes 0. They stay in
            sync to a tick of their track. Copied audio begins and ends up to one packet (about 20 ms) outside
            the span, and its first packet may sound wrong: a codec needs the one before. Encoded audio and
            subtitles are cut.
        audio: one of ``AUDIO``.
    """
    if source is None:
        yield iter(())
        return
    with open_video(source) as container:
        label_file(container, output, clock_start(container), span)
        label_track(picture_stream(source, container), output.streams.video[0])
        if span and span[0]:
            output.streams.video[0].metadata.pop("timecode", None)
        tracks: dict[int, Stream] = {}
        for stream in other_streams(source, container):
            if _can_hold(suffix, source, stream, audio):
                tracks[stream.index] = _add(output, source, stream, audio)
        moving = {index: track for index, track in tracks.items() if not isinstance(track, AttachmentStream)}
        yield track_packets(container, moving, span, audio)


def _add(output: OutputContainer, source: Path, stream: Stream, audio: str) -> Stream:
    """Add a track for a stream of ``source``, with its title, language and dispositions.

    Raises:
        ValueError: if the container cannot hold it, or PyAV cannot copy it for lack of a decoder.
    """
    if isinstance(stream, AttachmentStream):
        kind = stream.mimetype or "application/octet-stream"  # Matroska demands one
        track = output.add_attachment(stream.name or "unnamed", kind, stream.data)
    elif stream.disposition & Disposition.attached_pic and output.format.name == "matroska":
        suffix, kind = _PICTURES[stream.codec.canonical_name]
        name = stream.metadata.get("filename", f"cover.{suffix}")
        track = output.add_attachment(name, kind, _first_packet(source, stream.index))
    elif not stream.codec_context:
        raise ValueError(f"PyAV cannot copy a {stream.type} track without a decoder")
    elif isinstance(stream, av.AudioStream) and audio != "copy":
        track = add_encoded(output, stream, audio)
    elif stream.type == "video" and not stream.disposition & Disposition.attached_pic:
        raise ValueError("one picture is upscaled")
    elif stream.type == "video" and output.format.name == "mov":
        raise ValueError("FFmpeg writes no cover art into MOV")
    else:
        track = output.add_stream_from_template(stream, opaque=True)
    label_track(stream, track)
    return track


def _first_packet(source: Path, index: int) -> bytes:
    with open_video(source) as container:
        return bytes(next(container.demux(container.streams[index])))


def _can_hold(suffix: str, source: Path, track: Stream, audio: str) -> bool:
    """Return True if the muxer accepts the first packet of a track, written to memory as a trial."""
    if track.type == "audio" and audio == "none":
        return False
    try:
        with open_video(source) as container, av.open(io.BytesIO(), "w", CONTAINERS[suffix]) as trial:
            stream = container.streams[track.index]
            added = _add(trial, source, stream, audio)
            if not isinstance(added, AttachmentStream):
                for packet in track_packets(container, {stream.index: added}, None, audio, is_trial=True):
                    trial.mux(packet)
                    break
            trial.start_encoding()  # no packet came, or an attachment has none
    except (av.FFmpegError, ValueError, KeyError):
        return False
    return True
