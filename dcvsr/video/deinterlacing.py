"""Deinterlacing by FFmpeg's filter bwdif (Bob Weaver): one frame for each frame, at the same time."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.filter import Graph


def deinterlaced(frames: Iterable[av.VideoFrame], time_base: Fraction) -> Iterator[av.VideoFrame]:
    """Interpolate the second field of each frame from the first and from neighbouring frames.

    The filter takes the order of fields from the flags of each frame, top field first without flags. It keeps
    colour tags and the display matrix.

    Args:
        frames: frames of one stream, in display order.
        time_base: seconds of a tick of their times.
    """
    graph, kind = None, None
    for frame in frames:
        if kind != (kind := (frame.width, frame.height, frame.format.name)):
            yield from _ended(graph, time_base)
            graph = _graph(frame, time_base)
        assert graph
        graph.vpush(frame)
        yield from _pulled(graph, time_base)
    yield from _ended(graph, time_base)


def _graph(frame: av.VideoFrame, time_base: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=time_base)
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")).configure()
    return graph


def _ended(graph: Graph | None, time_base: Fraction) -> Iterator[av.VideoFrame]:
    if graph:
        graph.vpush(None)
        yield from _pulled(graph, time_base)


def _pulled(graph: Graph, time_base: Fraction) -> Iterator[av.VideoFrame]:
    """Yield the frames that are ready, with times in ``time_base``; the filter halves it."""
    while True:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        if frame.pts is not None and frame.time_base:
            frame.pts, frame.time_base = round(frame.pts * frame.time_base / time_base), time_base
        yield frame
