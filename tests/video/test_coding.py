"""Tests of codecs, pixel formats and options of the output, and of the trial before the work."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from dcvsr.runtime.errors import UserError
from dcvsr.video.coding import Coding
from dcvsr.video.io import read_video, write_video
from dcvsr.video.memory import Metadata
from dcvsr.video.reader import open_frames


def gradients(frames: int = 3, channels: int = 3) -> torch.Tensor:
    across = torch.linspace(0, 1, 96).expand(frames, channels, 64, 96).clone()
    across[:, 1] = across[:, 1].flip(-1)
    return across


@pytest.mark.parametrize(
    ("codec", "suffix", "bits", "pixel_format"),
    [
        ("x264", ".mp4", 8, "yuv420p"),
        ("x264", ".mov", 10, "yuv420p10le"),
        ("x265", ".mp4", 8, "yuv420p"),
        ("x265", ".mkv", 12, "yuv420p12le"),
        ("ffv1", ".mkv", 16, "yuv444p16le"),
        ("prores", ".mov", 8, "yuv422p10le"),
        ("av1", ".webm", 8, "yuv420p"),
        ("av1", ".mp4", 10, "yuv420p10le"),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_each_codec_writes_all_frames_at_the_depth_of_the_source(
    tmp_path: Path, codec: str, suffix: str, bits: int, pixel_format: str, count: int
) -> None:
    frames, path = gradients(count), tmp_path / f"a{suffix}"
    coding = Coding(codec).settled(path, bits, False, (64, 96))
    coding.check(path)
    write_video(path, frames, Metadata(Fraction(25), bits=bits), codec=codec)
    with av.open(str(path)) as file:
        assert [frame.format.name for frame in file.decode(video=0)] == [pixel_format] * count
    assert (read_video(path).frames / 255 - frames).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("codec", "pixel_format", "most"), [("ffv1", "bgr0", 0), ("ffv1", "gbrp12le", 1), ("x265", "gbrp", 5)]
)
def test_rgb_stays_rgb(tmp_path: Path, codec: str, pixel_format: str, most: int) -> None:
    frames = (gradients() * 255).round() / 255
    options = {"preset": "fast"} if codec == "x265" else {}
    path = tmp_path / "a.mkv"
    write_video(path, frames, Metadata(Fraction(25)), 1, "copy", codec, pixel_format, options)
    assert (read_video(path).frames - frames * 255).abs().max() <= most + 0.01


@pytest.mark.parametrize(("codec", "suffix"), [("ffv1", ".mkv"), ("prores", ".mov"), ("x264", "")])
@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_is_written_where_the_output_holds_it(
    tmp_path: Path, codec: str, suffix: str, bits: int
) -> None:
    frames = gradients(channels=4)
    write_video(tmp_path / f"a{suffix}", frames, Metadata(Fraction(25), bits=bits), codec=codec)
    with open_frames(tmp_path / f"a{suffix}", alpha="bicubic", deep=True) as reader:
        found = torch.stack(list(reader))
    assert reader.bits == (12 if codec == "prores" else bits)  # FFmpeg decodes ProRes 4444 as 12 bits
    assert found.shape == frames.shape
    assert (found.float() / (255 if reader.bits == 8 else 65535) - frames).abs().max() < 0.03


@pytest.mark.parametrize(
    ("codec", "suffix", "said"),
    [
        ("x264", ".webm", r"\.webm cannot hold x264 .*write to \.mp4 or \.mkv or \.mov$"),
        ("prores", ".mp4", r"\.mp4 cannot hold prores .*write to \.mkv or \.mov$"),
        ("av1", ".mov", r"\.mov cannot hold av1 .*write to \.mp4 or \.mkv or \.webm$"),
        ("ffv1", ".mov", r"\.mov cannot hold ffv1 .*write to \.mp4 or \.mkv$"),
    ],
)
def test_a_container_that_refuses_the_codec_is_named_with_those_that_take_it(
    codec: str, suffix: str, said: str
) -> None:
    path = Path(f"a{suffix}")
    with pytest.raises(UserError, match=said):
        Coding(codec).settled(path, 8, False, (64, 64)).check(path)


@pytest.mark.parametrize(
    ("coding", "size", "has_alpha", "said"),
    [
        (Coding("x266"), (64, 64), False, "x266 is not a codec; choose x264"),
        (Coding(pix_fmt="yuv420p16le"), (64, 64), False, "not a pixel format of x264; choose yuv420p"),
        (Coding(pix_fmt="yuv420p"), (63, 64), False, "takes no odd sizes such as 64x63"),
        (Coding("av1"), (63, 64), False, "cannot hold sizes that are odd with codec=av1"),
        (Coding(), (64, 64), True, "alpha=ignore"),
        (Coding("prores", pix_fmt="yuv422p10le"), (64, 64), True, "does not hold alpha"),
    ],
)
def test_a_pixel_format_that_does_not_fit_is_refused(
    coding: Coding, size: tuple[int, int], has_alpha: bool, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        coding.settled(Path("a.mkv"), 8, has_alpha, size)


@pytest.mark.parametrize("options", [{"prset": "slow"}, {"preset": "no"}])
def test_options_that_the_encoder_lacks_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match="codec_options"):
        Coding(options=options).settled(Path("a.mp4"), 8, False, (64, 64)).check(Path("a.mp4"))


def test_options_reach_the_encoder(tmp_path: Path) -> None:
    for name, options in {"a": {}, "b": {"g": 1}}.items():
        write_video(tmp_path / f"{name}.mp4", gradients(8), Metadata(Fraction(25)), codec_options=options)
    counts = {}
    for name in "ab":
        with av.open(str(tmp_path / f"{name}.mp4")) as file:
            counts[name] = sum(packet.is_keyframe for packet in file.demux(video=0) if packet.size)
    assert counts == {"a": 1, "b": 8}


def test_x265_refuses_a_picture_within_one_coding_tree_unit_before_any_encoding() -> None:
    with pytest.raises(UserError, match="x265 takes no picture as small as 48x32; use codec=x264"):
        Coding("x265").settled(Path("a.mkv"), 8, False, (32, 48))
    for size in ((32, 64), (64, 32)):
        assert Coding("x265").settled(Path("a.mkv"), 8, False, size).pix_fmt == "yuv420p"
    assert Coding("x264").settled(Path("a.mkv"), 8, False, (32, 48)).pix_fmt == "yuv420p"
