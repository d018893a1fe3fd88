"""Encoding of audio tracks anew, cut to a span of time."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer
from av.filter import Graph

SAMPLE_FORMATS = {"aac": "fltp", "flac": "s32"}
"""Sample format of each codec."""

BIT_RATE = 96_000
"""AAC's bits per second and channel."""

_GAP = 10
"""Longest gap in seconds that is filled with silence; a jump of a damaged clock may be hours."""

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


def add_encoded(output: OutputContainer, source: av.AudioStream, codec: str) -> av.AudioStream:
    """Add a track in the codec ``aac`` or ``flac`` with the sample rate and channels of ``source``.

    Raises:
        ValueError: if the container cannot hold the codec.
    """
    rate = source.rate if source.rate in _RATES else 48000
    track = output.add_stream(codec, rate)
    assert isinstance(track, av.AudioStream)
    context = track.codec_context
    layout = source.layout
    # PCM in Matroska and AVI says how many channels there are, not which: "2c" is FFmpeg's default for 2.
    name = f"{layout.nb_channels}c" if layout.name.endswith("channels") else layout.name
    context.format, context.layout = SAMPLE_FORMATS[codec], name
    if codec == "aac":
        context.bit_rate = BIT_RATE * layout.nb_channels
    return track


class AudioEncoder:
    """Decoder and encoder of one track; short gaps become silence, and times stay exact to a sample.

    Args:
        source: the track to decode.
        track: the track to encode, from ``add_encoded``.
        begin: time in ``source`` that becomes 0, in seconds; earlier samples are dropped.
        end: time in ``source`` of the end, in seconds; None for all.

    Attributes:
        failed: number of packets that could not be decoded.
    """

    def __init__(
        self, source: av.AudioStream, track: av.AudioStream, begin: Fraction, end: Fraction | None
    ) -> None:
        self._source, self._track, self._begin, self._end = source, track, begin, end
        self._graph: Graph | None = None
        # Time in source after the last frame, in seconds; a frame without a time starts there.
        self._next = float((source.start_time or 0) * (source.time_base or 0))
        self.failed = 0

    def __call__(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield the packets that one of ``source`` completes; an empty one, the last, completes the rest."""
        try:
            frames = self._source.decode(packet)
        except av.FFmpegError:
            frames, self.failed = [], self.failed + 1
        for frame in frames:
            time = self._next if frame.time is None else frame.time
            if frame.pts is None:
                frame.pts = round(time / (frame.time_base or Fraction(1, frame.sample_rate)))
            if self._graph and time > self._next + _GAP:
                yield from self._flushed(self._graph)
                self._graph = None
            self._next = time + frame.samples / frame.sample_rate
            if self._graph is None:
                self._graph = self._filters(frame)
            self._graph.push(frame)
            yield from self._encoded(self._graph)
        if not packet.size and self._graph:
            yield from self._flushed(self._graph)
            yield from self._track.encode(None)

    def _flushed(self, graph: Graph) -> Iterator[av.Packet]:
        graph.push(None)
        yield from self._encoded(graph)

    def _encoded(self, graph: Graph) -> Iterator[av.Packet]:
        while True:
            try:
                frame = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(frame, av.AudioFrame)
            if frame.pts is None:  # damaged files; players go on too
                continue
            frame.pts -= round(self._begin * self._rate)
            yield from self._track.encode(frame)

    @property
    def _rate(self) -> int:
        return self._track.codec_context.sample_rate

    def _filters(self, frame: av.AudioFrame) -> Graph:
        context: AudioCodecContext = self._track.codec_context
        limits = {"start_pts": str(round(self._begin * self._rate))}
        if self._end is not None:
            limits["end_pts"] = str(round(self._end * self._rate))
        graph = Graph()
        nodes = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format,
                layout=frame.layout,
                time_base=frame.time_base or self._source.time_base,
            ),
            graph.add("aresample", **{"async": "1", "out_sample_rate": str(self._rate)}),
            # Integers clip samples: FFmpeg's AAC encoder refuses NaN, and may never return on floats of 1e6.
            graph.add("aformat", sample_fmts="s32", channel_layouts=context.layout.name),
            graph.add("aformat", sample_fmts=context.format.name),
            graph.add("asettb", f"1/{self._rate}"),
            graph.add("atrim", **limits),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph
