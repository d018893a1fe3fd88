"""Fuzz test of containers: mutated files are read and written, or refused in one line."""

import time
from pathlib import Path
from random import Random

import av
import pytest
import torch

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import to_unit, write_video
from dcvsr.video.memory import Video
from dcvsr.video.reader import open_frames
from tests.conftest import under_stress
from tests.data.making import add_subtitles, make_tracks

CASES = 10_000 if under_stress() else 500
LONGEST = 20
"""Seconds that a file of a few KB may take, on a busy machine."""

SOURCES = {
    "a.mp4": ["libx264", "aac", "aac"],
    "b.mp4": ["mpeg4"],
    "c.mov": ["libx264", "pcm_s16le"],
    "d.mkv": ["libx264", "aac", "flac"],
    "e.webm": ["libvpx-vp9", "libopus"],
    "f.avi": ["mpeg4", "libmp3lame"],
    "g.ts": ["mpeg2video", "aac"],
    "h.flv": ["flv", "aac"],
    "i.mpg": ["mpeg2video", "mp2"],
    "j.mp4": ["libsvtav1", "libopus"],
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sources")
    for name, codecs in SOURCES.items():
        make_tracks(folder / name, codecs, 5)
    add_subtitles(folder / "k.mkv", folder / "d.mkv", {"hello": (0, 100), "world": (100, 200)})
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def mutated(content: bytes, random: Random) -> bytes:
    """Change a few bytes, numbers or pieces, half of them in the first or last 600 bytes."""
    data = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        near = min(600, len(data))
        place = random.choice(
            [random.randrange(near), len(data) - 1 - random.randrange(near), random.randrange(len(data))]
        )
        length = random.choice([1, 2, 4, 8, 64, 1000])
        piece = data[place : place + length]
        kind = random.randrange(7)
        if kind == 0:
            data[place] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[place : place + len(piece)] = random.randbytes(len(piece))
        elif kind == 2:
            data[place : place + len(piece)] = random.choice([b"\0", b"\xff", b"\x7f"]) * len(piece)
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = piece
        elif kind == 5:
            data[place:place] = random.randbytes(length)
        elif len(data) > 2 * near:
            del data[place:]
        if not data:
            return b"\0"
    return bytes(data)


def passed(path: Path, target: Path, random: Random) -> bool:
    """Read and write a file; return False if it was refused."""
    on_damage, audio = (
        random.choice(["error", "repeat", "drop"]),
        random.choice(["copy", "copy", "aac", "none"]),
    )
    try:
        with open_frames(path, on_damage=on_damage) as reader:
            if reader.shape[0] * reader.shape[1] > 10**6:  # the command would ask for memory
                return False
            frames = torch.stack(list(reader))
        write_video(target, to_unit(frames), Video(frames, **vars(reader.metadata)), 40, audio)
    except UserError as refusal:
        said = str(refusal)
    else:
        with av.open(str(target)) as container:
            assert sum(1 for _ in container.decode(video=0)) == len(frames)
        return True
    assert "\n" not in said
    assert not target.exists()
    return False


@pytest.mark.parametrize("part", range(10))
def test_a_mutated_file_is_read_and_written_or_refused(
    tmp_path: Path, sources: dict[str, bytes], part: int
) -> None:
    outcomes: list[bool] = []
    for number in range(part, CASES, 10):
        random = Random(number)
        name = random.choice(list(sources))
        path = tmp_path / name
        path.write_bytes(mutated(sources[name], random))
        started = time.monotonic()
        try:
            outcomes.append(passed(path, tmp_path / f"out{random.choice(['.mp4', '.mkv', '.mov'])}", random))
        except Exception as error:
            raise AssertionError(f"case {number}, {name}") from error
        assert time.monotonic() - started < LONGEST, number
        for left in tmp_path.iterdir():
            left.unlink()
    assert {True, False} == set(outcomes)
