"""Tests of reading and writing videos: frames, times, colour and names survive; failures write nothing."""

import os
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from dcvsr.runtime.errors import UserError
from dcvsr.video.io import CRF, Video, check_output, read_video, to_bytes, to_unit, write_video
from tests.data.making import flat, make_video, noise

ROOT = Path(__file__).parents[2]

RATES = [
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(24000, 1001),
    Fraction(60000, 1001),
    Fraction(10009, 1000),
]
FILES = [".mp4", ".mkv", ".mov"]


def clip(frames: int = 4, height: int = 16, width: int = 16, rate: Fraction = Fraction(25)) -> Video:
    generator = torch.Generator().manual_seed(0)
    return Video(
        torch.randint(0, 256, (frames, 3, height, width), generator=generator, dtype=torch.uint8), rate
    )


def fail_if_iterated() -> Iterator[torch.Tensor]:
    pytest.fail("a frame was requested")
    yield torch.zeros(0)


def test_bytes_survive_conversion_to_floats_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(to_unit(every)), every)
    assert torch.equal(
        to_bytes(torch.tensor([-0.1, 0.4999 / 255, 0.5001 / 255, 1.1])), torch.tensor([0, 0, 1, 255]).byte()
    )


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("suffix", FILES)
def test_frame_count_size_and_rate_survive(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    for frames in (1, 13):
        video = clip(frames, rate=rate)
        write_video(tmp_path / f"a{suffix}", to_unit(video.frames), video, crf=20)
        back = read_video(tmp_path / f"a{suffix}")
        assert (back.frames.shape, back.rate) == (video.frames.shape, rate)


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20)
def test_every_frame_size_survives(
    tmp_path_factory: pytest.TempPathFactory, frames: int, height: int, width: int
) -> None:
    path = tmp_path_factory.mktemp("sizes") / "a.mp4"
    video = clip(frames, height, width)
    write_video(path, to_unit(video.frames), video, crf=20)
    assert read_video(path).frames.shape == video.frames.shape


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("first", [0, 7, 1001, 90000])
def test_uneven_frame_times_survive_exactly_in_mp4_and_mov(tmp_path: Path, suffix: str, first: int) -> None:
    pts = tuple(first + step for step in (0, 1000, 5000, 5003, 9000, 20000))
    frames = clip(6).frames
    write_video(
        tmp_path / f"a{suffix}", to_unit(frames), Video(frames, RATES[0], pts, Fraction(1, 90000)), crf=20
    )
    back = read_video(tmp_path / f"a{suffix}")
    assert (back.pts, back.time_base) == (pts, Fraction(1, 90000))


def test_uneven_frame_times_survive_to_the_millisecond_in_matroska(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "source.mp4", noise(4), pts=(0, 990, 5400, 9000), time_base=Fraction(1, 90000)
    )
    video = read_video(source)
    write_video(tmp_path / "a.mkv", to_unit(video.frames), video, crf=20)
    assert read_video(tmp_path / "a.mkv").pts == (0, 11, 60, 100)


@pytest.mark.parametrize("suffix", FILES)
def test_pixel_aspect_survives(tmp_path: Path, suffix: str) -> None:
    video = read_video(
        make_video(tmp_path / "source.mp4", noise(2), tags={"sample_aspect_ratio": Fraction(128, 117)})
    )
    write_video(tmp_path / f"a{suffix}", to_unit(video.frames), video, crf=20)
    assert read_video(tmp_path / f"a{suffix}").aspect == Fraction(128, 117)


@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize(("matrix", "kr", "kb"), [(1, 0.2126, 0.0722), (6, 0.299, 0.114)])
@pytest.mark.parametrize("full", [False, True])
def test_a_flat_colour_survives(
    tmp_path: Path, tagged: bool, matrix: int, kr: float, kb: float, full: bool
) -> None:
    tags: dict[str, int | Fraction] = {"colorspace": matrix, "color_range": 1 + full} if tagged else {}
    height = 720 if matrix == 1 else 16
    for colour in [(200, 40, 60), (10, 240, 30), (0, 0, 255), (255, 255, 255)]:
        frame = flat(colour, kr, kb, full and tagged, (16, height))
        video = read_video(make_video(tmp_path / "source.mp4", [frame], tags=tags))
        write_video(tmp_path / "a.mp4", to_unit(video.frames), video, crf=1)
        back = read_video(tmp_path / "a.mp4")
        assert (back.frames[0, :, 8, 8].int() - torch.tensor(colour)).abs().max() <= 2
        assert back.colour == video.colour
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (matrix, 1 + (full and tagged))


@pytest.mark.parametrize(
    "name",
    ["clip (1)", "été", "a,b", "a&b", "%03d", "a:b", "-x", "~a", "it's", "a b", "#?*[x]", "http:", "日本"],
)
def test_file_names_with_special_characters_are_taken_literally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    video = clip()
    for output in (f"{name}.mp4", name):
        write_video(output, to_unit(video.frames), video, crf=20)
        assert read_video(output).frames.shape == video.frames.shape
    assert sorted(os.listdir()) == sorted([name, f"{name}.mp4"])


def test_writing_in_chunks_makes_the_same_file_as_writing_at_once(tmp_path: Path) -> None:
    video = clip(9, 64, 64)  # at 16x16 the output of x264 itself differs once in thousands of runs
    write_video(tmp_path / "whole.mp4", to_unit(video.frames), video, crf=20)
    write_video(tmp_path / "chunks.mp4", to_unit(video.frames).split(2), video, crf=20)
    assert (tmp_path / "whole.mp4").read_bytes() == (tmp_path / "chunks.mp4").read_bytes()


def test_a_higher_crf_makes_a_smaller_file(tmp_path: Path) -> None:
    for crf in (10, 30, 50):
        write_video(tmp_path / f"{crf}.mp4", to_unit(clip().frames), clip(), crf)
    assert sorted(tmp_path.iterdir(), key=lambda path: -path.stat().st_size) == sorted(tmp_path.iterdir())


@pytest.mark.parametrize("output", ["a.mp4", "a"])
@pytest.mark.parametrize("frames", [0, 2, 4])
def test_a_failure_while_writing_leaves_existing_files_unchanged(
    tmp_path: Path, output: str, frames: int
) -> None:
    def broken() -> Iterator[torch.Tensor]:
        yield from to_unit(clip(frames).frames).split(1)
        raise RuntimeError("out of memory")

    (tmp_path / "a.mp4").write_text("the work of yesterday")
    with pytest.raises(RuntimeError, match="out of memory"):
        write_video(tmp_path / output, broken(), clip(), crf=20)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "the work of yesterday"


@pytest.mark.parametrize("output", ["a.mp4", "a"])
def test_wrong_frame_count_and_mixed_frame_sizes_are_errors(tmp_path: Path, output: str) -> None:
    video = read_video(make_video(tmp_path / "s.mp4", noise(5)))
    frames = to_unit(video.frames)
    for few_or_many in (frames[:0], frames[:4], torch.cat([frames, frames])):
        with pytest.raises(UserError, match="5 were expected: pass as many"):
            write_video(tmp_path / output, few_or_many.split(2), video, crf=20)
    with pytest.raises(UserError, match="two sizes"):
        write_video(tmp_path / output, [frames[:2], frames[:3, :, :16]], video, crf=20)
    assert [path.name for path in tmp_path.iterdir()] == ["s.mp4"]


@pytest.mark.parametrize(
    ("frames", "got"),
    [
        (clip().frames, r"uint8 \(4, 3, 16, 16\)"),
        (torch.rand(3, 16, 16), r"float32 \(3, 16, 16\)"),
        (torch.rand(4, 1, 16, 16), r"float32 \(4, 1, 16, 16\)"),
        ([torch.rand(1, 3, 16, 16), torch.rand(3, 16, 16)], r"float32 \(3, 16, 16\)"),
        ([torch.rand(4, 3, 16, 16).numpy()], "ndarray"),
    ],
)
def test_what_is_not_frames_of_floats_is_an_error(tmp_path: Path, frames: torch.Tensor, got: str) -> None:
    with pytest.raises(UserError, match=f"floats f c h w in .* got {got}$"):
        write_video(tmp_path / "a.mp4", frames, clip())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("crf", [-1, 51.5, "16", None, float("nan")])
def test_a_crf_outside_0_to_51_is_an_error_before_any_frame(tmp_path: Path, crf: float) -> None:
    with pytest.raises(UserError, match=f"crf must be a number from 0 .* to 51, got {crf}"):
        write_video(tmp_path / "a.mp4", fail_if_iterated(), clip(), crf)


def test_the_default_crf_is_the_command_s(tmp_path: Path) -> None:
    assert OmegaConf.load(ROOT / "conf/upscale.yaml").crf == CRF
    frames = to_unit(clip(height=64, width=64).frames)
    write_video(tmp_path / "default.mp4", frames, clip())
    write_video(tmp_path / "given.mp4", frames, clip(), CRF)
    assert (tmp_path / "default.mp4").read_bytes() == (tmp_path / "given.mp4").read_bytes()


def assert_error(source: Path | None, output: Path | str, reason: str) -> None:
    """Check that ``check_output`` and ``write_video`` both raise a UserError of one line with ``reason``."""
    clip = Video(torch.zeros(0), Fraction(25), source=source)
    for call in (
        partial(check_output, source),
        partial(write_video, frames=fail_if_iterated(), video=clip, crf=20),
    ):
        with pytest.raises(UserError, match=reason) as caught:
            call(output)
        assert "\n" not in str(caught.value)


def test_unknown_suffixes_and_unwritable_outputs_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    assert_error(
        None,
        tmp_path / "a.avi",
        r"a\.avi: end it in \.mp4, \.mkv, \.mov, \.webm, or in no suffix for a folder",
    )
    assert_error(None, tmp_path / "none" / "a.mp4", r"a\.mp4 \(.*none: No such file or directory")
    assert_error(None, tmp_path / "file" / "a.mp4", r"a\.mp4 \(.*file: Not a directory")
    assert_error(None, tmp_path / "folder.mp4", r"folder\.mp4 is a folder; name a file")
    assert_error(None, tmp_path / "file", "file exists and is not an empty folder")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write in")
def test_a_read_only_folder_is_an_error() -> None:
    assert_error(None, Path("/proc/a.mp4"), r"cannot write /proc/a\.mp4")


def test_writing_over_the_input_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "s.mp4", noise(2))
    (tmp_path / "soft.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    monkeypatch.chdir(tmp_path)
    for output in (source, "s.mp4", f"../{tmp_path.name}/s.mp4", "soft.mp4", "hard.mp4"):
        assert_error(source, output, "is the input itself; name another output")


def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "disk" / "frames").mkdir(parents=True)
    for name in ("a.mp4", "frames"):
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
        write_video(tmp_path / name, to_unit(clip().frames), clip(), crf=20)
        assert (tmp_path / name).is_symlink()
        assert len(read_video(tmp_path / "disk" / name).frames) == 4


def test_check_output_names_an_input_that_is_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    assert_error(tmp_path / "empty.mp4", tmp_path / "a.mp4", r"empty\.mp4 is empty")
    assert_error(tmp_path / "text.mp4", tmp_path / "a.mp4", r"text\.mp4 cannot be read")
    check_output(tmp_path / "none.mp4", tmp_path / "text.mp4")


def test_a_folder_with_files_as_output_is_an_error(tmp_path: Path) -> None:
    write_video(tmp_path / "frames", to_unit(clip().frames), clip(), crf=20)
    assert_error(None, tmp_path / "frames", "is not an empty folder")
    assert_error(tmp_path / "frames", tmp_path / "frames", "is the input itself; name another output")
    (tmp_path / "new").mkdir()
    write_video(tmp_path / "new", to_unit(clip().frames), clip(), crf=20)
    assert len(list((tmp_path / "new").iterdir())) == 4


def test_a_rate_is_accepted_for_folders_only(tmp_path: Path) -> None:
    write_video(tmp_path / "frames", to_unit(clip().frames), clip(), crf=20)
    assert read_video(tmp_path / "frames").rate == 25
    assert read_video(tmp_path / "frames", Fraction(30000, 1001)).rate == Fraction(30000, 1001)
    for rate, exact in ((24, 24), (12.5, Fraction(25, 2)), ("30000/1001", Fraction(30000, 1001))):
        video = read_video(tmp_path / "frames", rate)
        assert (video.rate, type(video.rate)) == (exact, Fraction)
    with pytest.raises(UserError, match="must be above 0, got 0"):
        read_video(tmp_path / "frames", 0)
    for rate in ("fast", float("nan"), float("inf"), "1/0"):
        with pytest.raises(UserError, match=f"frame rate {rate} is not a number"):
            read_video(tmp_path / "frames", rate)
    with pytest.raises(UserError, match=r"s\.mp4 has its own frame rate"):
        read_video(make_video(tmp_path / "s.mp4", noise(2)), Fraction(25))
